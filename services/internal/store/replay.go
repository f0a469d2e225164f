package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// ReplayError reports why something cannot be replayed.
type ReplayError struct {
	// Reason is one or two sentences for people.
	Reason string
}

// Error returns the reason.
func (e *ReplayError) Error() string { return e.Reason }

func refuseReplay(reason string) error { return &ReplayError{Reason: reason} }

// parkAgain begins a new round of attempts, as soon as the hook can take it. A retry that is scheduled on the bus is left
// there: when it is due, the ledger says that the delivery is parked.
const parkAgain = `state = 'parked', reason = 'replay', replay = true, next_at = NULL, round_attempts = 0,
	round_started_at = NULL, updated_at = clock_timestamp()`

// RetryDelivery parks a delivery for another round of attempts. With force it also accepts one that was delivered or
// superseded. The errors are webhook.ErrNotFound, and *ReplayError if the delivery cannot be repeated: it was delivered or
// superseded, its hook was deleted or disabled, or its payload was erased or is no longer kept.
func (d *JobStore) RetryDelivery(ctx context.Context, actor Actor, tenant string, id uuid.UUID, force bool) error {
	return d.change(ctx, actor, func(tx *sqlx.Tx) (audited, error) {
		var row struct {
			PublishedAt time.Time      `db:"published_at"`
			HookID      uuid.UUID      `db:"hook_id"`
			State       string         `db:"state"`
			HookStatus  sql.NullString `db:"status"`
			Payload     bool           `db:"payload"`
			erasedColumns
		}
		err := tx.GetContext(ctx, &row, `
			SELECT d.published_at, d.hook_id, d.state, h.status, e.id IS NOT NULL AS payload, e.erased_at, e.erased_by
			FROM deliveries d LEFT JOIN hooks h ON h.id = d.hook_id
			LEFT JOIN events e ON e.tenant = d.tenant AND e.id = d.event_id AND e.published_at = d.published_at
			WHERE d.id = $1 AND d.tenant = $2 ORDER BY d.published_at DESC LIMIT 1 FOR UPDATE OF d`, id, tenant)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			return audited{}, fmt.Errorf("delivery %s: %w", id, webhook.ErrNotFound)
		case err != nil:
			return audited{}, fmt.Errorf("look up delivery %s: %w", id, err)
		case !row.HookStatus.Valid:
			return audited{}, refuseReplay("Its hook has been deleted.")
		case row.HookStatus.String == string(webhook.Disabled):
			return audited{}, refuseReplay("Its hook is disabled: resume the hook first.")
		case row.State == string(webhook.Delivered) && !force:
			return audited{}, refuseReplay(`It was delivered. To send it again nevertheless, send {"force": true}.`)
		case row.State == string(webhook.Superseded) && !force:
			return audited{}, refuseReplay(`It was superseded: a newer event of the same entity took its place. To send it nevertheless, send {"force": true}.`)
		case row.erased() != nil:
			return audited{}, refuseReplay("The event's payload was " + row.erased().String() + ".")
		case !row.Payload:
			return audited{}, refuseReplay("The event's payload is not there: it is kept for a limited time only.")
		}
		_, err = tx.ExecContext(ctx, `UPDATE deliveries SET `+parkAgain+` WHERE id = $1 AND published_at = $2`, id, row.PublishedAt)
		if err != nil {
			return audited{}, fmt.Errorf("park delivery %s: %w", id, err)
		}
		if err := touchBacklog(ctx, tx, row.HookID); err != nil {
			return audited{}, err
		}
		return audited{
			tenant: tenant, action: "delivery.retried", subject: id.String(),
			detail: map[string]any{"hook": row.HookID, "was": row.State, "force": force},
		}, nil
	})
}

// touchBacklog notifies the drainers, when the transaction commits, that the hooks have parked deliveries.
func touchBacklog(ctx context.Context, tx *sqlx.Tx, hooks ...uuid.UUID) error {
	_, err := tx.ExecContext(ctx, `
		WITH touched AS (
			INSERT INTO backlogs (hook_id) SELECT DISTINCT hook FROM unnest($1::uuid[]) hook ORDER BY hook
			ON CONFLICT (hook_id) DO UPDATE SET touched_at = clock_timestamp() RETURNING hook_id)
		SELECT pg_notify('whisperer_backlogs', hook_id::text) FROM touched`, textArray(uuidList(hooks)))
	if err != nil {
		return fmt.Errorf("touch backlog of %d hooks: %w", len(hooks), err)
	}
	return nil
}
