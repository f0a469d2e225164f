package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
)

const (
	// maxLookups is how many look-ups there are at once.
	maxLookups = 2
	// planLife is how long a plan is used. One that was made for a partition with next to nothing in it may go by an
	// index that is no better than the right one then.
	planLife = time.Second
	// lookupLife is longer than any look-up.
	lookupLife = 10 * time.Second
)

// lookups are connections for a question that every event waits for. It is not planned each time: with a partition for
// each day, planning costs several times what the answer does.
type lookups struct {
	db   *sqlx.DB
	mu   sync.Mutex // never held while the database is asked
	seen *sqlx.Stmt
	made time.Time // of seen
}

func newLookups(c driver.Connector) *lookups {
	db := sql.OpenDB(byIndex{c})
	db.SetMaxOpenConns(maxLookups)
	db.SetMaxIdleConns(maxLookups)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return &lookups{db: sqlx.NewDb(db, "postgres")}
}

// close closes the connections, and all statements with them.
func (l *lookups) close() error { return l.db.Close() }

// bySeen returns the prepared question of SeenEvents.
func (l *lookups) bySeen(ctx context.Context) (*sqlx.Stmt, error) {
	l.mu.Lock()
	s, made := l.seen, l.made
	l.mu.Unlock()
	if s != nil && time.Since(made) < planLife {
		return s, nil
	}
	s, err := l.db.PreparexContext(ctx, seenEvents)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if old := l.seen; old != nil {
		time.AfterFunc(lookupLife, func() { _ = old.Close() }) // it may be in use
	}
	l.seen, l.made = s, time.Now()
	return s, nil
}

// byIndex makes connections that plan a prepared statement once, and go by an index where there is one.
type byIndex struct{ driver.Connector }

// Connect implements driver.Connector.
func (c byIndex) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	run, ok := conn.(driver.ExecerContext)
	if !ok {
		return nil, errors.Join(errors.New("the driver cannot execute"), conn.Close())
	}
	if _, err := run.ExecContext(ctx, `SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off; SET jit = off`, nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn, nil
}
