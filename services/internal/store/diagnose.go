package store

import (
	"context"
	"fmt"
	"time"
)

// MinServer is the oldest major version of PostgreSQL that works.
const MinServer = 15

// Diagnosis is what a doctor wants to know of the database.
type Diagnosis struct {
	// Version is the server's, such as 170005 for 17.5.
	Version int       `db:"version"`
	Clock   time.Time `db:"clock"`
	// Bytes is the size of the database.
	Bytes int64 `db:"bytes"`
	// Connections are in use of MaxConnections.
	Connections    int `db:"connections"`
	MaxConnections int `db:"max_connections"`
	// Fsync is on unless somebody gave durability up.
	Fsync bool `db:"fsync"`
	// Replica says that the server only reads.
	Replica bool `db:"replica"`
	// LastDay is the newest day that has partitions; nil where there are none.
	LastDay *time.Time `db:"last_day"`
	// LongestLock is how long the oldest transaction that waits for a lock has been waiting, in seconds.
	LongestLock float64 `db:"longest_lock"`
}

// Diagnose asks the server how it is. It works on any schema.
func (d *DB) Diagnose(ctx context.Context) (Diagnosis, error) {
	var out Diagnosis
	err := d.db.GetContext(ctx, &out, `
		SELECT current_setting('server_version_num')::int AS version, clock_timestamp() AS clock,
			pg_database_size(current_database()) AS bytes,
			(SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
			current_setting('max_connections')::int AS max_connections, current_setting('fsync')::bool AS fsync,
			pg_is_in_recovery() AS replica,
			(SELECT max(to_date(substring(c.relname FROM '[0-9]{8}$'), 'YYYYMMDD'))::timestamp AT TIME ZONE 'UTC'
				FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
				WHERE i.inhparent = to_regclass('deliveries') AND c.relname ~ '[0-9]{8}$') AS last_day,
			coalesce((SELECT extract(epoch FROM max(clock_timestamp() - state_change)) FROM pg_stat_activity
				WHERE wait_event_type = 'Lock'), 0) AS longest_lock`)
	if err != nil {
		return out, translate(fmt.Errorf("diagnose database: %w", err))
	}
	return out, nil
}

// KnowingWorker is a worker that runs, and what it cannot use of what it knows.
type KnowingWorker struct {
	Name string `db:"name"`
	// Unreadable hooks cannot be opened or read by it.
	Unreadable int `db:"unreadable"`
}

// KnowingWorkers lists the workers that have asked for changes lately.
func (d *DB) KnowingWorkers(ctx context.Context) ([]KnowingWorker, error) {
	var list []KnowingWorker
	err := d.db.SelectContext(ctx, &list, `SELECT name, unreadable FROM workers WHERE expires_at > clock_timestamp() ORDER BY name`)
	if err != nil {
		return nil, translate(fmt.Errorf("list workers: %w", err))
	}
	return list, nil
}
