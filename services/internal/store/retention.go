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
	// detachTime is how long the detaching of a partition waits for those who read it. It keeps nobody waiting meanwhile.
	detachTime = 5 * time.Second
	// dropLock is how long the drop of one waits for a lock, during which others may wait behind it.
	dropLock = "500ms"
)

// oldDay is a partition of a day that is over, or was one.
type oldDay struct {
	Parent string `db:"parent"`
	Name   string `db:"name"`
	// State is "attached", "pending" where it was being detached and that did not come to its end, or "detached".
	State string `db:"state"`
}

// oldDays lists them, those first whose drop is under way: of each table, one at a time can be.
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

// DropDays drops what was published before the given times, by whole days: payloads, and all else that the ledger has. It
// keeps nobody waiting who reads or writes, and does not wait long for them: a partition that somebody reads is detached,
// and dropped by a later call. Partitions that could not be dropped yet are no error; busy counts them.
func (d *LedgerStore) DropDays(ctx context.Context, payloads, others time.Time) (dropped, busy int, err error) {
	var list []oldDay
	err = d.db.SelectContext(ctx, &list, oldDays, payloads.UTC().Format(time.DateOnly), others.UTC().Format(time.DateOnly))
	if err != nil {
		return 0, 0, translate(fmt.Errorf("list old partitions: %w", err))
	}
	stuck := map[string]bool{} // tables one partition of which is being detached: the next has to wait
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

// DropCopies forgets where copies of events were that were published before the time.
func (d *LedgerStore) DropCopies(ctx context.Context, before time.Time) error {
	if _, err := d.db.ExecContext(ctx, `DELETE FROM event_copies WHERE published_at < $1`, before); err != nil {
		return translate(fmt.Errorf("forget copies of events: %w", err))
	}
	return nil
}

// isLockConflict reports whether others used what was to be locked: it was not waited for any longer.
func isLockConflict(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || isCode(err, "55P03") || isCode(err, "57014") || isCode(err, "40P01") // lock_not_available, query_canceled, deadlock_detected
}

// dropDay drops one partition: in a transaction of its own, after it was detached without keeping anybody waiting.
func (d *core) dropDay(ctx context.Context, o oldDay) error {
	parent, name := pq.QuoteIdentifier(o.Parent), pq.QuoteIdentifier(o.Name)
	if o.State == "attached" {
		// Given up, it stays pending: from then on nobody new reads or writes it.
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
