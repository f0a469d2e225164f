package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Lease is the exclusive right to do something until the lease expires.
type Lease struct {
	Name   string
	Holder string
	// Fence increases with each acquisition.
	Fence int64
}

// Acquire takes the lease if nobody holds it, or the last holder let it expire. ok is false if another holds it.
func (d *LeaseStore) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (lease Lease, ok bool, err error) {
	lease = Lease{Name: name, Holder: holder}
	err = d.db.GetContext(ctx, &lease.Fence, `
		INSERT INTO leases AS l (name, holder, fence, expires_at) VALUES ($1, $2, 1, clock_timestamp() + $3 * interval '1 microsecond')
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, fence = l.fence + 1, expires_at = excluded.expires_at
		WHERE l.expires_at < clock_timestamp() RETURNING fence`, name, holder, ttl.Microseconds())
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return lease, false, nil
	case err != nil:
		return lease, false, translate(fmt.Errorf("acquire lease %s: %w", name, err))
	}
	return lease, true, nil
}

// Renew extends the lease. ok is false if another holds it by now.
func (d *LeaseStore) Renew(ctx context.Context, l Lease, ttl time.Duration) (ok bool, err error) {
	result, err := d.db.ExecContext(ctx, `
		UPDATE leases SET expires_at = clock_timestamp() + $4 * interval '1 microsecond'
		WHERE name = $1 AND holder = $2 AND fence = $3`, l.Name, l.Holder, l.Fence, ttl.Microseconds())
	if err != nil {
		return false, translate(fmt.Errorf("renew lease %s: %w", l.Name, err))
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// Release ends the lease, so that others can take it at once.
func (d *LeaseStore) Release(ctx context.Context, l Lease) error {
	_, err := d.db.ExecContext(ctx, `
		UPDATE leases SET expires_at = '-infinity' WHERE name = $1 AND holder = $2 AND fence = $3`, l.Name, l.Holder, l.Fence)
	if err != nil {
		return translate(fmt.Errorf("release lease %s: %w", l.Name, err))
	}
	return nil
}

// EnsureDay creates the partitions for the UTC day of the given time.
func (d *LedgerStore) EnsureDay(ctx context.Context, at time.Time) error {
	if _, err := d.db.ExecContext(ctx, `SELECT whisperer_ensure_day($1::date)`, at.UTC().Format(time.DateOnly)); err != nil {
		return translate(fmt.Errorf("make partitions: %w", err))
	}
	return nil
}
