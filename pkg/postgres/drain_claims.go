package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// A hook without an order is drained by several workers side by side. They share the lease that one who drains alone
// would have, and each takes ranges of the parked deliveries: claims. In a round, each range is taken once, in the order
// of events; a new round begins when the one before has come to its end and no claim is left.

// sharedHolder holds the leases of hooks that are drained by several workers.
const sharedHolder = "(shared)"

// Claim is a range of a hook's parked deliveries that one worker may drain, until it expires: those of events after one
// sequence of the OMS stream, up to another.
type Claim struct {
	HookID      uuid.UUID
	After, UpTo uint64
	// TakenOver says that another worker had the claim and did not finish it. What that one did has to reach the ledger
	// before the range is read.
	TakenOver bool
}

// Unclaimed says why there was nothing to claim.
type Unclaimed struct {
	// Alone says that somebody drains the hook alone.
	Alone bool
	// Claims of others are left in the round that came to its end.
	Claims int
	// Round and TakenTo are where that is; TakenTo is 0 where nothing was parked from the beginning.
	Round   int64
	TakenTo uint64
}

// ShareLease takes the lease together with all others who share it. ok is false where somebody holds it alone.
func (d *DB) ShareLease(ctx context.Context, name string, ttl time.Duration) (ok bool, err error) {
	if ok, err = shareLease(ctx, d.db, name, ttl); err != nil {
		return false, translate(err)
	}
	return ok, nil
}

func shareLease(ctx context.Context, db sqlx.ExecerContext, name string, ttl time.Duration) (bool, error) {
	result, err := db.ExecContext(ctx, `
		INSERT INTO leases AS l (name, holder, fence, expires_at) VALUES ($1, $2, 1, clock_timestamp() + $3 * interval '1 microsecond')
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = greatest(l.expires_at, excluded.expires_at),
			fence = l.fence + (l.holder <> excluded.holder)::int
		WHERE l.expires_at < clock_timestamp() OR l.holder = excluded.holder`, name, sharedHolder, ttl.Microseconds())
	if err != nil {
		return false, fmt.Errorf("share lease %s: %w", name, err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// UnshareLease lets somebody have the shared lease alone at once, unless a claim is left.
func (d *DB) UnshareLease(ctx context.Context, name string, hook uuid.UUID) error {
	_, err := d.db.ExecContext(ctx, `
		UPDATE leases SET expires_at = '-infinity' WHERE name = $1 AND holder = $2
		AND NOT EXISTS (SELECT FROM drain_claims WHERE hook_id = $3)`, name, sharedHolder, hook)
	if err != nil {
		return translate(fmt.Errorf("unshare lease %s: %w", name, err))
	}
	return nil
}

// ClaimParked takes the next range of up to limit parked deliveries of a hook whose lease, of the given name, is shared.
// The claim is nil where there is none to take.
func (d *DB) ClaimParked(ctx context.Context, lease string, hook, holder uuid.UUID, ttl time.Duration, limit int) (*Claim, Unclaimed, error) {
	var claim *Claim
	var why Unclaimed
	err := d.transact(ctx, func(tx *sqlx.Tx) (err error) {
		claim, why, err = claimParked(ctx, tx, lease, hook, holder, ttl, limit)
		return err
	})
	if err != nil {
		return nil, why, translate(fmt.Errorf("claim parked deliveries of hook %s: %w", hook, err))
	}
	return claim, why, nil
}

func claimParked(ctx context.Context, tx *sqlx.Tx, lease string, hook, holder uuid.UUID, ttl time.Duration, limit int) (*Claim, Unclaimed, error) {
	var why Unclaimed
	if shared, err := shareLease(ctx, tx, lease, ttl); err != nil || !shared {
		return nil, Unclaimed{Alone: true}, err
	}
	if _, err := tx.ExecContext(ctx, `INSERT INTO drains (hook_id) VALUES ($1) ON CONFLICT DO NOTHING`, hook); err != nil {
		return nil, why, err
	}
	var at struct {
		Round   int64 `db:"round"`
		TakenTo int64 `db:"taken_to"`
	}
	if err := tx.GetContext(ctx, &at, `SELECT round, taken_to FROM drains WHERE hook_id = $1 FOR UPDATE`, hook); err != nil {
		return nil, why, err
	}
	why.Round, why.TakenTo = at.Round, uint64(at.TakenTo) //nolint:gosec // never negative
	claim, err := takeOver(ctx, tx, hook, holder, ttl)
	if claim != nil || err != nil {
		return claim, why, err
	}
	var upTo sql.NullInt64
	err = tx.GetContext(ctx, &upTo, `
		SELECT max(event_seq) FROM (
			SELECT event_seq FROM deliveries WHERE hook_id = $1 AND state = 'parked' AND event_seq > $2 ORDER BY event_seq LIMIT $3
		) next`, hook, at.TakenTo, limit)
	if err != nil {
		return nil, why, err
	}
	if !upTo.Valid {
		err := tx.GetContext(ctx, &why.Claims, `SELECT count(*) FROM drain_claims WHERE hook_id = $1`, hook)
		return nil, why, err
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO drain_claims (hook_id, after_seq, up_to_seq, holder, expires_at)
		VALUES ($1, $2, $3, $4, clock_timestamp() + $5 * interval '1 microsecond')`, hook, at.TakenTo, upTo.Int64, holder, ttl.Microseconds())
	if err != nil {
		return nil, why, err
	}
	_, err = tx.ExecContext(ctx, `UPDATE drains SET taken_to = $2 WHERE hook_id = $1`, hook, upTo.Int64)
	return &Claim{HookID: hook, After: why.TakenTo, UpTo: uint64(upTo.Int64)}, why, err //nolint:gosec // never negative
}

// takeOver takes the first claim that has expired; nil for none.
func takeOver(ctx context.Context, tx *sqlx.Tx, hook, holder uuid.UUID, ttl time.Duration) (*Claim, error) {
	var row struct {
		After int64 `db:"after_seq"`
		UpTo  int64 `db:"up_to_seq"`
	}
	err := tx.GetContext(ctx, &row, `
		UPDATE drain_claims SET holder = $2, expires_at = clock_timestamp() + $3 * interval '1 microsecond'
		WHERE (hook_id, after_seq) = (
			SELECT hook_id, after_seq FROM drain_claims WHERE hook_id = $1 AND expires_at < clock_timestamp() ORDER BY after_seq LIMIT 1)
		RETURNING after_seq, up_to_seq`, hook, holder, ttl.Microseconds())
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return nil, nil //nolint:nilnil // there is none
	case err != nil:
		return nil, err
	}
	return &Claim{HookID: hook, After: uint64(row.After), UpTo: uint64(row.UpTo), TakenOver: true}, nil //nolint:gosec // never negative
}

// RenewClaims prolongs the lease and all claims of the holder, and returns how many these are.
func (d *DB) RenewClaims(ctx context.Context, lease string, hook, holder uuid.UUID, ttl time.Duration) (claims int, err error) {
	err = d.transact(ctx, func(tx *sqlx.Tx) error {
		if shared, err := shareLease(ctx, tx, lease, ttl); err != nil || !shared {
			return err // somebody has it alone: no claim is worth anything
		}
		result, err := tx.ExecContext(ctx, `
			UPDATE drain_claims SET expires_at = clock_timestamp() + $3 * interval '1 microsecond'
			WHERE hook_id = $1 AND holder = $2`, hook, holder, ttl.Microseconds())
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		claims = int(n)
		return err
	})
	if err != nil {
		return 0, translate(fmt.Errorf("renew claims of hook %s: %w", hook, err))
	}
	return claims, nil
}

// EndClaim drops a claim of the holder: all in it was tried, and that is in the ledger's stream. With again it is left for
// whoever comes next instead, since some was not.
func (d *DB) EndClaim(ctx context.Context, c Claim, holder uuid.UUID, again bool) error {
	query := `DELETE FROM drain_claims WHERE hook_id = $1 AND after_seq = $2 AND holder = $3`
	if again {
		query = `UPDATE drain_claims SET expires_at = '-infinity' WHERE hook_id = $1 AND after_seq = $2 AND holder = $3`
	}
	if _, err := d.db.ExecContext(ctx, query, c.HookID, int64(c.After), holder); err != nil { //nolint:gosec // a stream's sequence fits
		return translate(fmt.Errorf("end claim of hook %s: %w", c.HookID, err))
	}
	return nil
}

// NextRound begins a round of draining, if the one that came to its end is still where it was and no claim is left. All
// that was done in it has to have reached the ledger before.
func (d *DB) NextRound(ctx context.Context, hook uuid.UUID, ended Unclaimed) (ok bool, err error) {
	result, err := d.db.ExecContext(ctx, `
		UPDATE drains SET round = round + 1, taken_to = 0 WHERE hook_id = $1 AND round = $2 AND taken_to = $3
		AND NOT EXISTS (SELECT FROM drain_claims WHERE hook_id = $1)`, hook, ended.Round, int64(ended.TakenTo)) //nolint:gosec // a stream's sequence fits
	if err != nil {
		return false, translate(fmt.Errorf("begin round of hook %s: %w", hook, err))
	}
	n, err := result.RowsAffected()
	return n == 1, err
}
