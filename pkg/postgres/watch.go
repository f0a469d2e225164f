package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/seal"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// HookSet is kept equal to the hooks and tenants in the database by WatchHooks.
type HookSet interface {
	// Replace takes all hooks and tenants there are.
	Replace(hooks []*webhook.Hook, tenants []string)
	// Put takes a hook that is new or has changed.
	Put(hook webhook.Hook)
	// Remove forgets a hook, if it is known.
	Remove(id uuid.UUID)
	// PutTenant takes a tenant that is new.
	PutTenant(name string)
	// PutBacklog is told that a hook got parked deliveries.
	PutBacklog(hook uuid.UUID)
}

// Channels that the triggers notify.
const (
	hooksChannel   = "whisperer_hooks"
	tenantsChannel = "whisperer_tenants"
	backlogChannel = "whisperer_backlogs"
	typesChannel   = "whisperer_event_types"
)

const (
	watchRetry = time.Second
	// watchPing is how often a silent connection is tried: one that is half open would never tell of a change.
	watchPing = 10 * time.Second
)

// WatchHooks keeps set equal to the database until ctx ends: everything once, then each change as it commits, and
// everything again after a lost connection, since notifications are lost with it.
func (d *DB) WatchHooks(ctx context.Context, set HookSet, log *zap.Logger) error {
	return d.watch(ctx, []string{hooksChannel, tenantsChannel, backlogChannel}, log,
		func() { d.reload(ctx, set, log) },
		func(changes []*pq.Notification) bool { return d.apply(ctx, changes, set, log) })
}

// watch listens until ctx ends. It calls reload at the beginning and whenever apply returns false, and apply with the
// notifications that come.
func (d *DB) watch(ctx context.Context, channels []string, log *zap.Logger, reload func(), apply func([]*pq.Notification) bool) error {
	listener := pq.NewListener(d.url, watchRetry, 10*watchRetry, func(_ pq.ListenerEventType, err error) {
		if err != nil {
			log.Warn("listening for changes was disturbed", zap.Error(err))
		}
	})
	defer listener.Close()
	giveUp := context.AfterFunc(ctx, func() { _ = listener.Close() }) // Listen waits for the database, whatever ctx says
	for _, channel := range channels {
		if err := listener.Listen(channel); err != nil && ctx.Err() == nil {
			return fmt.Errorf("listen on %s: %w", channel, err)
		}
	}
	if !giveUp() {
		return nil
	}
	reload()
	ping := time.NewTicker(watchPing)
	defer ping.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case n := <-listener.Notify:
			if !apply(gather(n, listener.Notify)) {
				reload()
			}
		case <-ping.C:
			go func() { _ = listener.Ping() }() // what it finds shows as a reconnect
		}
	}
}

// gather takes the notifications that are there already; a nil one says that the connection was lost.
func gather(first *pq.Notification, more <-chan *pq.Notification) []*pq.Notification {
	all := []*pq.Notification{first}
	for {
		select {
		case n := <-more:
			all = append(all, n)
		default:
			return all
		}
	}
}

// apply brings changes into the set; false means that everything has to be read again.
func (d *DB) apply(ctx context.Context, changes []*pq.Notification, set HookSet, log *zap.Logger) bool {
	ids, tenants := map[uuid.UUID]bool{}, map[string]bool{}
	for _, n := range changes {
		switch {
		case n == nil:
			return false
		case n.Channel == tenantsChannel:
			tenants[n.Extra] = true
		default:
			id, err := uuid.Parse(n.Extra)
			if err != nil {
				return false
			}
			if n.Channel == backlogChannel {
				set.PutBacklog(id)
			} else {
				ids[id] = true
			}
		}
	}
	return d.applyTenants(ctx, tenants, set, log) && d.applyHooks(ctx, ids, set, log)
}

// applyTenants brings new tenants into the set; one that is gone takes reading everything again.
func (d *DB) applyTenants(ctx context.Context, names map[string]bool, set HookSet, log *zap.Logger) bool {
	if len(names) == 0 {
		return true
	}
	var there []string
	err := d.db.SelectContext(ctx, &there, `SELECT name FROM tenants WHERE name = ANY($1)`, pq.Array(slices.Collect(maps.Keys(names))))
	if err != nil {
		log.Warn("changed tenants could not be read", zap.Error(err))
		return false
	}
	for _, name := range there {
		set.PutTenant(name)
	}
	return len(there) == len(names)
}

func (d *DB) applyHooks(ctx context.Context, ids map[uuid.UUID]bool, set HookSet, log *zap.Logger) bool {
	if len(ids) == 0 {
		return true
	}
	texts := make([]string, 0, len(ids))
	for id := range ids {
		texts = append(texts, id.String())
	}
	hooks, err := d.loadHooks(ctx, log, `WHERE id = ANY($1::uuid[])`, pq.Array(texts))
	if err != nil {
		log.Warn("changed hooks could not be read", zap.Error(err))
		return false
	}
	for _, h := range hooks {
		set.Put(*h)
		delete(ids, h.ID)
	}
	for id := range ids {
		set.Remove(id)
	}
	return true
}

// reload reads everything, for as long as it takes.
func (d *DB) reload(ctx context.Context, set HookSet, log *zap.Logger) {
	for {
		hooks, tenants, err := d.loadAll(ctx, log)
		if err == nil {
			set.Replace(hooks, tenants)
			log.Info("hooks loaded", zap.Int("hooks", len(hooks)), zap.Int("tenants", len(tenants)))
			return
		}
		log.Warn("hooks could not be loaded", zap.Error(err))
		select {
		case <-ctx.Done():
			return
		case <-time.After(watchRetry):
		}
	}
}

func (d *DB) loadAll(ctx context.Context, log *zap.Logger) ([]*webhook.Hook, []string, error) {
	var tenants []string
	if err := d.db.SelectContext(ctx, &tenants, `SELECT name FROM tenants`); err != nil {
		return nil, nil, fmt.Errorf("load tenants: %w", err)
	}
	hooks, err := d.loadHooks(ctx, log, "")
	return hooks, tenants, err
}

// loadHooks reads hooks; one that cannot be read, as a row that was written by hand may be, counts
// as paused until somebody mends it.
func (d *DB) loadHooks(ctx context.Context, log *zap.Logger, where string, args ...any) ([]*webhook.Hook, error) {
	rows, err := d.db.QueryxContext(ctx, `SELECT `+hookColumns+` FROM hooks `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("load hooks: %w", err)
	}
	defer rows.Close()
	var hooks []*webhook.Hook // not in one piece: most of them are dropped when all are loaded again
	common := newCommon()
	for rows.Next() {
		var row hookRow
		if err := rows.StructScan(&row); err != nil {
			return nil, fmt.Errorf("load hooks: %w", err)
		}
		common.share(&row)
		h, err := row.hookWith(d.ring, common.config)
		switch {
		case errors.Is(err, seal.ErrUnknownKey): // this program's fault, not the row's
			return nil, err
		case err != nil:
			log.Error("hook cannot be used, its deliveries are parked", zap.Stringer("hook_id", row.ID), zap.Error(err))
			h = webhook.Hook{
				ID: row.ID, Tenant: row.Tenant, EventTypes: row.EventTypes, Status: webhook.Paused, CreatedAt: row.CreatedAt,
				ModifiedAt: row.ModifiedAt, Version: row.Version,
			}
		}
		hooks = append(hooks, &h)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("load hooks: %w", err)
	}
	return hooks, nil
}
