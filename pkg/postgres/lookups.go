package postgres

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
)

// maxLookups is how many look-ups there are at once.
const maxLookups = 2

// lookups are connections for a question that every event waits for. It is planned once for each connection: with a
// partition for each day, planning costs several times what the answer does. The plan must do for partitions that are
// empty when it is made and full later, so it has to go by the index.
type lookups struct {
	db   *sqlx.DB
	seen *atomic.Pointer[sqlx.Stmt]
}

func newLookups(c driver.Connector) lookups {
	db := sql.OpenDB(byIndex{c})
	db.SetMaxOpenConns(maxLookups)
	db.SetMaxIdleConns(maxLookups)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return lookups{db: sqlx.NewDb(db, "postgres"), seen: &atomic.Pointer[sqlx.Stmt]{}}
}

func (l lookups) close() error {
	if s := l.seen.Load(); s != nil {
		_ = s.Close()
	}
	return l.db.Close()
}

// bySeen returns the prepared question of SeenEvents.
func (l lookups) bySeen(ctx context.Context) (*sqlx.Stmt, error) {
	if s := l.seen.Load(); s != nil {
		return s, nil
	}
	s, err := l.db.PreparexContext(ctx, seenEvents)
	if err != nil {
		return nil, err
	}
	if !l.seen.CompareAndSwap(nil, s) { // another was quicker
		_ = s.Close() //nolint:sqlclosecheck // only then
	}
	return l.seen.Load(), nil
}

// byIndex makes connections that plan a prepared statement once, and by an index where there is one.
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
