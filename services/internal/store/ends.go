package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Ended is the result of EndDeliveries.
type Ended struct {
	// Reason is ReasonHookDeleted or ReasonHookDisabled. It is ReasonNone if the hook still gets deliveries and nothing was
	// ended.
	Reason webhook.Reason
	N      int64
}

// EndDeliveries is the only function that ends deliveries because of their hook's state. It ends up to limit deliveries: parked
// ones and, if the hook is deleted, waiting ones, too. The statement that ends them also reads the hook's state from its row,
// because the caller's view of it may be outdated.
func (d *QueueStore) EndDeliveries(ctx context.Context, hook uuid.UUID, limit int) (Ended, error) {
	owner, err := d.ownerOf(ctx, hook)
	if err != nil {
		return Ended{}, translate(fmt.Errorf("look for hook %s: %w", hook, err))
	}
	var row struct {
		Reason string `db:"reason"`
		N      int64  `db:"n"`
	}
	err = d.db.GetContext(ctx, &row, `
		WITH hook AS MATERIALIZED (
			SELECT status FROM hooks WHERE id = $2 AND ($1 = $2 OR spec -> 'callback' ->> 'url' <> '') FOR SHARE),
		fate AS MATERIALIZED (
			SELECT 'cancelled' AS state, $3 AS reason, '{parked,waiting}'::text[] AS of WHERE NOT EXISTS (SELECT FROM hook)
			UNION ALL SELECT 'dead', $4, '{parked}' FROM hook WHERE status = 'disabled' AND $1 = $2),
		ended AS (
			UPDATE deliveries SET (state, reason) = (SELECT state, reason FROM fate), next_at = NULL, updated_at = clock_timestamp()
			WHERE (id, published_at) IN (
				SELECT id, published_at FROM deliveries
				WHERE hook_id = $1 AND state IN ('parked', 'waiting') AND state = ANY (SELECT unnest(of) FROM fate) LIMIT $5)
			RETURNING 1),
		forgotten AS ( -- of what is parked for longer than its record is kept, only the queue knows
			DELETE FROM parked WHERE hook_id = $1 AND EXISTS (SELECT FROM fate WHERE NOT waiting OR reason = $3)
			AND NOT EXISTS (SELECT FROM ended))
		SELECT coalesce((SELECT reason FROM fate), '') AS reason, (SELECT count(*) FROM ended) AS n`,
		hook, owner, string(webhook.ReasonHookDeleted), string(webhook.ReasonHookDisabled), limit)
	if err != nil {
		return Ended{}, translate(fmt.Errorf("end deliveries of hook %s: %w", hook, err))
	}
	return Ended{Reason: webhook.Reason(row.Reason), N: row.N}, nil
}

// ownerOf returns the hook whose row decides about the deliveries of the given one: itself, or the hook whose callbacks it
// carries. It tells a carrier by the event type of its deliveries.
func (d *core) ownerOf(ctx context.Context, hook uuid.UUID) (uuid.UUID, error) {
	var eventType string
	err := d.db.GetContext(ctx, &eventType, `
		SELECT event_type FROM deliveries WHERE hook_id = $1 LIMIT 1`, hook)
	if errors.Is(err, sql.ErrNoRows) {
		return hook, nil
	}
	if err != nil {
		return hook, err
	}
	if owner, ok := webhook.CallbackOwner(eventType); ok && webhook.CallbackHookID(owner) == hook {
		return owner, nil
	}
	return hook, nil
}
