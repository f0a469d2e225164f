package console

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

type eventQuery struct{ EventType, Entity, Schema, Since string }

// Narrowed reports whether events may be hidden by the filter.
func (q eventQuery) Narrowed() bool { return q != eventQuery{} }

type eventList struct {
	Filter  eventQuery
	Rows    []eventRow
	Schemas []option
	Spans   []option
	Types   []string
	Problem string
	paging
	// Tail is where the list's changes come from; empty but for its first page.
	Tail string
}

type eventRow struct {
	ID, Type, Entity, Link string
	PublishedAt            time.Time
	Size                   string
	// Problems is what the schema of its type has against it, as a sentence; empty for nothing.
	Problems string
}

// offSchema asks for the events that the schema of their type has something against.
const offSchema = "off"

func schemaOptions() []option {
	return []option{{"", "fits or not"}, {offSchema, "does not fit"}}
}

func eventLink(id string) string { return Root + "event?" + url.Values{"id": {id}}.Encode() }

func readEventQuery(form url.Values) eventQuery {
	get := func(name string) string { return strings.TrimSpace(form.Get(name)) }
	return eventQuery{EventType: get("event_type"), Entity: get("entity"), Schema: get("schema"), Since: get("since")}
}

// filter is what the store is asked for; a problem is a sentence for people.
func (q *eventQuery) filter(now time.Time) (f store.EventFilter, problem string) {
	f.Range, f.Entity, f.OffSchema = since(q.Since, now), q.Entity, q.Schema == offSchema
	if q.EventType != "" {
		pattern, problem := readPattern(q.EventType)
		if problem != "" {
			return f, problem
		}
		f.EventTypes = []string{pattern}
	}
	return f, ""
}

func eventRows(list []store.EventSummary) []eventRow {
	rows := make([]eventRow, len(list))
	for i, e := range list {
		rows[i] = eventRow{
			ID: e.ID, Type: e.Type, Entity: e.Entity, Link: eventLink(e.ID), PublishedAt: e.PublishedAt, Size: size(e.Size),
			Problems: problemsText(e.SchemaProblems),
		}
	}
	return rows
}

// problemsText is what a schema has against an event's data, in one line.
func problemsText(problems []webhook.FieldError) string {
	lines := make([]string, len(problems))
	for i, p := range problems {
		lines[i] = strings.TrimSpace(p.Pointer + " " + p.Detail)
	}
	return strings.Join(lines, "; ")
}

func (c *console) listEvents(ctx context.Context, v *visit) (reply, error) {
	body := eventList{Filter: readEventQuery(v.form), Schemas: schemaOptions(), Spans: spanOptions()}
	var err error
	if body.Types, err = c.typeNames(ctx, v.Tenant); err != nil {
		return reply{}, err
	}
	filter, problem := body.Filter.filter(time.Now())
	if problem != "" {
		body.Problem = problem
		return page("events", "Events", body).with(http.StatusUnprocessableEntity), nil
	}
	at := readPage(v.form)
	found, err := c.Cases.Events(ctx, &v.Caller, filter, at)
	if err != nil {
		return reply{}, err
	}
	body.Rows = eventRows(found.List)
	if body.paging = neighbours(v.form, at, found, func(e *store.EventSummary) store.Position {
		return store.SeqPosition(e.PublishedAt, uint64(e.Seq)) //nolint:gosec // a sequence is not negative
	}); at.Older == nil && at.Newer == nil {
		body.Tail = Root + "events/tail?" + filterOf(v.form).Encode()
	}
	return page("events", "Events", body), nil
}

type eventBody struct {
	Event      webhook.Event
	Data       string
	Context    string
	Filter     string
	Deliveries []hookDelivery
	// More says that there are deliveries which are not shown.
	More bool
}

// hookDelivery is an event's delivery with the title of its hook.
type hookDelivery struct {
	deliveryRow

	Hook string
}

func (c *console) eventPage(ctx context.Context, v *visit) (reply, error) {
	e, err := c.Cases.FindEvent(ctx, &v.Caller, v.form.Get("id"))
	if err != nil {
		return reply{}, err
	}
	list, more, err := c.Cases.History.Deliveries(ctx, v.Tenant, store.DeliveryFilter{EventID: e.ID}, store.Page{Limit: pageSize})
	if err != nil {
		return reply{}, err
	}
	body := eventBody{Event: e, Data: pretty(e.Data), Context: textOf(e.Context), Filter: textOf(e.ConfigFilter), More: more}
	titles := map[uuid.UUID]string{}
	for i := range list {
		id := list[i].HookID
		if _, known := titles[id]; !known {
			titles[id] = id.String()
			if h, err := c.Cases.Hook(ctx, &v.Caller, id); err == nil {
				titles[id] = titleOf(&h)
			}
		}
		body.Deliveries = append(body.Deliveries, hookDelivery{deliveryRow: newDeliveryRow(&list[i]), Hook: titles[id]})
	}
	return page("event", "Event "+e.Type, body), nil
}

// textOf is JSON for reading; empty for none.
func textOf(raw []byte) string {
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	return pretty(raw)
}
