package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

const (
	// detachTime is how long detaching a partition waits for its readers. It blocks nobody meanwhile.
	detachTime = 5 * time.Second
	// dropLock is how long dropping a partition waits for a lock. Others may queue up behind it meanwhile.
	dropLock = "500ms"
)

// oldDay is a partition of a past day, or a detached one.
type oldDay struct {
	Parent string `db:"parent"`
	Name   string `db:"name"`
	// State is "attached", "pending" if detaching it was begun but not finished, or "detached".
	State string `db:"state"`
}

// oldDays lists the old partitions. Those whose drop was begun come first, because only one partition of a table can be
// detached at a time.
const oldDays = `
SELECT p.relname AS parent, c.relname AS name,
	CASE WHEN i.inhrelid IS NULL THEN 'detached' WHEN i.inhdetachpending THEN 'pending' ELSE 'attached' END AS state
FROM pg_class p
JOIN pg_class c ON c.relnamespace = p.relnamespace AND c.relkind = 'r'
LEFT JOIN pg_inherits i ON i.inhrelid = c.oid AND i.inhparent = p.oid
WHERE p.oid IN ('events'::regclass, 'deliveries'::regclass, 'attempts'::regclass, 'rejected_events'::regclass)
AND CASE WHEN c.relname ~ ('^' || p.relname || '_[0-9]{8}$')
	THEN to_date(right(c.relname, 8), 'YYYYMMDD') < CASE p.relname WHEN 'events' THEN $1::date ELSE $2::date END END
ORDER BY i.inhrelid IS NOT NULL, NOT i.inhdetachpending, right(c.relname, 8), p.relname`

// DropDays drops the partitions of days before the given times: one for payloads, one for the rest of the ledger. It neither
// blocks readers and writers nor waits long for them: a partition that is being read is detached, and dropped by a later call.
// busy counts the partitions that could not be dropped yet, which is not an error.
func (d *LedgerStore) DropDays(ctx context.Context, payloads, others time.Time) (dropped, busy int, err error) {
	var list []oldDay
	err = d.db.SelectContext(ctx, &list, oldDays, payloads.UTC().Format(time.DateOnly), others.UTC().Format(time.DateOnly))
	if err != nil {
		return 0, 0, translate(fmt.Errorf("list old partitions: %w", err))
	}
	stuck := map[string]bool{} // tables that have a partition being detached, so that the next one has to wait
	var failed []error
	for _, o := range list {
		if o.State != "detached" && stuck[o.Parent] {
			busy++
			continue
		}
		err := d.dropDay(ctx, o)
		switch {
		case err == nil:
			dropped++
		case ctx.Err() != nil:
			return dropped, busy, translate(fmt.Errorf("drop partition %s: %w", o.Name, err))
		default:
			stuck[o.Parent] = stuck[o.Parent] || o.State != "detached"
			if isLockConflict(err) {
				busy++
			} else {
				failed = append(failed, translate(fmt.Errorf("drop partition %s: %w", o.Name, err)))
			}
		}
	}
	return dropped, busy, errors.Join(failed...)
}

// DropCopies deletes the positions of copies of events that were published before the given time.
func (d *LedgerStore) DropCopies(ctx context.Context, before time.Time) error {
	if _, err := d.db.ExecContext(ctx, `DELETE FROM event_copies WHERE published_at < $1`, before); err != nil {
		return translate(fmt.Errorf("forget copies of events: %w", err))
	}
	return nil
}

// isLockConflict reports whether a lock could not be acquired in time because others used the table.
func isLockConflict(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || isCode(err, "55P03") || isCode(err, "57014") || isCode(err, "40P01") // lock_not_available, query_canceled, deadlock_detected
}

// dropDay drops one partition in a transaction of its own, after detaching it without blocking others.
func (d *core) dropDay(ctx context.Context, o oldDay) error {
	parent, name := pq.QuoteIdentifier(o.Parent), pq.QuoteIdentifier(o.Name)
	if o.State == "attached" {
		// If this is given up, the partition stays pending, and new transactions no longer use it.
		waiting, cancel := context.WithTimeout(ctx, detachTime)
		defer cancel()
		if _, err := d.db.ExecContext(waiting, `ALTER TABLE `+parent+` DETACH PARTITION `+name+` CONCURRENTLY`); err != nil {
			return err
		}
	}
	return d.transact(ctx, func(tx *sqlx.Tx) error {
		statements := []string{`SET LOCAL lock_timeout = '` + dropLock + `'`}
		if o.State == "pending" {
			statements = append(statements, `ALTER TABLE `+parent+` DETACH PARTITION `+name+` FINALIZE`)
		}
		for _, s := range append(statements, `DROP TABLE `+name) {
			if _, err := tx.ExecContext(ctx, s); err != nil {
				return err
			}
		}
		return nil
	})
}
