package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// DeliveryKey is the primary key of a delivery. PublishedAt determines the partition.
type DeliveryKey struct {
	ID          uuid.UUID
	PublishedAt time.Time
}

// Recorded is the recorded state of a delivery.
type Recorded struct {
	State    webhook.DeliveryState
	Reason   webhook.Reason
	Attempts int
	// NextAt is zero unless the state is Waiting.
	NextAt time.Time
}

// Interrupted reports whether the newest fact comes from a worker that took the delivery over from a dead one: it recorded that
// the outcome was unknown, began the next attempt, and did not finish it.
func (r Recorded) Interrupted() bool { return r.State == webhook.Waiting && r.NextAt.IsZero() }

// Recorded looks deliveries up. A delivery that is not recorded is missing from the map. Deliveries of events that share an id
// and were published at different times have the same id, so only one of them may be among the keys.
func (d *LedgerStore) Recorded(ctx context.Context, keys []DeliveryKey) (map[uuid.UUID]Recorded, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	ids := make([]string, len(keys))
	first, last := keys[0].PublishedAt, keys[0].PublishedAt
	publishedAt := make(map[uuid.UUID]time.Time, len(keys))
	for i, k := range keys {
		publishedAt[k.ID] = k.PublishedAt
		ids[i] = k.ID.String()
		if k.PublishedAt.Before(first) {
			first = k.PublishedAt
		}
		if k.PublishedAt.After(last) {
			last = k.PublishedAt
		}
	}
	var rows []struct {
		ID          uuid.UUID  `db:"id"`
		PublishedAt time.Time  `db:"published_at"`
		State       string     `db:"state"`
		Reason      string     `db:"reason"`
		Attempts    int        `db:"attempts"`
		NextAt      *time.Time `db:"next_at"`
	}
	err := d.db.SelectContext(ctx, &rows, `
		SELECT id, published_at, state, reason, attempts, next_at FROM deliveries
		WHERE id = ANY($1::uuid[]) AND published_at BETWEEN $2 AND $3`, pq.Array(ids), first, last)
	if err != nil {
		return nil, translate(fmt.Errorf("look up deliveries: %w", err))
	}
	found := make(map[uuid.UUID]Recorded, len(rows))
	for _, r := range rows {
		if !r.PublishedAt.Equal(publishedAt[r.ID]) {
			continue
		}
		rec := Recorded{State: webhook.DeliveryState(r.State), Reason: webhook.Reason(r.Reason), Attempts: r.Attempts}
		if r.NextAt != nil {
			rec.NextAt = r.NextAt.UTC()
		}
		found[r.ID] = rec
	}
	return found, nil
}

// InterruptedDelivery is an interrupted delivery, with its hook.
type InterruptedDelivery struct {
	DeliveryKey

	Hook     uuid.UUID
	Attempts int
}

// Interrupted finds the interrupted deliveries of the events, to any hooks.
func (d *LedgerStore) Interrupted(ctx context.Context, events []Published) ([]InterruptedDelivery, error) {
	tenants, ids, published := make([]string, len(events)), make([]string, len(events)), make([]string, len(events))
	for i, e := range events {
		tenants[i], ids[i], published[i] = e.Tenant, e.ID, e.At.Format(time.RFC3339Nano)
	}
	var rows []struct {
		ID          uuid.UUID `db:"id"`
		PublishedAt time.Time `db:"published_at"`
		HookID      uuid.UUID `db:"hook_id"`
		Attempts    int       `db:"attempts"`
	}
	err := d.db.SelectContext(ctx, &rows, `
		SELECT d.id, d.published_at, d.hook_id, d.attempts FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS e (tenant, id, published_at)
		JOIN deliveries d ON d.event_id = e.id AND d.published_at = e.published_at AND d.tenant = e.tenant
		WHERE d.state = $4 AND d.next_at IS NULL`,
		pq.Array(tenants), pq.Array(ids), pq.Array(published), string(webhook.Waiting))
	if err != nil {
		return nil, translate(fmt.Errorf("look up interrupted deliveries: %w", err))
	}
	found := make([]InterruptedDelivery, len(rows))
	for i, r := range rows {
		found[i] = InterruptedDelivery{DeliveryKey: DeliveryKey{ID: r.ID, PublishedAt: r.PublishedAt.UTC()}, Hook: r.HookID, Attempts: r.Attempts}
	}
	return found, nil
}

// GetEvent reads a complete event. It returns webhook.ErrNotFound if it is not recorded.
func (d *HistoryStore) GetEvent(ctx context.Context, tenant, id string, publishedAt time.Time) (webhook.Event, error) {
	r := eventRow{ID: id, PublishedAt: publishedAt}
	err := d.db.GetContext(ctx, &r, `
		SELECT `+eventRowColumns+` FROM events WHERE tenant = $1 AND id = $2 AND published_at = $3`, tenant, id, publishedAt)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return webhook.Event{}, fmt.Errorf("event %s: %w", id, webhook.ErrNotFound)
	case err != nil:
		return webhook.Event{}, translate(fmt.Errorf("read event %s: %w", id, err))
	}
	return r.event(tenant), nil
}

// eventRowColumns are the columns of eventRow without its key.
const eventRowColumns = `seq, type, time, entity, context, config_filter, data, traceparent, schema_problems, cloud_event, erased_at, erased_by`

// eventRow is a recorded event, or the part of it that was selected.
type eventRow struct {
	ID           string    `db:"id"`
	PublishedAt  time.Time `db:"published_at"`
	Seq          int64     `db:"seq"`
	Type         string    `db:"type"`
	Time         time.Time `db:"time"`
	Entity       string    `db:"entity"`
	Context      *string   `db:"context"`
	ConfigFilter *string   `db:"config_filter"`
	Data         string    `db:"data"`
	Traceparent  string    `db:"traceparent"`
	Problems     []byte    `db:"schema_problems"`
	CloudEvent   *string   `db:"cloud_event"`
	erasedColumns
}

// erasedColumns are the columns of events that report the erasure of the payload.
type erasedColumns struct {
	ErasedAt *time.Time `db:"erased_at"`
	ErasedBy *string    `db:"erased_by"`
}

func (r *erasedColumns) erased() *webhook.Erased {
	if r.ErasedAt == nil {
		return nil
	}
	e := &webhook.Erased{At: r.ErasedAt.UTC()}
	if r.ErasedBy != nil {
		e.By = *r.ErasedBy
	}
	return e
}

func (r *eventRow) event(tenant string) webhook.Event {
	traceparent, tracestate, _ := strings.Cut(r.Traceparent, " ")
	return webhook.Event{
		ID: r.ID, Tenant: tenant, Type: r.Type, Time: r.Time.UTC(), PublishedAt: r.PublishedAt.UTC(), Seq: webhook.Sequence(r.Seq), //nolint:gosec // never negative
		Entity: r.Entity, Context: optionalBytes(r.Context), ConfigFilter: optionalBytes(r.ConfigFilter), Data: []byte(r.Data),
		Traceparent: traceparent, Tracestate: tracestate, SchemaProblems: problemsOf(r.Problems), CloudEvent: optionalBytes(r.CloudEvent),
		Erased: r.erased(),
	}
}

// RejectedEvent is a message in the OMS stream that was rejected as an event.
type RejectedEvent struct {
	PublishedAt time.Time `db:"published_at"`
	Seq         int64     `db:"seq"`
	Subject     string    `db:"subject"`
	Tenant      string    `db:"tenant"`
	// Reason is a fixed word, and Detail a sentence for people.
	Reason string `db:"reason"`
	Detail string `db:"detail"`
	// Raw is the first 64 KiB of the body, and Size the size of the whole body in bytes.
	Raw  []byte `db:"raw"`
	Size int    `db:"size"`
	// Headers are lines of the form "Name: value".
	Headers string `db:"headers"`
}

// RejectedEvents lists the newest rejected events of a tenant since the given time, at most limit.
func (d *LedgerStore) RejectedEvents(ctx context.Context, tenant string, since time.Time, limit int) ([]RejectedEvent, error) {
	var list []RejectedEvent
	err := d.db.SelectContext(ctx, &list, `
		SELECT published_at, seq, subject, tenant, reason, detail, raw, size, headers FROM rejected_events
		WHERE tenant = $1 AND published_at >= $2 ORDER BY published_at DESC, seq DESC LIMIT $3`, tenant, since, limit)
	if err != nil {
		return nil, translate(fmt.Errorf("list rejected events: %w", err))
	}
	return list, nil
}
