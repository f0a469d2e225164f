package store

import (
	"context"
	"fmt"
	"time"
)

// MinServer is the oldest supported major version of PostgreSQL.
const MinServer = 15

// Diagnosis is what `whisperer doctor` checks of the database.
type Diagnosis struct {
	// Version is the server's, such as 170005 for 17.5.
	Version int       `db:"version"`
	Clock   time.Time `db:"clock"`
	// Bytes is the size of the database.
	Bytes int64 `db:"bytes"`
	// Connections is the number of connections in use, of MaxConnections.
	Connections    int `db:"connections"`
	MaxConnections int `db:"max_connections"`
	// Fsync is false if somebody has traded durability for speed.
	Fsync bool `db:"fsync"`
	// Replica reports that the server is a standby, which is read-only.
	Replica bool `db:"replica"`
	// LastDay is the newest day that has partitions; nil if there are none.
	LastDay *time.Time `db:"last_day"`
	// LongestLock is how long, in seconds, the longest-waiting transaction has been waiting for a lock.
	LongestLock float64 `db:"longest_lock"`
}

// Diagnose reads the state of the server. It works with any schema.
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

// KnowingWorker is a running worker, with the number of hooks that it cannot read.
type KnowingWorker struct {
	Name string `db:"name"`
	// Unreadable is the number of hooks that the worker cannot decrypt or parse.
	Unreadable int `db:"unreadable"`
}

// KnowingWorkers lists the workers that have polled for changes recently.
func (d *DB) KnowingWorkers(ctx context.Context) ([]KnowingWorker, error) {
	var list []KnowingWorker
	err := d.db.SelectContext(ctx, &list, `SELECT name, unreadable FROM workers WHERE expires_at > clock_timestamp() ORDER BY name`)
	if err != nil {
		return nil, translate(fmt.Errorf("list workers: %w", err))
	}
	return list, nil
}
