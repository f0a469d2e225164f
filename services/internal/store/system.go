package store

import (
	"context"
	"fmt"
	"time"
)

// System is the state of the database, with the leases of the programs that use it.
type System struct {
	// Server is PostgreSQL's version, such as 17.6.
	Server string
	// Schema is the database's schema version, and Wanted the one that this program needs.
	Schema, Wanted int64
	// Size is the size of the database on disk, in bytes.
	Size   int64
	Leases []HeldLease
}

// HeldLease is a lease that a worker holds.
type HeldLease struct {
	Name      string    `db:"name"`
	Holder    string    `db:"holder"`
	Fence     int64     `db:"fence"`
	ExpiresAt time.Time `db:"expires_at"`
}

// maxLeases bounds the leases in a System: there is one for each hook that is being drained.
const maxLeases = 50

// DescribeSystem reads the state of the database.
func (d *HistoryStore) DescribeSystem(ctx context.Context) (System, error) {
	var s System
	var err error
	if s.Schema, s.Wanted, err = d.schema(ctx); err != nil {
		return s, translate(err)
	}
	err = d.db.QueryRowxContext(ctx, `SELECT split_part(current_setting('server_version'), ' ', 1), pg_database_size(current_database())`).
		Scan(&s.Server, &s.Size)
	if err != nil {
		return s, translate(fmt.Errorf("read database version: %w", err))
	}
	err = d.db.SelectContext(ctx, &s.Leases, `
		SELECT name, holder, fence, expires_at FROM leases WHERE expires_at > now() ORDER BY holder, name LIMIT $1`, maxLeases)
	if err != nil {
		return s, translate(fmt.Errorf("list leases: %w", err))
	}
	for i := range s.Leases {
		s.Leases[i].ExpiresAt = s.Leases[i].ExpiresAt.UTC()
	}
	return s, nil
}

// WorkerSeen is a worker that has made attempts.
type WorkerSeen struct {
	Worker   string    `db:"worker"`
	Attempts int       `db:"attempts"`
	LastAt   time.Time `db:"last_at"`
}

// ListWorkers lists the workers that made the attempts of a tenant's newest deliveries since the given time, at most
// durationSample deliveries.
func (d *HistoryStore) ListWorkers(ctx context.Context, tenant string, since time.Time) ([]WorkerSeen, error) {
	var list []WorkerSeen
	err := d.db.SelectContext(ctx, &list, `
		SELECT a.worker, count(*) AS attempts, max(a.started_at) AS last_at FROM (
			SELECT id, published_at FROM deliveries WHERE tenant = $1 AND published_at >= $2
			ORDER BY published_at DESC, id DESC LIMIT $3
		) d JOIN attempts a ON a.delivery_id = d.id AND a.published_at = d.published_at
		WHERE a.published_at >= $2 GROUP BY 1 ORDER BY 3 DESC`, tenant, since, durationSample)
	if err != nil {
		return nil, translate(fmt.Errorf("list workers: %w", err))
	}
	for i := range list {
		list[i].LastAt = list[i].LastAt.UTC()
	}
	return list, nil
}
