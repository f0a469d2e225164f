package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

const (
	// createdTogether is the maximum number of hooks created in one transaction.
	createdTogether = 50
	// createLimit is the time limit of such a transaction. Callers usually give up sooner.
	createLimit = 5 * time.Second
)

// errSameHook reports that a hook with the same target URL and event types exists.
var errSameHook = errors.New("there is such a hook")

// ErrHandshake reports that the tenant's policy requires the receiver's consent before a hook sends to it.
var ErrHandshake = errors.New("the receiver has to be asked first")

// creation is a hook to be created.
type creation struct {
	actor Actor
	hook  *webhook.Hook
	row   hookRow
	quota int
	key   IdempotencyKey
	// unasked reports that nobody has checked whether the receiver must be asked.
	unasked bool
}

// Create stores a new hook, which must be valid, with a new id, and returns it as stored. quota is the tenant's maximum number
// of hooks. If the key was used before for the same request, Create returns that request's hook. Hooks of a tenant that are
// created at the same time share transactions.
//
// The errors are *webhook.ConflictError if the tenant has a hook with the same target URL and event types, ErrQuota,
// ErrKeyReused, and webhook.ErrNotFound if the tenant does not exist.
func (d *HookStore) Create(ctx context.Context, actor Actor, h webhook.Hook, quota int, key IdempotencyKey) (webhook.Hook, error) {
	return d.create(ctx, &creation{actor: actor, hook: &h, quota: quota, key: key})
}

// CreateUnasked does what Create does, for a hook whose receivers were not asked. The error is ErrHandshake if the tenant's
// policy is not webhook.HandshakeOff.
func (d *HookStore) CreateUnasked(ctx context.Context, actor Actor, h webhook.Hook, quota int, key IdempotencyKey) (webhook.Hook, error) {
	return d.create(ctx, &creation{actor: actor, hook: &h, quota: quota, key: key, unasked: true})
}

func (d *HookStore) create(ctx context.Context, c *creation) (webhook.Hook, error) {
	var err error
	if c.hook.ID, err = uuid.NewV7(); err != nil {
		return webhook.Hook{}, fmt.Errorf("make hook id: %w", err)
	}
	if c.row, err = newHookRow(c.hook, d.ring); err != nil {
		return webhook.Hook{}, err
	}
	stored, err := d.creations.add(ctx, c.hook.Tenant, c)
	if err != nil {
		return webhook.Hook{}, d.explainConflict(ctx, c.hook, translate(err))
	}
	return stored, nil
}

// createTogether creates hooks of one tenant. A request with the same key as an earlier one in the list goes into a later
// transaction.
func (d *core) createTogether(ctx context.Context, tenant string, list []*creation) []outcome[webhook.Hook] {
	for i := 1; i < len(list); i++ {
		if list[i].key.Key != "" && slices.ContainsFunc(list[:i], func(c *creation) bool { return c.key.Key == list[i].key.Key }) {
			return append(d.createAll(ctx, tenant, list[:i]), d.createTogether(ctx, tenant, list[i:])...)
		}
	}
	return d.createAll(ctx, tenant, list)
}

// createAll creates hooks in one transaction. If it fails because of one of them, createAll creates each by itself.
func (d *core) createAll(ctx context.Context, tenant string, list []*creation) []outcome[webhook.Hook] {
	answers := make([]outcome[webhook.Hook], len(list))
	prepared, err := d.creating.in(ctx, d.db)
	if err == nil {
		err = d.transact(ctx, func(tx *sqlx.Tx) error { return d.createIn(ctx, prepared(tx), tenant, list, answers) })
	}
	switch {
	case err == nil:
		return d.createRefused(ctx, tenant, list, answers)
	case len(list) == 1 || ctx.Err() != nil || errors.Is(err, ErrUnavailable):
		return failed[webhook.Hook](len(list), err)
	}
	for i := range list {
		answers[i] = d.createAll(ctx, tenant, list[i:i+1])[0]
	}
	return answers
}

// createRefused creates the hooks that the quota refused, if others, which counted towards it, turned out to exist already.
func (d *core) createRefused(ctx context.Context, tenant string, list []*creation, answers []outcome[webhook.Hook]) []outcome[webhook.Hook] {
	var refused []*creation
	var at []int
	exists := false
	for i, a := range answers {
		exists = exists || errors.Is(a.err, errSameHook)
		if errors.Is(a.err, ErrQuota) {
			refused, at = append(refused, list[i]), append(at, i)
		}
	}
	if exists && len(refused) > 0 {
		for n, a := range d.createAll(ctx, tenant, refused) {
			answers[at[n]] = a
		}
	}
	return answers
}

// createIn creates hooks in a transaction, and stores the outcome of each in answers. The error concerns all of them.
func (d *core) createIn(ctx context.Context, tx querier, tenant string, list []*creation, answers []outcome[webhook.Hook]) error {
	policy, err := lockPolicy(ctx, tx, tenant)
	if err != nil {
		return err
	}
	quota := list[0].quota
	for _, c := range list {
		quota = min(quota, c.quota)
	}
	have, err := countHooks(ctx, tx, tenant, quota-len(list)+1)
	if err != nil {
		return err
	}
	var wanted []int
	for i, c := range list {
		if c.unasked && policy != webhook.HandshakeOff {
			answers[i].err = ErrHandshake
			continue
		}
		before, found, err := c.key.recall(ctx, tx, tenant)
		switch {
		case errors.Is(err, ErrKeyReused):
			answers[i].err = err
		case err != nil:
			return err
		case found:
			answers[i].value, answers[i].err = before.hook(d.ring)
		case have+len(wanted) >= c.quota:
			answers[i].err = fmt.Errorf("hooks of tenant %s: %w", tenant, ErrQuota)
		default:
			wanted = append(wanted, i)
		}
	}
	return createWanted(ctx, tx, list, wanted, answers)
}

// createWanted stores the hooks of the list at the given indexes, with everything that belongs to them. A hook that exists
// already gets errSameHook as its outcome.
func createWanted(ctx context.Context, tx querier, list []*creation, wanted []int, answers []outcome[webhook.Hook]) error {
	if len(wanted) == 0 {
		return nil
	}
	rows := make([]*hookRow, len(wanted))
	for n, i := range wanted {
		rows[n] = &list[i].row
	}
	made, err := insertHooks(ctx, tx, rows)
	if err != nil {
		return err
	}
	byActor := map[Actor][]audited{}
	for _, i := range wanted {
		c := list[i]
		at := slices.IndexFunc(made, func(m madeHook) bool { return m.ID == c.hook.ID })
		if at < 0 {
			answers[i].err = errSameHook
			continue
		}
		entry, err := c.stored(ctx, tx, made[at])
		if err != nil {
			return err
		}
		answers[i].value = *c.hook
		byActor[c.actor] = append(byActor[c.actor], entry)
	}
	for actor, entries := range byActor {
		if err := writeAudit(ctx, tx, actor, entries...); err != nil {
			return err
		}
	}
	return nil
}

// madeHook holds the columns that the database sets for a new hook.
type madeHook struct {
	ID         uuid.UUID `db:"id"`
	CreatedAt  time.Time `db:"created_at"`
	ModifiedAt time.Time `db:"modified_at"`
	Version    int64     `db:"version"`
}

const insertingHooks = `
	INSERT INTO hooks (` + hookInsertColumns + `)
	SELECT h.id, h.tenant, h.name, h.event_types::text[], h.target_url, h.status, h.disabled_reason, NULLIF(h.sealed, ''), NULLIF(h.key, ''), h.spec
	FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bytea[], $9::text[], $10::json[])
		AS h (id, tenant, name, event_types, target_url, status, disabled_reason, sealed, key, spec)
	ON CONFLICT (tenant, identity) DO NOTHING RETURNING id, created_at, modified_at, version`

// insertHooks inserts hooks, except those that exist already, and returns the inserted ones.
func insertHooks(ctx context.Context, tx querier, rows []*hookRow) (made []madeHook, err error) {
	n := len(rows)
	var ids, tenants, names, types, targets, statuses, reasons, keys, specs []string
	sealed := make(pq.ByteaArray, 0, n)
	for _, r := range rows {
		list, err := append(pq.StringArray{}, r.EventTypes...).Value()
		if err != nil {
			return nil, fmt.Errorf("write event types: %w", err)
		}
		ids, tenants, names = append(ids, r.ID.String()), append(tenants, r.Tenant), append(names, r.Name)
		types, targets, statuses = append(types, fmt.Sprint(list)), append(targets, r.TargetURL), append(statuses, r.Status)
		reasons, sealed, keys, specs = append(reasons, r.DisabledReason), append(sealed, r.Sealed), append(keys, string(optionalBytes(r.SealedKeyID))), append(specs, r.Spec)
	}
	err = tx.SelectContext(ctx, &made, insertingHooks, textArray(ids), textArray(tenants), textArray(names), textArray(types), textArray(targets),
		textArray(statuses), textArray(reasons), sealed, textArray(keys), textArray(specs))
	if err != nil {
		return nil, fmt.Errorf("insert hooks: %w", err)
	}
	return made, nil
}

// stored stores what belongs to a new hook, and returns its audit entry.
func (c *creation) stored(ctx context.Context, tx querier, made madeHook) (audited, error) {
	h := c.hook
	if err := c.key.remember(ctx, tx, h.Tenant, h.ID); err != nil {
		return audited{}, err
	}
	h.CreatedAt, h.ModifiedAt, h.Version, h.PausedUntil = made.CreatedAt.UTC(), made.ModifiedAt.UTC(), made.Version, time.Time{}
	detail := map[string]any{"event_types": h.EventTypes, "status": h.Status}
	job, err := backfill(ctx, tx, c.actor, h)
	if err != nil {
		return audited{}, err
	}
	if job != uuid.Nil {
		detail["backfill"] = job
	}
	return audited{tenant: h.Tenant, action: "hook.created", subject: h.ID.String(), detail: detail}, nil
}
