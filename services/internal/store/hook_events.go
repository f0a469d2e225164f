package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// DeliveryDetail holds the objects that belong to a delivery and are stored elsewhere.
type DeliveryDetail struct {
	// Hook is nil if it was deleted.
	Hook *webhook.Hook
	// Event is nil if its payload is no longer kept, or exceeds the limit of the query. It has the fields of which bodies are
	// made.
	Event *webhook.Event
	// Attempt is the last attempt; nil if there was none.
	Attempt *webhook.Attempt
}

// DeliveryDetails returns the details of a tenant's deliveries, in their order. It reads at most maxData bytes of event data in
// total, but always the data of the first event.
func (d *HistoryStore) DeliveryDetails(ctx context.Context, tenant string, list []webhook.Delivery, maxData int) ([]DeliveryDetail, error) {
	out := make([]DeliveryDetail, len(list))
	if len(list) == 0 {
		return out, nil
	}
	hooks, err := d.hooksOf(ctx, tenant, list)
	if err != nil {
		return nil, err
	}
	events, err := d.eventsOf(ctx, tenant, list, maxData)
	if err != nil {
		return nil, err
	}
	attempts, err := d.lastAttempts(ctx, tenant, list)
	if err != nil {
		return nil, err
	}
	for i := range list {
		out[i] = DeliveryDetail{
			Hook: hooks[list[i].HookID], Attempt: attempts[list[i].ID], Event: events[eventKey{list[i].EventID, list[i].PublishedAt.UTC()}],
		}
	}
	return out, nil
}

func (d *core) hooksOf(ctx context.Context, tenant string, list []webhook.Delivery) (map[uuid.UUID]*webhook.Hook, error) {
	ids := make([]uuid.UUID, len(list))
	for i := range list {
		ids[i] = list[i].HookID
	}
	var rows []hookRow
	err := d.db.SelectContext(ctx, &rows, `SELECT `+hookColumns+` FROM hooks WHERE tenant = $1 AND id = ANY($2::uuid[]) AND deleted_at IS NULL`,
		tenant, textArray(uuidList(ids)))
	if err != nil {
		return nil, translate(fmt.Errorf("list hooks of deliveries: %w", err))
	}
	found := make(map[uuid.UUID]*webhook.Hook, len(rows))
	for i := range rows {
		h := rows[i].shown(d.ring)
		found[h.ID] = &h
	}
	return found, nil
}

type eventKey struct {
	id string
	at time.Time
}

func (d *core) eventsOf(ctx context.Context, tenant string, list []webhook.Delivery, maxData int) (map[eventKey]*webhook.Event, error) {
	seen := map[eventKey]bool{}
	var ids, times []string
	for i := range list {
		key := eventKey{list[i].EventID, list[i].PublishedAt.UTC()}
		if !seen[key] {
			seen[key] = true
			ids, times = append(ids, key.id), append(times, key.at.Format(time.RFC3339Nano))
		}
	}
	var rows []eventRow
	err := d.db.SelectContext(ctx, &rows, `
		SELECT id, published_at, `+eventRowColumns+` FROM (
			SELECT e.*, w.n, sum(octet_length(e.data)) OVER (ORDER BY w.n) AS so_far
			FROM unnest($2::text[], $3::timestamptz[]) WITH ORDINALITY AS w (id, at, n)
			JOIN events e ON e.tenant = $1 AND e.id = w.id AND e.published_at = w.at
		) sized WHERE n = 1 OR so_far <= $4`, tenant, textArray(ids), textArray(times), maxData)
	if err != nil {
		return nil, translate(fmt.Errorf("list events of deliveries: %w", err))
	}
	found := make(map[eventKey]*webhook.Event, len(rows))
	for i := range rows {
		e := rows[i].event(tenant)
		found[eventKey{e.ID, e.PublishedAt}] = &e
	}
	return found, nil
}

func (d *core) lastAttempts(ctx context.Context, tenant string, list []webhook.Delivery) (map[uuid.UUID]*webhook.Attempt, error) {
	ids, times := make([]uuid.UUID, len(list)), make([]string, len(list))
	for i := range list {
		ids[i], times[i] = list[i].ID, list[i].PublishedAt.UTC().Format(time.RFC3339Nano)
	}
	var rows []struct {
		attemptRow

		DeliveryID uuid.UUID `db:"delivery_id"`
	}
	err := d.db.SelectContext(ctx, &rows, `
		SELECT a.delivery_id, `+attemptRowColumns+`
		FROM unnest($2::uuid[], $3::timestamptz[]) AS w (id, at)
		CROSS JOIN LATERAL (
			SELECT * FROM attempts WHERE delivery_id = w.id AND published_at = w.at AND tenant = $1 ORDER BY number DESC LIMIT 1
		) a`, tenant, textArray(uuidList(ids)), textArray(times))
	if err != nil {
		return nil, translate(fmt.Errorf("list last attempts of deliveries: %w", err))
	}
	found := make(map[uuid.UUID]*webhook.Attempt, len(rows))
	for i := range rows {
		a := rows[i].attempt()
		found[rows[i].DeliveryID] = &a
	}
	return found, nil
}
