package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// ErrQuota reports that the tenant has as many hooks as its quota allows.
var ErrQuota = errors.New("quota is used up")

// HookFilter narrows a list of hooks. Zero fields do not restrict it.
type HookFilter struct {
	// IDs are the ids of the wanted hooks; nil for any.
	IDs []uuid.UUID
	// TargetURL is compared exactly.
	TargetURL string
	Status    webhook.HookStatus
	// NotStatus excludes the hooks with this status.
	NotStatus webhook.HookStatus
	// EventType is one of the hook's types or patterns, in canonical spelling.
	EventType string
	// Labels are the labels that the hook must have.
	Labels webhook.LabelSelector
	// Search is a part of the name or the target URL in any case, or at least the first six characters of the id.
	Search string
	// Mask is applied to target URLs before they are compared with TargetURL and Search, so that a caller cannot find out what
	// it hides.
	Mask webhook.Mask
}

// Position is a position in a list that is ordered by time, newest first.
type Position struct {
	At time.Time
	ID uuid.UUID
}

// Page selects a part of a list: its beginning, or the part next to a position.
type Page struct {
	Limit int
	// Older and Newer are the positions after or before which the page lies. At most one of them is set.
	Older, Newer *Position
}

// IfVersion lists the versions of a hook to which a change applies. An empty list applies to any version.
type IfVersion []int64

func (v IfVersion) check(id uuid.UUID, have int64) error {
	if len(v) > 0 && !slices.Contains(v, have) {
		return fmt.Errorf("hook %s: %w", id, webhook.ErrVersion)
	}
	return nil
}

// Get returns one hook. The error is webhook.ErrNotFound if the tenant has no such hook, and an *UnreadableError if not all of
// it can be read.
func (d *HookStore) Get(ctx context.Context, tenant string, id uuid.UUID) (webhook.Hook, error) {
	return d.get(ctx, `deleted_at IS NULL`, tenant, id)
}

// get returns one hook that meets a condition.
func (d *HookStore) get(ctx context.Context, condition, tenant string, id uuid.UUID) (webhook.Hook, error) {
	var row hookRow
	err := d.db.GetContext(ctx, &row, `SELECT `+hookColumns+` FROM hooks WHERE tenant = $1 AND id = $2 AND `+condition, tenant, id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return webhook.Hook{}, fmt.Errorf("hook %s: %w", id, webhook.ErrNotFound)
	case err != nil:
		return webhook.Hook{}, translate(fmt.Errorf("get hook %s: %w", id, err))
	}
	return row.hook(d.ring)
}

// List lists a tenant's hooks, newest first. more reports that there are further hooks in the direction of the page. A hook
// that cannot be read is listed with its readable part and the reason.
func (d *HookStore) List(ctx context.Context, tenant string, f HookFilter, page Page) (hooks []webhook.Hook, more bool, err error) {
	where, args := f.where(tenant)
	order := `ORDER BY created_at DESC, id DESC`
	switch {
	case page.Older != nil:
		args = append(args, page.Older.At, page.Older.ID)
		where += fmt.Sprintf(` AND (created_at, id) < ($%d, $%d)`, len(args)-1, len(args))
	case page.Newer != nil:
		args = append(args, page.Newer.At, page.Newer.ID)
		where += fmt.Sprintf(` AND (created_at, id) > ($%d, $%d)`, len(args)-1, len(args))
		order = `ORDER BY created_at, id`
	}
	args = append(args, page.Limit+1)
	query := fmt.Sprintf(`SELECT %s FROM hooks WHERE %s %s LIMIT $%d`, hookColumns, where, order, len(args))
	var rows []hookRow
	if err := d.db.SelectContext(ctx, &rows, query, args...); err != nil {
		return nil, false, translate(fmt.Errorf("list hooks: %w", err))
	}
	if more = len(rows) > page.Limit; more {
		rows = rows[:page.Limit]
	}
	if page.Newer != nil {
		slices.Reverse(rows)
	}
	hooks = make([]webhook.Hook, len(rows))
	for i := range rows {
		hooks[i] = rows[i].shown(d.ring)
	}
	return hooks, more, nil
}

// where returns the filter's condition and its arguments. Values only appear as placeholders.
func (f *HookFilter) where(tenant string) (condition string, args []any) {
	conditions := []string{"tenant = $1", "deleted_at IS NULL"}
	args = []any{tenant}
	add := func(format string, value any) {
		args = append(args, value)
		conditions = append(conditions, fmt.Sprintf(format, len(args)))
	}
	if f.IDs != nil {
		add(`id = ANY($%d::uuid[])`, textArray(uuidList(f.IDs)))
	}
	target := "target_url"
	if pattern := f.Mask.Pattern(); pattern != "" && (f.TargetURL != "" || f.Search != "") {
		args = append(args, webhook.MaskedUserinfo, pattern)
		target = `regexp_replace(regexp_replace(target_url, $2, '\1***@', 'i'), $3, '\1***', 'gi')`
	}
	if f.TargetURL != "" {
		add(target+` = $%d`, f.Mask.URL(f.TargetURL))
	}
	if f.Status != "" {
		add(`status = $%d`, string(f.Status))
	}
	if f.NotStatus != "" {
		add(`status <> $%d`, string(f.NotStatus))
	}
	if f.EventType != "" {
		add(`$%d = ANY (event_types)`, f.EventType)
	}
	if len(f.Labels) > 0 {
		c := &clauses{args: args}
		c.labelled("spec", f.Labels)
		args, conditions = c.args, append(conditions, c.conditions...)
	}
	if f.Search != "" {
		add(`(strpos(lower(name || E'\n' || `+target+`), lower($%[1]d)) > 0 OR length($%[1]d) >= 6 AND starts_with(id::text, lower($%[1]d)))`, f.Search)
	}
	return strings.Join(conditions, " AND "), args
}

// Titles returns the names and target URLs of a tenant's hooks, by id. Their other fields are empty. Hooks that do not exist
// are missing.
func (d *HookStore) Titles(ctx context.Context, tenant string, ids []uuid.UUID) (map[uuid.UUID]webhook.Hook, error) {
	var rows []struct {
		ID     uuid.UUID `db:"id"`
		Name   string    `db:"name"`
		Target string    `db:"target_url"`
	}
	err := d.db.SelectContext(ctx, &rows, `SELECT id, name, target_url FROM hooks WHERE tenant = $1 AND id = ANY ($2::uuid[])`, tenant, textArray(uuidList(ids)))
	if err != nil {
		return nil, translate(fmt.Errorf("list titles of hooks: %w", err))
	}
	titles := make(map[uuid.UUID]webhook.Hook, len(rows))
	for _, r := range rows {
		titles[r.ID] = webhook.Hook{ID: r.ID, Name: r.Name, TargetURL: r.Target}
	}
	return titles, nil
}

// Expressions returns the expressions of a tenant's hooks, by hook. Hooks with an invalid config are missing.
func (d *HookStore) Expressions(ctx context.Context, tenant string) (map[uuid.UUID][]webhook.Expression, error) {
	var rows []struct {
		ID   uuid.UUID `db:"id"`
		Spec string    `db:"spec"`
	}
	err := d.db.SelectContext(ctx, &rows, `SELECT id, spec FROM hooks WHERE tenant = $1`, tenant)
	if err != nil {
		return nil, translate(fmt.Errorf("list expressions: %w", err))
	}
	expressions := map[uuid.UUID][]webhook.Expression{}
	for _, r := range rows {
		var spec struct { // PostgreSQL does not accept all JSON
			Config json.RawMessage `json:"config"`
		}
		if json.Unmarshal([]byte(r.Spec), &spec) != nil {
			continue
		}
		if config, err := webhook.ParseConfig(spec.Config); err == nil {
			expressions[r.ID] = config.Expressions()
		}
	}
	return expressions, nil
}

// lockTenant serializes creations for one tenant, so that none exceeds its quota or misses an idempotency key.
func lockTenant(ctx context.Context, tx *sqlx.Tx, tenant string) error {
	_, err := lockPolicy(ctx, tx, tenant)
	return err
}

const lockingPolicy = `SELECT handshake FROM tenants WHERE name = $1 FOR NO KEY UPDATE`

// lockPolicy does what lockTenant does, and returns the tenant's handshake policy.
func lockPolicy(ctx context.Context, tx querier, tenant string) (policy webhook.Handshake, err error) {
	err = tx.GetContext(ctx, &policy, lockingPolicy, tenant)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", fmt.Errorf("tenant %s: %w", tenant, webhook.ErrNotFound)
	case err != nil:
		return "", fmt.Errorf("lock tenant %s: %w", tenant, err)
	}
	return policy, nil
}

func checkQuota(ctx context.Context, tx *sqlx.Tx, tenant string, quota int) error {
	have, err := countHooks(ctx, tx, tenant, quota)
	if err == nil && have >= quota {
		err = fmt.Errorf("hooks of tenant %s: %w", tenant, ErrQuota)
	}
	return err
}

const addingCounts = `SELECT COALESCE(sum(hooks), 0)::bigint AS hooks, count(*) AS counts FROM hook_counts WHERE tenant = $1`

// maxHookCounts is the number of rows of hook_counts of one tenant beyond which they are replaced by a single one.
const maxHookCounts = 200

// countHooks returns the number of a tenant's hooks. The tenant must be locked. It adds up the recorded changes of the number,
// which takes the same time for any number of hooks. If there are many such records, or the sum reaches enough, it counts the
// hooks themselves, so that no hook is refused because of a wrong sum.
func countHooks(ctx context.Context, tx querier, tenant string, enough int) (int, error) {
	var sum struct{ Hooks, Counts int }
	err := tx.GetContext(ctx, &sum, addingCounts, tenant)
	if err == nil && (sum.Counts > maxHookCounts || sum.Hooks >= enough) {
		err = tx.GetContext(ctx, &sum.Hooks, `
			WITH before AS (DELETE FROM hook_counts WHERE tenant = $1)
			INSERT INTO hook_counts SELECT $1, count(*) FROM hooks WHERE tenant = $1 AND deleted_at IS NULL RETURNING hooks`, tenant)
	}
	if err != nil {
		return 0, fmt.Errorf("count hooks: %w", err)
	}
	return sum.Hooks, nil
}

// explainConflict turns a violation of the hooks' identity into a *webhook.ConflictError.
func (d *core) explainConflict(ctx context.Context, h *webhook.Hook, err error) error {
	if !violates(err, "hooks_identity_key") && !errors.Is(err, errSameHook) {
		return err
	}
	var id uuid.UUID
	lookup := d.db.GetContext(ctx, &id, `
		SELECT id FROM hooks WHERE tenant = $1
			AND identity = sha256(convert_to($2 || E'\n' || array_to_string($3::text[], ','), 'UTF8'))`,
		h.Tenant, h.TargetURL, pq.StringArray(h.EventTypes))
	if lookup != nil { // the other hook has just been deleted
		return fmt.Errorf("hook: %w", webhook.ErrConflict)
	}
	return &webhook.ConflictError{ID: id}
}

// Update changes a hook by edit, which receives the stored hook and must leave it valid. Changes of ids, times and versions by
// edit are ignored. If edit changes nothing, the version stays the same.
//
// The errors are edit's, webhook.ErrNotFound, *UnreadableError, webhook.ErrVersion if the hook has another version, and
// *webhook.ConflictError if another hook has the same target URL and event types.
func (d *HookStore) Update(ctx context.Context, actor Actor, tenant string, id uuid.UUID, version IfVersion, edit func(*webhook.Hook) error) (webhook.Hook, error) {
	var after webhook.Hook
	var stored hookRow
	err := d.change(ctx, actor, func(tx *sqlx.Tx) (audited, error) {
		if err := lockHook(ctx, tx, &stored, tenant, id, version); err != nil {
			return audited{}, err
		}
		before, err := stored.hook(d.ring)
		if err != nil {
			return audited{}, err
		}
		if after, err = stored.hook(d.ring); err != nil {
			return audited{}, err
		}
		if err := edit(&after); err != nil {
			return audited{}, err
		}
		changed := webhook.Changed(&before, &after)
		if len(changed) == 0 {
			return audited{}, nil
		}
		after.ID, after.Tenant = id, tenant
		if err := d.storeHook(ctx, tx, &after, &stored); err != nil {
			return audited{}, err
		}
		if after.Status == webhook.Active && (before.Status != webhook.Active || before.TargetURL != after.TargetURL) {
			if err := forgetFailures(ctx, tx, id); err != nil {
				return audited{}, err
			}
		}
		return audited{
			tenant: tenant, action: updateAction(changed, after.Status), subject: id.String(),
			detail: map[string]any{"fields": changed},
		}, nil
	})
	if err != nil {
		return webhook.Hook{}, d.explainConflict(ctx, &after, err)
	}
	return stored.hook(d.ring)
}

func lockHook(ctx context.Context, tx *sqlx.Tx, row *hookRow, tenant string, id uuid.UUID, version IfVersion) error {
	err := tx.GetContext(ctx, row, `SELECT `+hookColumns+` FROM hooks WHERE tenant = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE`, tenant, id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return fmt.Errorf("hook %s: %w", id, webhook.ErrNotFound)
	case err != nil:
		return fmt.Errorf("lock hook %s: %w", id, err)
	}
	return version.check(id, row.Version)
}

func (d *core) storeHook(ctx context.Context, tx *sqlx.Tx, h *webhook.Hook, stored *hookRow) error {
	row, err := newHookRow(h, d.ring)
	if err != nil {
		return err
	}
	err = tx.GetContext(ctx, stored, `
		UPDATE hooks SET name = $2, event_types = $3, target_url = $4, status = $5, disabled_reason = $6, sealed = $7,
			sealed_key_id = $8, spec = $9, paused_until = $10, modified_at = now(), version = version + 1
		WHERE id = $1 RETURNING `+hookColumns,
		row.ID, row.Name, row.EventTypes, row.TargetURL, row.Status, row.DisabledReason, row.Sealed, row.SealedKeyID, row.Spec, row.PausedUntil)
	if err != nil {
		return fmt.Errorf("update hook %s: %w", row.ID, err)
	}
	return nil
}

func updateAction(changed []string, status webhook.HookStatus) string {
	if !slices.Contains(changed, "status") && !slices.Contains(changed, "paused_until") {
		return "hook.updated"
	}
	switch status {
	case webhook.Active:
		return "hook.resumed"
	case webhook.Paused:
		return "hook.paused"
	case webhook.Disabled:
		return "hook.disabled"
	default:
		return "hook.updated"
	}
}

// Disable disables a hook of any tenant, with a reason. It reports whether the hook was changed. A hook that is already
// disabled, was deleted, or has another version than given is left alone.
func (d *HookStore) Disable(ctx context.Context, actor Actor, id uuid.UUID, version IfVersion, reason string) (disabled bool, err error) {
	err = d.change(ctx, actor, func(tx *sqlx.Tx) (audited, error) {
		var tenant string
		err := tx.GetContext(ctx, &tenant, `
			UPDATE hooks SET status = 'disabled', disabled_reason = $2, modified_at = now(), version = version + 1
			WHERE id = $1 AND status <> 'disabled' AND (cardinality($3::bigint[]) = 0 OR version = ANY($3)) RETURNING tenant`,
			id, reason, pq.Array(append([]int64{}, version...)))
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return audited{}, nil
		case err != nil:
			return audited{}, fmt.Errorf("disable hook %s: %w", id, err)
		}
		disabled = true
		return audited{
			tenant: tenant, action: "hook.disabled", subject: id.String(), detail: map[string]any{"reason": reason},
		}, nil
	})
	return disabled && err == nil, err
}
