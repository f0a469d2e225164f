package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// maxChanged is the maximum number of changed hooks that are read at once.
const maxChanged = 5000

// reload reads everything. It takes the snapshot first, so that the next poll reads changes committed meanwhile again.
func (w *Watch) reload(ctx context.Context) error {
	var snapshot string
	var server time.Time
	err := w.polls.QueryRowContext(ctx, `SELECT pg_current_snapshot()::text, pg_postmaster_start_time()`).
		Scan(&snapshot, &server)
	if err != nil {
		return translate(fmt.Errorf("load hooks: %w", err))
	}
	var tenants []string
	var hooks []*webhook.Hook
	if w.Hooks != nil {
		if err := w.polls.SelectContext(ctx, &tenants, `SELECT name FROM tenants`); err != nil {
			return translate(fmt.Errorf("load tenants: %w", err))
		}
		if hooks, err = w.load(ctx, ""); err != nil {
			return err
		}
	}
	if err := w.loadKeys(ctx, nil); err != nil { // before the hooks that use them
		return err
	}
	if w.Hooks != nil {
		clear(w.unreadable)
		w.note(hooks)
		w.Hooks.Replace(hooks, tenants)
		w.Log.Info("hooks loaded", zap.Int("hooks", len(hooks)), zap.Int("tenants", len(tenants)))
	}
	if err := w.loadTypes(ctx); err != nil {
		return err
	}
	if err := w.loadErased(ctx); err != nil {
		return err
	}
	first := w.snapshot == ""
	w.snapshot, w.server = snapshot, server
	if first { // this worker is not registered yet
		_, err = w.ask(ctx)
	}
	return err
}

// apply updates the sets with the changes.
func (w *Watch) apply(ctx context.Context, changes []change) error {
	var hooks []uuid.UUID
	var tenants, keys []string
	types, erased := false, false
	for _, c := range changes {
		switch c.kind {
		case "all":
			return w.reload(ctx)
		case "tenant":
			tenants = append(tenants, c.key)
		case "type":
			types = true
		case "signing_keys":
			keys = append(keys, c.key)
		case "erasure":
			erased = true
		case "hook":
			id, err := uuid.Parse(c.key)
			if err != nil {
				return fmt.Errorf("read id of changed hook: %w", err)
			}
			hooks = append(hooks, id)
		}
	}
	if len(keys) > 0 { // before the hooks that use them
		if err := w.loadKeys(ctx, keys); err != nil {
			return err
		}
	}
	if w.Hooks != nil {
		if err := w.applyTenants(ctx, tenants); err != nil {
			return err
		}
		for part := range slices.Chunk(hooks, maxChanged) {
			if err := w.applyHooks(ctx, part); err != nil {
				return err
			}
		}
	}
	if erased {
		if err := w.loadErased(ctx); err != nil {
			return err
		}
	}
	if types {
		return w.loadTypes(ctx)
	}
	return nil
}

func (w *Watch) applyTenants(ctx context.Context, names []string) error {
	if len(names) == 0 {
		return nil
	}
	var there []string
	if err := w.polls.SelectContext(ctx, &there, `SELECT name FROM tenants WHERE name = ANY($1)`, pq.Array(names)); err != nil {
		return translate(fmt.Errorf("read changed tenants: %w", err))
	}
	for _, name := range names {
		w.Hooks.SetTenant(name, slices.Contains(there, name))
	}
	return nil
}

func (w *Watch) applyHooks(ctx context.Context, ids []uuid.UUID) error {
	hooks, err := w.load(ctx, `WHERE id = ANY($1::uuid[])`, textArray(uuidList(ids)))
	if err != nil {
		return err
	}
	there := make(map[uuid.UUID]bool, len(hooks))
	for _, h := range hooks {
		w.Hooks.Put(*h)
		there[h.ID] = true
	}
	for _, id := range ids {
		delete(w.unreadable, id)
		if !there[id] {
			w.Hooks.Remove(id)
		}
	}
	w.note(hooks)
	return nil
}

// note counts and logs the unreadable hooks among the given ones.
func (w *Watch) note(hooks []*webhook.Hook) {
	for _, h := range hooks {
		if h.Unreadable != "" {
			w.unreadable[h.ID] = true
			w.Log.Error("hook cannot be loaded: its deliveries are parked", zap.Stringer("hook_id", h.ID), zap.String("reason", h.Unreadable))
		}
	}
	w.unreadables.Store(int64(len(w.unreadable)))
}

func (w *Watch) load(ctx context.Context, where string, args ...any) ([]*webhook.Hook, error) {
	return loadHooks(ctx, w.polls, w.db.core, where, args...)
}

// loadHooks reads hooks for workers. An unreadable hook affects only itself: it counts as paused.
func loadHooks(ctx context.Context, q sqlx.QueryerContext, d *core, where string, args ...any) ([]*webhook.Hook, error) {
	rows, err := q.QueryxContext(ctx, `SELECT `+hookColumns+` FROM hooks `+where, args...)
	if err != nil {
		return nil, translate(fmt.Errorf("load hooks: %w", err))
	}
	defer rows.Close()
	var hooks []*webhook.Hook // separate objects: most of them are freed when all are loaded again
	common := newInterned()
	for rows.Next() {
		var row hookRow
		if err := rows.StructScan(&row); err != nil {
			return nil, translate(fmt.Errorf("load hooks: %w", err))
		}
		common.share(&row)
		h := row.known(d.ring, common.spec)
		if h.Unreadable != "" && h.Status == webhook.Active {
			h.Status = webhook.Paused
		}
		hooks = append(hooks, &h)
	}
	if err := rows.Err(); err != nil {
		return nil, translate(fmt.Errorf("load hooks: %w", err))
	}
	return hooks, nil
}

// ForgetChanges deletes changes that are so old that every program that polls knows them or reads everything again,
// registrations of workers that are gone, and closed gaps that are older than any event that may still be fanned out.
func (d *LedgerStore) ForgetChanges(ctx context.Context) error {
	const old, olderThanEvents = 24 * forgetful, 8 * 24 * time.Hour
	_, err := d.db.ExecContext(ctx, `
		WITH known AS (
			DELETE FROM changes WHERE at < clock_timestamp() - $1 * interval '1 second' AND kind <> 'type'
			AND xid < pg_snapshot_xmin(pg_current_snapshot())
			AND NOT EXISTS (SELECT FROM workers w WHERE w.expires_at > clock_timestamp() AND NOT pg_visible_in_snapshot(xid, w.snapshot))),
		gone AS (DELETE FROM workers WHERE expires_at < clock_timestamp() - $1 * interval '1 second')
		DELETE FROM hook_gaps WHERE done AND since < clock_timestamp() - $2 * interval '1 second'`, int(old.Seconds()), int(olderThanEvents.Seconds()))
	if err != nil {
		return translate(fmt.Errorf("forget old changes: %w", err))
	}
	return nil
}
