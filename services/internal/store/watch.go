package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// HookSet is kept in line with the hooks and tenants in the database by a Watch.
type HookSet interface {
	// Replace replaces all hooks and tenants.
	Replace(hooks []*webhook.Hook, tenants []string)
	// Put adds or replaces a hook.
	Put(hook webhook.Hook)
	// Remove removes a hook, if it is in the set.
	Remove(id uuid.UUID)
	// SetTenant adds a tenant, or removes it if there is false.
	SetTenant(name string, there bool)
	// PutBacklog reports that a hook got parked deliveries.
	PutBacklog(hook uuid.UUID)
}

const (
	// Stale is the age from which a Watch's knowledge must not be relied on, because something is wrong with the database or
	// the connection to it.
	Stale = 5 * time.Second
	// presence is how long gaps wait for a worker after its last poll. It is longer than Stale, so that a worker for which gaps
	// no longer wait knows that it is stale.
	presence = 2 * Stale
	// pollEvery is the interval between polls without notifications. pollSoon is the interval after a poll that found changes,
	// so that others soon learn that this worker knows them. pollGap is the minimum interval.
	pollEvery = time.Second
	pollSoon  = 100 * time.Millisecond
	pollGap   = 10 * time.Millisecond
	// pollDeadline is how long the server may remain silent during a poll.
	pollDeadline = 3 * time.Second
	// forgetful is the time without a poll after which everything is read again. The housekeeper keeps changes for longer.
	forgetful = time.Hour
)

// WatchOptions says what a Watch keeps up to date.
type WatchOptions struct {
	// Hooks, Types and Keys are kept in line with the database; nil for those that are not needed.
	Hooks HookSet
	Types TypeSet
	Keys  KeySet
	// Erased is kept in line with the erased events; nil if not needed.
	Erased ErasedSet
	// Worker is the name of a worker that fans out events: the Watch registers it, and gaps wait until it knows a change. It is
	// empty for other programs.
	Worker string
	// Gaps, if not nil, is called when there are gaps to be closed. It must not block.
	Gaps func()
	Log  *zap.Logger
}

// Watch knows what was changed in the database, and how old its knowledge is. About once a second it asks for everything
// committed since its last poll, as defined by transaction snapshots. So it misses nothing, whatever happens to connections and
// notifications. A notification only makes it poll at once.
type Watch struct {
	WatchOptions
	db     *HookStore
	polls  *sqlx.DB
	id     uuid.UUID
	wake   chan struct{}
	loaded chan struct{}

	// The following fields belong to the goroutine that polls.
	snapshot   string
	server     time.Time // when the server was started: another server's transaction ids may not be comparable
	unreadable map[uuid.UUID]bool

	mu     sync.Mutex
	asked  time.Time     // when the last successful poll began; zero before the first
	known  string        // the snapshot up to which everything was known then
	tried  time.Time     // when the last finished poll began
	failed error         // why the last poll failed
	polled chan struct{} // closed when the current poll, or the next one, has ended

	unreadables atomic.Int64
}

// Watch returns a Watch; call Run to start it.
func (d *HookStore) Watch(o WatchOptions) (*Watch, error) {
	connector, err := pq.NewConnector(d.url)
	if err != nil {
		return nil, fmt.Errorf("read database URL: %w", withoutURL(err))
	}
	db := sql.OpenDB(deadlineConnector{connector, pollDeadline, endsAlone})
	db.SetMaxOpenConns(1)
	return &Watch{
		WatchOptions: o, db: d, polls: sqlx.NewDb(db, "postgres"), id: uuid.New(), wake: make(chan struct{}, 1),
		loaded: make(chan struct{}), unreadable: map[uuid.UUID]bool{}, polled: make(chan struct{}),
	}, nil
}

// Loaded returns a channel that is closed once everything was read and this worker is registered.
func (w *Watch) Loaded() <-chan struct{} { return w.loaded }

// Age returns the time since the last successful poll began. Every change committed before that is known. Before the first poll
// it returns 0.
func (w *Watch) Age() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asked.IsZero() {
		return 0
	}
	return time.Since(w.asked)
}

// StaleAt returns the snapshot up to which everything is known, if gaps may no longer wait for this worker, and "" if they
// certainly do. Call it before acting on the knowledge.
func (w *Watch) StaleAt() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.asked) <= Stale {
		return ""
	}
	return w.known
}

// Unreadable returns the number of hooks that this program cannot decrypt or parse.
func (w *Watch) Unreadable() int { return int(w.unreadables.Load()) }

// Ready reports why the Watch's knowledge cannot be relied on.
func (w *Watch) Ready(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.asked.IsZero() && w.failed != nil:
		return fmt.Errorf("hooks are not loaded yet: %w", w.failed)
	case w.asked.IsZero():
		return errors.New("hooks are not loaded yet")
	case time.Since(w.asked) > Stale && w.failed != nil:
		return fmt.Errorf("hooks are known as they were %s ago: %w", time.Since(w.asked).Round(time.Second), w.failed)
	case time.Since(w.asked) > Stale:
		return fmt.Errorf("hooks are known as they were %s ago: the database does not answer", time.Since(w.asked).Round(time.Second))
	}
	return nil
}

// Refresh waits until everything committed before the call is known. It returns an error if the poll fails.
func (w *Watch) Refresh(ctx context.Context) error {
	for called := time.Now(); ; {
		w.mu.Lock()
		asked, tried, failed, polled := w.asked, w.tried, w.failed, w.polled
		w.mu.Unlock()
		switch {
		case asked.After(called):
			return nil
		case tried.After(called):
			return failed
		}
		w.wakeUp()
		select {
		case <-polled:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *Watch) wakeUp() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Run polls until ctx ends.
func (w *Watch) Run(ctx context.Context) {
	var listening sync.WaitGroup
	listening.Go(func() { w.listen(ctx) })
	defer listening.Wait()
	defer w.polls.Close()
	for ctx.Err() == nil {
		began := time.Now()
		found, err := w.poll(ctx)
		w.ended(began, err)
		wait := pollEvery
		switch {
		case err != nil:
			wait = pollEvery / 2
		case found:
			wait = pollSoon
		}
		w.rest(ctx, pollGap, nil)
		w.rest(ctx, wait-time.Since(began), w.wake)
	}
	w.leave(context.WithoutCancel(ctx))
}

// rest waits until the time has passed, wake receives, or ctx ends.
func (w *Watch) rest(ctx context.Context, wait time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(max(0, wait))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
}

// ended stores the result of a poll.
func (w *Watch) ended(began time.Time, err error) {
	w.mu.Lock()
	first, before := w.asked.IsZero(), w.failed
	w.tried, w.failed = began, err
	if err == nil {
		w.asked, w.known = began, w.snapshot
	}
	close(w.polled)
	w.polled = make(chan struct{})
	w.mu.Unlock()
	switch {
	case err == nil && first:
		close(w.loaded)
	case err == nil && before != nil:
		w.Log.Info("hook changes are visible again")
	case err != nil && before == nil:
		w.Log.Warn("failed to load hook changes, retrying", zap.Error(err))
	}
}

// leave removes the worker's registration, so that nothing waits for it any more.
func (w *Watch) leave(ctx context.Context) {
	if w.Worker != "" {
		_, _ = w.polls.ExecContext(ctx, `DELETE FROM workers WHERE id = $1`, w.id) // on failure the registration expires
	}
}

// change is the key of a changed row.
type change struct{ kind, key string }

// poll applies the changes since the last poll, and reports to others the snapshot known so far. It returns whether there were
// changes.
func (w *Watch) poll(ctx context.Context) (found bool, err error) {
	if w.snapshot == "" {
		return true, w.reload(ctx)
	}
	a, err := w.ask(ctx)
	if err != nil {
		return false, err
	}
	if !a.server.Equal(w.server) || w.Age() > forgetful {
		return true, w.reload(ctx)
	}
	if err := w.apply(ctx, a.changes); err != nil {
		return false, err
	}
	w.snapshot = a.snapshot
	if a.gaps && w.Gaps != nil {
		w.Gaps()
	}
	return len(a.changes) > 0, nil
}

// answer is the result of a poll.
type answer struct {
	snapshot string
	server   time.Time
	changes  []change
	gaps     bool // there are gaps to be closed
}

// ask returns the changes committed since the snapshot, and the next snapshot. It ignores transaction ids in the future: they
// stem from another server, whose data was restored here. The statement that registers this worker also reopens the gaps that
// were closed while it was not registered and that it does not know.
func (w *Watch) ask(ctx context.Context) (answer, error) {
	rows, err := w.polls.QueryContext(ctx, `
		WITH before AS (SELECT coalesce((SELECT expires_at < clock_timestamp() FROM workers WHERE id = $2), true) AS late),
		present AS (
			INSERT INTO workers (id, name, snapshot, unreadable, expires_at)
			SELECT $2, $3, $1::pg_snapshot, $4, clock_timestamp() + $5 * interval '1 microsecond' WHERE $3 <> ''
			ON CONFLICT (id) DO UPDATE SET snapshot = excluded.snapshot, unreadable = excluded.unreadable, expires_at = excluded.expires_at),
		unknown AS (
			SELECT hook_id, xid FROM hook_gaps WHERE $3 <> '' AND (SELECT late FROM before) AND NOT pg_visible_in_snapshot(xid, $1::pg_snapshot)
			ORDER BY hook_id, xid FOR UPDATE),
		reopened AS (
			UPDATE hook_gaps g SET done = false, opened_at = clock_timestamp(), look_from = NULL FROM unknown u
			WHERE (g.hook_id, g.xid) = (u.hook_id, u.xid))
		SELECT pg_current_snapshot()::text, pg_postmaster_start_time(), EXISTS (SELECT FROM hook_gaps WHERE NOT done),
			coalesce(c.kind, ''), coalesce(c.key, '')
		FROM (VALUES (true)) always LEFT JOIN changes c ON c.xid >= pg_snapshot_xmin($1::pg_snapshot)
			AND c.xid < pg_snapshot_xmax(pg_current_snapshot()) AND NOT pg_visible_in_snapshot(c.xid, $1::pg_snapshot)`,
		w.snapshot, w.id, w.Worker, w.Unreadable(), presence.Microseconds())
	if err != nil {
		return answer{}, translate(fmt.Errorf("ask for changes: %w", err))
	}
	defer rows.Close()
	var a answer
	for rows.Next() {
		var c change
		if err := rows.Scan(&a.snapshot, &a.server, &a.gaps, &c.kind, &c.key); err != nil {
			return answer{}, translate(fmt.Errorf("read changes: %w", err))
		}
		if c.kind != "" {
			a.changes = append(a.changes, c)
		}
	}
	if err := rows.Err(); err != nil {
		return answer{}, translate(fmt.Errorf("read changes: %w", err))
	}
	return a, nil
}
