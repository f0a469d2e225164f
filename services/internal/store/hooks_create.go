package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

const (
	// createdTogether is how many hooks share a transaction.
	createdTogether = 50
	// createLimit bounds such a transaction. Who waits for it usually gives up sooner.
	createLimit = 5 * time.Second
)

// errSameHook says that there is a hook with the same target URL and event types.
var errSameHook = errors.New("there is such a hook")

// ErrHandshake says that the tenant has receivers asked before its hooks send to them.
var ErrHandshake = errors.New("the receiver has to be asked first")

// creation is a hook to be created.
type creation struct {
	actor Actor
	hook  *webhook.Hook
	row   hookRow
	quota int
	key   IdempotencyKey
	// unasked says that nobody has looked yet whether the receiver has to be asked.
	unasked bool
}

// Create stores a new hook, which must be valid, with a new id, and returns it as stored. quota is how many hooks
// the tenant may have. With a key that was used before for the same request it returns that request's hook instead. A tenant's
// hooks that are created at once share transactions.
//
// The errors are *webhook.ConflictError where the tenant has a hook of the same target URL and event types, ErrQuota,
// ErrKeyReused, and webhook.ErrNotFound where the tenant does not exist.
func (d *HookStore) Create(ctx context.Context, actor Actor, h webhook.Hook, quota int, key IdempotencyKey) (webhook.Hook, error) {
	return d.create(ctx, &creation{actor: actor, hook: &h, quota: quota, key: key})
}

// CreateUnasked is Create for a hook whose receivers were not asked. The error is ErrHandshake where the tenant's policy is not
// webhook.HandshakeOff.
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
	return stored.hook(d.ring)
}

// createTogether creates hooks of one tenant. Requests that are repeated meanwhile have to wait for the first one.
func (d *core) createTogether(ctx context.Context, tenant string, list []*creation) []outcome[hookRow] {
	for i := 1; i < len(list); i++ {
		if list[i].key.Key != "" && slices.ContainsFunc(list[:i], func(c *creation) bool { return c.key.Key == list[i].key.Key }) {
			return append(d.createAll(ctx, tenant, list[:i]), d.createTogether(ctx, tenant, list[i:])...)
		}
	}
	return d.createAll(ctx, tenant, list)
}

// createAll creates hooks in one transaction. Where one of them has all fail, each is created by itself.
func (d *core) createAll(ctx context.Context, tenant string, list []*creation) []outcome[hookRow] {
	answers := make([]outcome[hookRow], len(list))
	err := d.transact(ctx, func(tx *sqlx.Tx) error { return create(ctx, tx, tenant, list, answers) })
	switch {
	case err == nil:
		return answers
	case len(list) == 1 || ctx.Err() != nil || errors.Is(err, ErrUnavailable):
		return failed[hookRow](len(list), err)
	}
	for i := range list {
		answers[i] = d.createAll(ctx, tenant, list[i:i+1])[0]
	}
	return answers
}

// create creates hooks in a transaction, and says what became of each. The error is of all of them.
func create(ctx context.Context, tx *sqlx.Tx, tenant string, list []*creation, answers []outcome[hookRow]) error {
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
			answers[i].value = before
		case have+len(wanted) >= c.quota:
			answers[i].err = fmt.Errorf("hooks of tenant %s: %w", tenant, ErrQuota)
		default:
			wanted = append(wanted, i)
		}
	}
	return insertHooks(ctx, tx, list, wanted, answers)
}

// insertHooks stores those hooks of the list that are wanted, with all that comes with them. One that is there already is a
// conflict of its own.
func insertHooks(ctx context.Context, tx *sqlx.Tx, list []*creation, wanted []int, answers []outcome[hookRow]) error {
	if len(wanted) == 0 {
		return nil
	}
	var args []any
	places := make([]string, len(wanted))
	for n, i := range wanted {
		values := list[i].row.values()
		args = append(args, values...)
		places[n] = placeholders(len(values), n)
	}
	var rows []hookRow
	err := tx.SelectContext(ctx, &rows, `INSERT INTO hooks (`+hookInsertColumns+`) VALUES `+strings.Join(places, ", ")+`
		ON CONFLICT (tenant, identity) DO NOTHING RETURNING `+hookColumns, args...)
	if err != nil {
		return fmt.Errorf("insert hooks: %w", err)
	}
	byActor := map[Actor][]audited{}
	for _, i := range wanted {
		c := list[i]
		at := slices.IndexFunc(rows, func(r hookRow) bool { return r.ID == c.hook.ID })
		if at < 0 {
			answers[i].err = errSameHook
			continue
		}
		answers[i].value = rows[at]
		entry, err := c.stored(ctx, tx, rows[at].CreatedAt)
		if err != nil {
			return err
		}
		byActor[c.actor] = append(byActor[c.actor], entry)
	}
	for actor, entries := range byActor {
		if err := writeAudit(ctx, tx, actor, entries...); err != nil {
			return err
		}
	}
	return nil
}

// stored does what comes with a hook that is stored, and returns what the audit log has of it.
func (c *creation) stored(ctx context.Context, tx *sqlx.Tx, at time.Time) (audited, error) {
	h := c.hook
	if err := c.key.remember(ctx, tx, h.Tenant, h.ID); err != nil {
		return audited{}, err
	}
	h.CreatedAt = at
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

// placeholders are those of the n-th row of so many columns, from 0.
func placeholders(columns, n int) string {
	list := make([]string, columns)
	for i := range list {
		list[i] = fmt.Sprintf("$%d", n*columns+i+1)
	}
	return "(" + strings.Join(list, ", ") + ")"
}
