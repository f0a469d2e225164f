package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// AttemptsOf lists the attempts of some of a tenant's deliveries, without headers and bodies. They are grouped in the order of
// the deliveries, and each delivery's first attempt comes first.
func (d *HistoryStore) AttemptsOf(ctx context.Context, tenant string, deliveries []webhook.Delivery) ([]webhook.Attempt, error) {
	if len(deliveries) == 0 {
		return nil, nil
	}
	ids, times := make([]string, len(deliveries)), make([]string, len(deliveries))
	first, last := deliveries[0].PublishedAt, deliveries[0].PublishedAt
	for i := range deliveries {
		at := deliveries[i].PublishedAt
		ids[i], times[i] = deliveries[i].ID.String(), at.Format(time.RFC3339Nano)
		if at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
	var rows []struct {
		attemptRow

		DeliveryID  uuid.UUID `db:"delivery_id"`
		PublishedAt time.Time `db:"published_at"`
	}
	err := d.db.SelectContext(ctx, &rows, `
		SELECT a.delivery_id, a.published_at, a.number, a.hook_id, a.started_at, a.duration_us, a.outcome, a.status, a.error_class, a.error,
			a.worker, a.replay, a.method, a.url, a.request_size
		FROM unnest($2::uuid[], $3::timestamptz[]) WITH ORDINALITY AS w (id, at, place)
		JOIN attempts a ON a.delivery_id = w.id AND a.published_at = w.at
		WHERE a.tenant = $1 AND a.published_at >= $4 AND a.published_at <= $5
		ORDER BY w.place, a.number`, tenant, textArray(ids), textArray(times), first, last)
	if err != nil {
		return nil, translate(fmt.Errorf("list attempts of deliveries: %w", err))
	}
	list := make([]webhook.Attempt, len(rows))
	for i := range rows {
		list[i] = rows[i].attempt()
		list[i].Tenant, list[i].DeliveryID, list[i].PublishedAt = tenant, rows[i].DeliveryID, rows[i].PublishedAt.UTC()
	}
	return list, nil
}
