package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// EventFilter narrows a list of events. Zero fields do not restrict it.
type EventFilter struct {
	Range TimeRange
	// EventTypes are types and patterns in canonical spelling, at least one of which must match the event's type.
	EventTypes []string
	Entity     string
	// OffSchema selects the events whose data does not match the schema of their type.
	OffSchema bool
	Payload   PayloadFilter
}

// Scans reports whether the filter needs to look at events that do not match: no index covers payloads and types.
func (f *EventFilter) Scans() bool {
	return f.Entity == "" && (!f.Payload.Empty() || len(f.EventTypes) > 0)
}

// EventSummary is an event without its payload.
type EventSummary struct {
	ID          string    `db:"id"`
	Seq         int64     `db:"seq"`
	Type        string    `db:"type"`
	Time        time.Time `db:"time"`
	PublishedAt time.Time `db:"published_at"`
	Entity      string    `db:"entity"`
	// Size is the size of the data in bytes.
	Size int `db:"size"`
	// SchemaProblems is as in webhook.Event.
	SchemaProblems []webhook.FieldError `db:"-"`
	// Erased is as in webhook.Event.
	Erased *webhook.Erased `db:"-"`
}

type eventSummaryRow struct {
	EventSummary

	Problems []byte `db:"schema_problems"`
	erasedColumns
}

// ListEvents lists a tenant's events by the time of publication, newest first. more reports that there are further events in
// the direction of the page. Positions are SeqPositions. The error is ErrPath if the payload's path cannot be parsed.
func (d *HistoryStore) ListEvents(ctx context.Context, tenant string, f EventFilter, page Page) (list []EventSummary, more bool, err error) {
	c := &clauses{}
	f.indexed(c, tenant)
	f.scanned(c)
	tail := c.page(page, "published_at", "seq", bySeq)
	query := `SELECT ` + eventView + ` FROM events WHERE ` + c.where() + tail
	var rows []eventSummaryRow
	if err := d.db.SelectContext(ctx, &rows, query, c.args...); err != nil {
		return nil, false, translate(fmt.Errorf("list events: %w", f.Payload.pathError(err)))
	}
	rows, more = cut(rows, page)
	list = make([]EventSummary, len(rows))
	for i := range rows {
		list[i] = rows[i].summary()
	}
	return list, more, nil
}

// SearchEvents does what ListEvents does, but stops after looking at a bounded number of events, even if the page is not full.
func (d *HistoryStore) SearchEvents(ctx context.Context, tenant string, f EventFilter, page Page) (Scanned[EventSummary], error) {
	c := &clauses{}
	f.indexed(c, tenant)
	inner := c.scan(maxScanned, page, "published_at", "seq", bySeq)
	columns := eventView
	if !f.Payload.Empty() {
		columns += ", data"
	}
	query := `SELECT ` + columns + ` FROM events WHERE ` + c.where() + inner
	hits := &clauses{args: c.args}
	f.scanned(hits)
	query = scanQuery("events", "id, seq, type, time, published_at, entity, size, schema_problems, erased_at, erased_by", query, maxScanned, hits, page, "published_at", "seq")
	var rows []scannedEvent
	if err := d.search(ctx, &f.Payload, &rows, query, hits.args); err != nil {
		return Scanned[EventSummary]{}, fmt.Errorf("search events: %w", err)
	}
	rows, more, reached := cutScanned(rows, maxScanned, page, func(r *scannedEvent) (scannedRow, Position) {
		return r.scannedRow, SeqPosition(r.PublishedAt.UTC(), uint64(r.Seq)) //nolint:gosec // never negative
	})
	list := make([]EventSummary, len(rows))
	for i := range rows {
		list[i] = rows[i].summary()
	}
	return Scanned[EventSummary]{List: list, More: more, Reached: reached}, nil
}

type scannedEvent struct {
	eventSummaryRow
	scannedRow
}

const eventView = `id, seq, type, time, published_at, entity, CASE WHEN erased_at IS NULL THEN octet_length(data) ELSE 0 END AS size, schema_problems, erased_at, erased_by`

// indexed adds the conditions that an index serves.
func (f *EventFilter) indexed(c *clauses, tenant string) {
	c.add("tenant = %s", tenant)
	c.published("published_at", f.Range)
	if f.Entity != "" {
		c.ofEntity("entity", f.Entity)
	}
	if f.OffSchema {
		c.fixed("schema_problems IS NOT NULL")
	}
}

// scanned adds the conditions that no index serves.
func (f *EventFilter) scanned(c *clauses) {
	if len(f.EventTypes) > 0 {
		c.wantsType("type", f.EventTypes)
	}
	f.Payload.conditions(c, "data")
}

func (r *eventSummaryRow) summary() EventSummary {
	e := r.EventSummary
	e.Time, e.PublishedAt, e.SchemaProblems = r.Time.UTC(), r.PublishedAt.UTC(), problemsOf(r.Problems)
	e.Erased = r.erased()
	return e
}

// FindEvent returns the newest event that has the id, or that was published as a CloudEvent with it. The error is
// webhook.ErrNotFound if the tenant has none, or its payload is no longer kept.
func (d *HistoryStore) FindEvent(ctx context.Context, tenant, id string) (webhook.Event, error) {
	var publishedAt time.Time
	err := d.db.GetContext(ctx, &publishedAt, `
		SELECT published_at FROM events WHERE tenant = $1 AND id = $2 ORDER BY published_at DESC LIMIT 1`, tenant, id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return d.findCloudEvent(ctx, tenant, id)
	case err != nil:
		return webhook.Event{}, translate(fmt.Errorf("find event %s: %w", id, err))
	}
	return d.GetEvent(ctx, tenant, id, publishedAt.UTC())
}

// CountStates counts the deliveries of an event by state.
func (d *HistoryStore) CountStates(ctx context.Context, tenant, eventID string, publishedAt time.Time) (map[webhook.DeliveryState]int, error) {
	var rows []struct {
		State string `db:"state"`
		N     int    `db:"n"`
	}
	err := d.db.SelectContext(ctx, &rows, `
		SELECT state, count(*) AS n FROM deliveries WHERE tenant = $1 AND event_id = $2 AND published_at = $3 GROUP BY state`,
		tenant, eventID, publishedAt)
	if err != nil {
		return nil, translate(fmt.Errorf("count deliveries of event %s: %w", eventID, err))
	}
	counts := make(map[webhook.DeliveryState]int, len(rows))
	for _, r := range rows {
		counts[webhook.DeliveryState(r.State)] = r.N
	}
	return counts, nil
}

// DeliveriesOf returns the deliveries of an event to the given hooks, by hook.
func (d *HistoryStore) DeliveriesOf(ctx context.Context, tenant, eventID string, publishedAt time.Time, hooks []uuid.UUID) (map[uuid.UUID]webhook.Delivery, error) {
	var rows []deliveryRow
	err := d.db.SelectContext(ctx, &rows, `
		SELECT `+deliveryView+` FROM deliveries
		WHERE tenant = $1 AND event_id = $2 AND published_at = $3 AND hook_id = ANY($4::uuid[])`,
		tenant, eventID, publishedAt, textArray(uuidList(hooks)))
	if err != nil {
		return nil, translate(fmt.Errorf("list deliveries of event %s: %w", eventID, err))
	}
	found := make(map[uuid.UUID]webhook.Delivery, len(rows))
	for i := range rows {
		found[rows[i].HookID] = rows[i].delivery()
	}
	return found, nil
}

// OrphansOf returns at most limit deliveries of an event to hooks that were deleted.
func (d *HistoryStore) OrphansOf(ctx context.Context, tenant, eventID string, publishedAt time.Time, limit int) ([]webhook.Delivery, error) {
	var rows []deliveryRow
	err := d.db.SelectContext(ctx, &rows, `
		SELECT `+deliveryView+` FROM deliveries d
		WHERE tenant = $1 AND event_id = $2 AND published_at = $3 AND NOT EXISTS (SELECT FROM hooks h WHERE h.id = d.hook_id AND h.deleted_at IS NULL)
		ORDER BY id LIMIT $4`, tenant, eventID, publishedAt, limit)
	if err != nil {
		return nil, translate(fmt.Errorf("list deliveries of event %s to former hooks: %w", eventID, err))
	}
	return deliveries(rows), nil
}

// RejectedFilter narrows a list of rejected events. Zero fields do not restrict it.
type RejectedFilter struct {
	Range  TimeRange
	Reason string
	// Subject is a part of the subject to which the event was published. Case does not matter.
	Subject string
}

// ListRejected lists a tenant's rejected events, newest first. more and positions are as in ListEvents. Raw is cut to maxRaw
// bytes.
func (d *HistoryStore) ListRejected(ctx context.Context, tenant string, f RejectedFilter, maxRaw int, page Page) (list []RejectedEvent, more bool, err error) {
	c := &clauses{}
	raw := c.arg(maxRaw)
	c.add("tenant = %s", tenant)
	c.published("published_at", f.Range)
	if f.Reason != "" {
		c.add("reason = %s", f.Reason)
	}
	if f.Subject != "" {
		c.add("strpos(lower(subject), lower(%s)) > 0", f.Subject)
	}
	tail := c.page(page, "published_at", "seq", bySeq)
	query := `SELECT published_at, seq, subject, tenant, reason, detail, substring(raw FOR ` + raw + `) AS raw, size, headers
		FROM rejected_events WHERE ` + c.where() + tail
	if err := d.db.SelectContext(ctx, &list, query, c.args...); err != nil {
		return nil, false, translate(fmt.Errorf("list rejected events: %w", err))
	}
	for i := range list {
		list[i].PublishedAt = list[i].PublishedAt.UTC()
	}
	list, more = cut(list, page)
	return list, more, nil
}
