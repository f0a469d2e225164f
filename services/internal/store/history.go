package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func textArray(list []string) any { return pq.Array(list) }

// DeliveryFilter narrows a list of deliveries. Zero fields do not restrict it.
type DeliveryFilter struct {
	Range TimeRange
	// IDs bounds the ids; nil for no bound.
	IDs *IDRange
	// OneOf are the ids of the wanted deliveries; nil for any.
	OneOf []uuid.UUID
	Hook  uuid.UUID
	// Labels are the labels that the hook must have.
	Labels  webhook.LabelSelector
	EventID string
	// EventTypes are types and patterns in canonical spelling, at least one of which must match the event's type.
	EventTypes []string
	// Entity is the event's entity, and Object the part of it after the last colon. Both are looked up in the events, which are
	// kept for a shorter time than deliveries.
	Entity, Object string
	// States are the wanted states; empty for any.
	States []webhook.DeliveryState
	// MinStatus and MaxStatus bound the HTTP status of the last attempt; nil for no bound.
	MinStatus, MaxStatus *int
	// ReplayedSince selects deliveries whose retry was requested by a person, alone or by a job, and that have changed since
	// that time. The zero time selects all.
	ReplayedSince time.Time
	// Payload is a filter on the event's payload.
	Payload PayloadFilter
}

// IDRange is the ids from First to Last, both included.
type IDRange struct{ First, Last uuid.UUID }

// IDsFrom returns the range of ids that begin with the given text, which must have at least 4 hexadecimal digits and may
// contain dashes. It returns false for any other text.
func IDsFrom(text string) (IDRange, bool) {
	const least, whole = 4, 2 * len(uuid.UUID{})
	digits := strings.ReplaceAll(text, "-", "")
	if len(digits) < least || len(digits) > whole {
		return IDRange{}, false
	}
	first, err := uuid.Parse(digits + strings.Repeat("0", whole-len(digits)))
	last, lastErr := uuid.Parse(digits + strings.Repeat("f", whole-len(digits)))
	return IDRange{First: first, Last: last}, err == nil && lastErr == nil
}

const deliveryView = `id, tenant, hook_id, event_id, event_type, entity, published_at, state, reason, attempts, next_at,
	first_attempt_at, updated_at, last_status, last_error, replay, superseded_by`

type deliveryRow struct {
	ID             uuid.UUID    `db:"id"`
	Tenant         string       `db:"tenant"`
	HookID         uuid.UUID    `db:"hook_id"`
	EventID        string       `db:"event_id"`
	EventType      string       `db:"event_type"`
	Entity         string       `db:"entity"`
	PublishedAt    time.Time    `db:"published_at"`
	State          string       `db:"state"`
	Reason         string       `db:"reason"`
	Attempts       int          `db:"attempts"`
	NextAt         sql.NullTime `db:"next_at"`
	FirstAttemptAt sql.NullTime `db:"first_attempt_at"`
	UpdatedAt      time.Time    `db:"updated_at"`
	LastStatus     int          `db:"last_status"`
	LastError      string       `db:"last_error"`
	Replay         bool         `db:"replay"`
	SupersededBy   *uuid.UUID   `db:"superseded_by"`
}

func (r *deliveryRow) delivery() webhook.Delivery {
	d := webhook.Delivery{
		ID: r.ID, Tenant: r.Tenant, HookID: r.HookID, EventID: r.EventID, EventType: r.EventType, Entity: r.Entity,
		PublishedAt: r.PublishedAt.UTC(), State: webhook.DeliveryState(r.State), Reason: webhook.Reason(r.Reason),
		Attempts: r.Attempts, UpdatedAt: r.UpdatedAt.UTC(), LastStatus: r.LastStatus,
		LastError: webhook.ErrorClass(r.LastError), Replay: r.Replay,
	}
	if r.NextAt.Valid && d.State == webhook.Waiting {
		d.NextAt = r.NextAt.Time.UTC()
	}
	if d.State == webhook.Superseded { // a delivery that was replayed since has another state
		d.SupersededBy = r.SupersededBy
	}
	if r.FirstAttemptAt.Valid {
		d.FirstAttemptAt = r.FirstAttemptAt.Time.UTC()
	}
	return d
}

func deliveries(rows []deliveryRow) []webhook.Delivery {
	list := make([]webhook.Delivery, len(rows))
	for i := range rows {
		list[i] = rows[i].delivery()
	}
	return list
}

// ListDeliveries lists a tenant's deliveries by the time when their events were published, newest first. more reports that
// there are further deliveries in the direction of the page.
func (d *HistoryStore) ListDeliveries(ctx context.Context, tenant string, f DeliveryFilter, page Page) (list []webhook.Delivery, more bool, err error) {
	c := &clauses{}
	f.conditions(c, tenant)
	tail := c.page(page, "published_at", "id", byUUID)
	var rows []deliveryRow
	query := `SELECT ` + deliveryView + ` FROM deliveries WHERE ` + c.where() + tail
	if err := d.db.SelectContext(ctx, &rows, query, c.args...); err != nil {
		return nil, false, translate(fmt.Errorf("list deliveries: %w", f.Payload.pathError(err)))
	}
	rows, more = cut(rows, page)
	return deliveries(rows), more, nil
}

// ScanDeliveries does what ListDeliveries does, but stops after looking at a bounded number of deliveries, even if the page is
// not full.
func (d *HistoryStore) ScanDeliveries(ctx context.Context, tenant string, f DeliveryFilter, page Page) (Scanned[webhook.Delivery], error) {
	c := &clauses{}
	f.indexed(c, tenant)
	most := maxScanned
	if !f.Payload.Empty() || f.Hook != uuid.Nil || len(f.Labels) > 0 {
		most = maxScannedScattered
	}
	inner := c.scan(most, page, "published_at", "id", byUUID)
	query := `SELECT ` + deliveryView + ` FROM deliveries WHERE ` + c.where() + inner
	hits := &clauses{args: c.args}
	f.scanned(hits)
	query = scanQuery("deliveries", deliveryView, query, most, hits, page, "published_at", "id")
	var rows []scannedDelivery
	if err := d.search(ctx, &f.Payload, &rows, query, hits.args); err != nil {
		return Scanned[webhook.Delivery]{}, fmt.Errorf("scan deliveries: %w", err)
	}
	rows, more, reached := cutScanned(rows, most, page, func(r *scannedDelivery) (scannedRow, Position) {
		return r.scannedRow, Position{At: r.PublishedAt.UTC(), ID: r.ID}
	})
	list := make([]webhook.Delivery, len(rows))
	for i := range rows {
		list[i] = rows[i].delivery()
	}
	return Scanned[webhook.Delivery]{List: list, More: more, Reached: reached}, nil
}

type scannedDelivery struct {
	deliveryRow
	scannedRow
}

// Scans reports whether the filter needs to look at deliveries that do not match: no index covers payloads, types, replays, or
// the status of successful deliveries. If the event, its entity or the beginning of the id is given, only few have to be looked
// at.
func (f *DeliveryFilter) Scans() bool {
	if f.OneOf != nil || f.EventID != "" || f.Entity != "" || f.Object != "" || f.IDs != nil {
		return false
	}
	status := f.MinStatus != nil || f.MaxStatus != nil
	return !f.Payload.Empty() || len(f.EventTypes) > 0 || !f.ReplayedSince.IsZero() || status && !f.unsuccessful()
}

func (f *DeliveryFilter) conditions(c *clauses, tenant string) {
	f.indexed(c, tenant)
	f.scanned(c)
}

// indexed adds the conditions that an index serves.
func (f *DeliveryFilter) indexed(c *clauses, tenant string) {
	c.add("tenant = %s", tenant)
	c.published("published_at", f.Range)
	if f.IDs != nil {
		c.add("id >= %s", f.IDs.First)
		c.add("id <= %s", f.IDs.Last)
	}
	if f.OneOf != nil {
		c.add("id = ANY(%s::uuid[])", textArray(uuidList(f.OneOf)))
	}
	if f.Hook != uuid.Nil {
		c.add("hook_id = %s", f.Hook)
	}
	if len(f.Labels) > 0 {
		h := &clauses{args: c.args}
		h.add("h.tenant = %s", tenant)
		h.labelled("h.spec", f.Labels)
		c.args = h.args
		c.fixed("hook_id = ANY(ARRAY(SELECT h.id FROM hooks h WHERE " + h.where() + "))")
	}
	if f.EventID != "" {
		c.add("event_id = %s", f.EventID)
	}
	if f.Entity != "" || f.Object != "" {
		f.entities(c, tenant)
	}
	if len(f.States) > 0 {
		c.states(f.States)
	}
	if f.unsuccessful() && len(f.States) == 0 {
		c.fixed("state <> 'delivered'") // a delivered delivery can have such a status only if delivered is among the wanted states
	}
	if f.unsuccessful() {
		f.status(c)
	}
}

// scanned adds the conditions that no index serves.
func (f *DeliveryFilter) scanned(c *clauses) {
	if !f.ReplayedSince.IsZero() {
		c.fixed("replay")
		c.add("updated_at >= %s", f.ReplayedSince)
	}
	if len(f.EventTypes) > 0 {
		c.wantsType("event_type", f.EventTypes)
	}
	if !f.unsuccessful() {
		f.status(c)
	}
	if !f.Payload.Empty() {
		e := &clauses{args: c.args}
		e.published("e.published_at", f.Range)
		f.Payload.conditions(e, "e.data")
		c.args = e.args
		c.fixed(`EXISTS (SELECT FROM events e WHERE e.tenant = deliveries.tenant AND e.id = deliveries.event_id
			AND e.published_at = deliveries.published_at AND ` + e.where() + `)`)
	}
}

// unsuccessful reports whether the wanted statuses exclude successes.
func (f *DeliveryFilter) unsuccessful() bool {
	return (f.MaxStatus != nil && *f.MaxStatus < 200 || f.MinStatus != nil && *f.MinStatus > 299) && !slices.Contains(f.States, webhook.Delivered)
}

func (f *DeliveryFilter) status(c *clauses) {
	switch {
	case f.MinStatus != nil && f.MaxStatus != nil && *f.MinStatus == *f.MaxStatus:
		c.add("last_status = %s", *f.MinStatus)
	case f.MinStatus != nil && f.MaxStatus != nil: // + 0 avoids the index on single statuses, which would need a sort
		c.add("last_status + 0 >= %s", *f.MinStatus)
		c.add("last_status + 0 <= %s", *f.MaxStatus)
	case f.MinStatus != nil:
		c.add("last_status + 0 >= %s", *f.MinStatus)
	case f.MaxStatus != nil:
		c.add("last_status + 0 <= %s", *f.MaxStatus)
	}
}

// entities adds the condition on the entity, for which it looks up the events, because these have an index.
func (f *DeliveryFilter) entities(c *clauses, tenant string) {
	e := &clauses{args: c.args}
	e.add("tenant = %s", tenant)
	e.published("published_at", f.Range)
	if f.Entity != "" {
		e.ofEntity("entity", f.Entity)
	}
	if f.Object != "" {
		e.ofObject("entity", f.Object)
	}
	c.args = e.args
	c.fixed("event_id = ANY(ARRAY(SELECT id FROM events WHERE " + e.where() + "))") // few events: look them up first
	if f.Entity != "" {                                                             // an id may be published again with another entity
		c.add("entity = %s", f.Entity)
	}
}

func (c *clauses) states(states []webhook.DeliveryState) {
	names := make([]string, len(states))
	for i, s := range states {
		names[i] = string(s)
	}
	c.add("state = ANY(%s::text[])", textArray(names))
	if !slices.Contains(states, webhook.Delivered) {
		c.fixed("state <> 'delivered'") // tells the planner that the index on undelivered ones can be used
	}
}

// GetDelivery returns one delivery with its attempts, the first attempt first. The error is webhook.ErrNotFound if the tenant
// has no such delivery.
func (d *HistoryStore) GetDelivery(ctx context.Context, tenant string, id uuid.UUID) (webhook.Delivery, []webhook.Attempt, error) {
	var row deliveryRow
	err := d.db.GetContext(ctx, &row, `
		SELECT `+deliveryView+` FROM deliveries WHERE id = $1 AND tenant = $2 ORDER BY published_at DESC LIMIT 1`, id, tenant)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return webhook.Delivery{}, nil, fmt.Errorf("delivery %s: %w", id, webhook.ErrNotFound)
	case err != nil:
		return webhook.Delivery{}, nil, translate(fmt.Errorf("get delivery %s: %w", id, err))
	}
	attempts, err := d.attempts(ctx, tenant, id, row.PublishedAt)
	if err != nil {
		return webhook.Delivery{}, nil, err
	}
	delivery := row.delivery()
	var of erasedColumns
	err = d.db.GetContext(ctx, &of, `SELECT erased_at, erased_by FROM events WHERE tenant = $1 AND id = $2 AND published_at = $3`,
		tenant, row.EventID, row.PublishedAt)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return webhook.Delivery{}, nil, translate(fmt.Errorf("get event of delivery %s: %w", id, err))
	}
	delivery.Erased = of.erased()
	return delivery, attempts, nil
}

func (d *core) attempts(ctx context.Context, tenant string, delivery uuid.UUID, publishedAt time.Time) ([]webhook.Attempt, error) {
	var rows []attemptRow
	err := d.db.SelectContext(ctx, &rows, `
		SELECT `+attemptRowColumns+`
		FROM attempts WHERE delivery_id = $1 AND published_at = $2 AND tenant = $3 ORDER BY number`, delivery, publishedAt, tenant)
	if err != nil {
		return nil, translate(fmt.Errorf("list attempts of delivery %s: %w", delivery, err))
	}
	list := make([]webhook.Attempt, len(rows))
	for i := range rows {
		list[i] = rows[i].attempt()
		list[i].Tenant, list[i].DeliveryID, list[i].PublishedAt = tenant, delivery, publishedAt.UTC()
	}
	return list, nil
}
