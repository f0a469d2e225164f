package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/lib/pq"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

const (
	// maxLookups is the number of concurrent look-ups.
	maxLookups = 2
	// lookupSilence is how long a connection may remain silent before it is given up. Callers do not wait that long.
	lookupSilence = 2 * time.Second
)

// SameEvent is the period within which the same id means the same event. The statements earlierEvents and mergeEvents contain
// it, too.
const SameEvent = 24 * time.Hour

// EventKey identifies an event in the ledger.
type EventKey struct {
	Tenant, ID string
}

// Published is an event's key and the time of its publication.
type Published struct {
	EventKey
	At time.Time
}

// SeenEvent is an event that the ledger already has under an id.
type SeenEvent struct {
	Seq    webhook.Sequence
	Digest []byte
}

// earlierEvents looks the ids up as ranges in order. With sorting switched off, only the primary key is then a good plan,
// whatever the table's statistics say. $4 lets the planner prune partitions.
const earlierEvents = `
SELECT k.tenant, k.id, e.seq, e.digest FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS k (tenant, id, at)
CROSS JOIN LATERAL (
	SELECT seq, digest FROM events WHERE tenant = k.tenant AND id >= k.id AND id <= k.id
	AND published_at < k.at AND published_at > k.at - interval '24 hours' AND published_at > $4 ORDER BY id
) e`

// SeenEvents looks up which of the events have ids of events that were published in the 24 h before them. If several have the
// same id, it returns the first in the stream. Times are the bus's: if its clock was set back meanwhile, older events may
// appear younger and are not found. ctx bounds the wait for a connection, but not that for an answer. The error is
// ErrUnavailable if the database cannot be queried.
func (d *LedgerStore) SeenEvents(ctx context.Context, events []Published) (map[EventKey]SeenEvent, error) {
	if len(events) == 0 {
		return nil, nil
	}
	seen, err := d.lookups.earlier(ctx, events)
	if err != nil {
		return nil, translate(fmt.Errorf("look up events: %w", err))
	}
	return seen, nil
}

// EventIDs calls take with the id of each event published after since, each tenant's newest first. If there are more than
// limit, it returns false after limit calls. The error is ErrUnavailable if the database cannot be queried.
func (d *LedgerStore) EventIDs(ctx context.Context, since time.Time, limit int, take func(EventKey)) (all bool, err error) {
	rows, err := d.db.QueryContext(ctx, `
		SELECT t.name, e.id FROM tenants t CROSS JOIN LATERAL (
			SELECT id FROM events WHERE tenant = t.name AND published_at > $1 ORDER BY published_at DESC LIMIT $2
		) e LIMIT $2`, since, limit+1)
	if err != nil {
		return false, translate(fmt.Errorf("list ids of events: %w", err))
	}
	defer rows.Close()
	n := 0
	for ; n < limit && rows.Next(); n++ {
		var key EventKey
		if err := rows.Scan(&key.Tenant, &key.ID); err != nil {
			return false, translate(fmt.Errorf("list ids of events: %w", err))
		}
		take(key)
	}
	more := rows.Next()
	if err := rows.Err(); err != nil {
		return false, translate(fmt.Errorf("list ids of events: %w", err))
	}
	return !more, nil
}

// lookups holds connections for the query that every event waits for. The query is planned only once, and again for each new
// partition, because planning takes several times as long as the query itself.
type lookups struct {
	db    *sql.DB
	slots chan struct{} // one per connection: waiting for a slot can be cancelled, waiting for an answer cannot

	mu  sync.Mutex // held while the statement is prepared; those who wait hold slots
	ask *sql.Stmt
}

func newLookups(c driver.Connector) *lookups {
	db := sql.OpenDB(byPrimaryKey{c})
	db.SetMaxOpenConns(maxLookups)
	db.SetMaxIdleConns(maxLookups)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return &lookups{db: db, slots: make(chan struct{}, maxLookups)}
}

// earlier runs the query of SeenEvents.
func (l *lookups) earlier(ctx context.Context, events []Published) (map[EventKey]SeenEvent, error) {
	select {
	case l.slots <- struct{}{}:
		defer func() { <-l.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ctx = context.WithoutCancel(ctx) // a cancellable context costs two goroutines, and the driver waits anyway
	ask, err := l.prepared(ctx)      //nolint:sqlclosecheck // it is kept
	if err != nil {
		return nil, err
	}
	n := len(events)
	tenants, ids, times, oldest := make(pq.StringArray, n), make(pq.StringArray, n), make(pq.StringArray, n), events[0].At
	for i, e := range events {
		tenants[i], ids[i], times[i] = e.Tenant, e.ID, e.At.UTC().Format(time.RFC3339Nano)
		if e.At.Before(oldest) { // the event was redelivered
			oldest = e.At
		}
	}
	rows, err := ask.QueryContext(ctx, tenants, ids, times, oldest.Add(-SameEvent))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	return seenIn(rows)
}

// seenIn reads the query's result.
func seenIn(rows *sql.Rows) (map[EventKey]SeenEvent, error) {
	seen := map[EventKey]SeenEvent{}
	for rows.Next() {
		var key EventKey
		var e SeenEvent
		if err := rows.Scan(&key.Tenant, &key.ID, &e.Seq, &e.Digest); err != nil {
			return nil, err
		}
		if before, ok := seen[key]; !ok || e.Seq < before.Seq {
			seen[key] = e
		}
	}
	return seen, rows.Err()
}

func (l *lookups) prepared(ctx context.Context) (*sql.Stmt, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ask == nil {
		ask, err := l.db.PrepareContext(ctx, earlierEvents)
		if err != nil {
			return nil, err
		}
		l.ask = ask
	}
	return l.ask, nil
}

// close closes the connections and their statements.
func (l *lookups) close() error { return l.db.Close() }

// byPrimaryKey makes connections that plan a prepared statement once, and read tables in the order of an index.
type byPrimaryKey struct{ driver.Connector }

// Connect implements driver.Connector.
func (c byPrimaryKey) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	run, ok := conn.(driver.ExecerContext)
	if !ok {
		return nil, errors.Join(errors.New("the driver cannot execute"), conn.Close())
	}
	if _, err := run.ExecContext(ctx, `
		SET plan_cache_mode = force_generic_plan; SET jit = off;
		SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_sort = off`, nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}
