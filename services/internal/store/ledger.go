package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// DeliveryKey names a delivery and the partition it is in.
type DeliveryKey struct {
	ID          uuid.UUID
	PublishedAt time.Time
}

// Recorded is what the ledger knows of a delivery.
type Recorded struct {
	State    webhook.DeliveryState
	Attempts int
	// NextAt is zero unless the state is Waiting.
	NextAt time.Time
}

// Interrupted says that the last word on the delivery is of a worker that took it over from a dead one: it wrote that the
// outcome is unknown, began the next attempt, and did not tell of its end.
func (r Recorded) Interrupted() bool { return r.State == webhook.Waiting && r.NextAt.IsZero() }

// Recorded looks deliveries up; one that is not recorded is missing from the map. Deliveries of events that share an id and
// were published at different times share an id too: of those, only one may be asked for at once.
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
		Attempts    int        `db:"attempts"`
		NextAt      *time.Time `db:"next_at"`
	}
	err := d.db.SelectContext(ctx, &rows, `
		SELECT id, published_at, state, attempts, next_at FROM deliveries
		WHERE id = ANY($1::uuid[]) AND published_at BETWEEN $2 AND $3`, pq.Array(ids), first, last)
	if err != nil {
		return nil, translate(fmt.Errorf("look up deliveries: %w", err))
	}
	found := make(map[uuid.UUID]Recorded, len(rows))
	for _, r := range rows {
		if !r.PublishedAt.Equal(publishedAt[r.ID]) {
			continue
		}
		rec := Recorded{State: webhook.DeliveryState(r.State), Attempts: r.Attempts}
		if r.NextAt != nil {
			rec.NextAt = r.NextAt.UTC()
		}
		found[r.ID] = rec
	}
	return found, nil
}

// Event reads an event whole. It returns webhook.ErrNotFound where the ledger has none.
func (d *HistoryStore) Event(ctx context.Context, tenant, id string, publishedAt time.Time) (webhook.Event, error) {
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

// eventRowColumns are those of eventRow but for its key.
const eventRowColumns = `seq, type, time, entity, context, config_filter, data, traceparent, schema_problems, cloud_event`

// eventRow is a recorded event, or as much of it as was asked for.
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
}

func (r *eventRow) event(tenant string) webhook.Event {
	return webhook.Event{
		ID: r.ID, Tenant: tenant, Type: r.Type, Time: r.Time.UTC(), PublishedAt: r.PublishedAt.UTC(), Seq: webhook.Sequence(r.Seq), //nolint:gosec // never negative
		Entity: r.Entity, Context: optionalBytes(r.Context), ConfigFilter: optionalBytes(r.ConfigFilter), Data: []byte(r.Data),
		Traceparent: r.Traceparent, SchemaProblems: problemsOf(r.Problems), CloudEvent: optionalBytes(r.CloudEvent),
	}
}

// RejectedEvent is something on the OMS stream that was no event.
type RejectedEvent struct {
	PublishedAt time.Time `db:"published_at"`
	Seq         int64     `db:"seq"`
	Subject     string    `db:"subject"`
	Tenant      string    `db:"tenant"`
	// Reason is one fixed word, Detail one sentence for people.
	Reason string `db:"reason"`
	Detail string `db:"detail"`
	// Raw is the first 64 KiB of the body, Size the size of all of it in bytes.
	Raw  []byte `db:"raw"`
	Size int    `db:"size"`
	// Headers are lines "Name: value".
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
