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

// HookSet is kept equal to the hooks and tenants in the database by a Watch.
type HookSet interface {
	// Replace takes all hooks and tenants there are.
	Replace(hooks []*webhook.Hook, tenants []string)
	// Put takes a hook that is new or has changed.
	Put(hook webhook.Hook)
	// Remove forgets a hook, if it is known.
	Remove(id uuid.UUID)
	// SetTenant takes a tenant that is new, or forgets one that is not there any more.
	SetTenant(name string, there bool)
	// PutBacklog is told that a hook got parked deliveries.
	PutBacklog(hook uuid.UUID)
}

const (
	// Stale is from which age on what a Watch knows is not to be relied on: something is wrong with the database, or with
	// the way to it.
	Stale = 5 * time.Second
	// presence is how long others count with a worker after its last poll. It is longer than Stale: a worker that nobody
	// counts with any more knows that it is stale.
	presence = 2 * Stale
	// pollEvery is how often there is a poll without a notification, pollSoon how soon after one that found something, so
	// that others learn that this worker knows it; pollGap is between any two.
	pollEvery = time.Second
	pollSoon  = 100 * time.Millisecond
	pollGap   = 10 * time.Millisecond
	// pollDeadline is how long the server may be silent within a poll.
	pollDeadline = 3 * time.Second
	// forgetful is after how long without a poll everything is read again. The housekeeper keeps changes for longer.
	forgetful = time.Hour
)

// WatchOptions say what a Watch keeps current.
type WatchOptions struct {
	// Hooks, Types and Keys are kept equal to the database; nil for what is not wanted.
	Hooks HookSet
	Types TypeSet
	Keys  KeySet
	// Erased is kept equal to the events that are erased; nil for what is not wanted.
	Erased ErasedSet
	// Worker is the name of a worker that fans events out, which others then count with; empty for other programs.
	Worker string
	// Gaps, if not nil, is called when there are gaps to be closed; it must not block.
	Gaps func()
	Log  *zap.Logger
}

// Watch knows what was changed in the database, and how old that knowledge is. It asks about once a second for all that was
// committed since it asked last, as snapshots of transactions tell it, so that it misses nothing, whatever happens to
// connections and notifications. A notification only makes it ask at once.
type Watch struct {
	WatchOptions
	db     *HookStore
	polls  *sqlx.DB
	id     uuid.UUID
	wake   chan struct{}
	loaded chan struct{}

	// Of the goroutine that polls.
	snapshot   string
	server     time.Time // when it was started: another one may count transactions otherwise
	unreadable map[uuid.UUID]bool

	mu     sync.Mutex
	asked  time.Time     // when the last poll that succeeded began; zero before the first
	known  string        // the snapshot up to which everything is known since
	tried  time.Time     // when the last poll that has ended began
	failed error         // why the last poll failed
	polled chan struct{} // closed when the poll under way, or the next one, has ended

	unreadables atomic.Int64
}

// Watch makes a Watch. Run it.
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

// Loaded is closed once everything was read, and others know that this worker has.
func (w *Watch) Loaded() <-chan struct{} { return w.loaded }

// Age is how long ago the last poll that succeeded began: every change that was committed before is known.
func (w *Watch) Age() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.asked.IsZero() {
		return 0
	}
	return time.Since(w.asked)
}

// StaleAt returns the snapshot up to which everything is known, where others may not count with this worker any more, and ""
// where they surely do. Whoever acts on what is known asks before.
func (w *Watch) StaleAt() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.asked) <= Stale {
		return ""
	}
	return w.known
}

// Unreadable is how many hooks cannot be opened or read by this program.
func (w *Watch) Unreadable() int { return int(w.unreadables.Load()) }

// Ready reports why what is known cannot be relied on.
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

// Refresh returns when all that was committed before it was called is known, and an error where that cannot be found out.
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

// rest waits, but not beyond what ctx and wake say.
func (w *Watch) rest(ctx context.Context, wait time.Duration, wake <-chan struct{}) {
	timer := time.NewTimer(max(0, wait))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-wake:
	case <-ctx.Done():
	}
}

// ended notes how a poll went.
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

// leave tells others not to count with this worker any more.
func (w *Watch) leave(ctx context.Context) {
	if w.Worker != "" {
		_, _ = w.polls.ExecContext(ctx, `DELETE FROM workers WHERE id = $1`, w.id) // else it expires
	}
}

// change is the key of a row that was changed.
type change struct{ kind, key string }

// poll brings what is known up to date, and tells others up to where it was before. It reports whether there was anything.
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

// answer is what a poll brings.
type answer struct {
	snapshot string
	server   time.Time
	changes  []change
	gaps     bool // there are some to be closed
}

// ask returns what was committed since the snapshot, and the next one. Transactions of the future are of another server,
// whose data was restored here. Gaps that were closed while nobody counted with this worker, which did not know of them, are
// opened again, by the same statement that makes others count with it.
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
