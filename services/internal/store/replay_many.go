package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// MaxRetried is the maximum number of deliveries for RetryDeliveries and CountRetriable.
const MaxRetried = 10_000

// retriable returns a query for the newest deliveries of the filter that can be retried: they are neither in progress nor
// parked, their hook exists and is not disabled, and their payload is kept. With force the query includes deliveries that were
// delivered or superseded.
func (f *DeliveryFilter) retriable(c *clauses, tenant string, force bool) string {
	f.conditions(c, tenant)
	states := `'waiting', 'dead', 'cancelled'`
	if force {
		states += `, 'delivered', 'superseded'`
	}
	return `SELECT id, published_at, hook_id FROM deliveries d WHERE ` + c.where() + ` AND state IN (` + states + `)
		AND EXISTS (SELECT FROM hooks h WHERE h.id = d.hook_id AND h.status <> 'disabled')
		AND EXISTS (SELECT FROM events e WHERE e.tenant = d.tenant AND e.id = d.event_id AND e.published_at = d.published_at AND e.erased_at IS NULL)
		ORDER BY published_at DESC, id DESC LIMIT ` + c.arg(MaxRetried)
}

// CountRetriable counts the deliveries that RetryDeliveries would park, at most MaxRetried.
func (d *JobStore) CountRetriable(ctx context.Context, tenant string, f DeliveryFilter, force bool) (int, error) {
	c := &clauses{}
	query := f.retriable(c, tenant, force)
	var n int
	if err := d.db.GetContext(ctx, &n, `SELECT count(*) FROM (`+query+`) chosen`, c.args...); err != nil {
		return 0, translate(fmt.Errorf("count deliveries to retry: %w", err))
	}
	return n, nil
}

// RetryDeliveries parks the newest deliveries of the filter, at most MaxRetried, for another round of attempts, and returns
// their number. It skips deliveries that are parked, that were delivered or superseded (without force), or that cannot be
// retried.
func (d *JobStore) RetryDeliveries(ctx context.Context, actor Actor, tenant string, f DeliveryFilter, force bool) (int, error) {
	var hooks []uuid.UUID
	err := d.change(ctx, actor, func(tx *sqlx.Tx) (audited, error) {
		c := &clauses{}
		query := f.retriable(c, tenant, force)
		err := tx.SelectContext(ctx, &hooks, `
			WITH chosen AS MATERIALIZED (`+query+` FOR UPDATE OF d SKIP LOCKED)
			UPDATE deliveries SET `+parkAgain+` FROM chosen
			WHERE deliveries.id = chosen.id AND deliveries.published_at = chosen.published_at RETURNING deliveries.hook_id`, c.args...)
		if err != nil {
			return audited{}, fmt.Errorf("park deliveries: %w", err)
		}
		if len(hooks) == 0 {
			return audited{}, nil
		}
		if err := touchBacklog(ctx, tx, hooks...); err != nil {
			return audited{}, err
		}
		detail := map[string]any{"deliveries": len(hooks)}
		if force {
			detail["force"] = true
		}
		return audited{tenant: tenant, action: "delivery.retried_many", subject: tenant, detail: detail}, nil
	})
	if err != nil {
		return 0, err
	}
	return len(hooks), nil
}
