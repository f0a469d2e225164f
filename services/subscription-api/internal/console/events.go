package console

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

type eventQuery struct {
	EventType, Entity, Schema string
	spanQuery
}

// Narrowed reports whether a filter is set.
func (q eventQuery) Narrowed() bool { return q != eventQuery{} }

type eventList struct {
	Filter  eventQuery
	Rows    []eventRow
	Schemas []option
	Types   []string
	Problem string
	Views   savedViews
	paging
}

type eventRow struct {
	ID, Type, Entity, Link string
	PublishedAt            time.Time
	Size                   string
	// Problems describes violations of the type's schema as a sentence; may be empty.
	Problems string
	// Erased says when and by whom the payload was erased; may be empty.
	Erased string
}

// offSchema selects events that violate the schema of their type.
const offSchema = "off"

func schemaOptions() []option {
	return []option{{"", "fits or not"}, {offSchema, "does not fit"}}
}

func eventLink(id string) string { return Root + "event?" + url.Values{"id": {id}}.Encode() }

func readEventQuery(form url.Values) eventQuery {
	get := func(name string) string { return strings.TrimSpace(form.Get(name)) }
	return eventQuery{EventType: get("event_type"), Entity: get("entity"), Schema: get("schema"), spanQuery: readSpan(form)}
}

// filter converts the query. problem is a sentence for people.
func (q *eventQuery) filter(now time.Time) (f usecase.EventFilter, problem string) {
	f.Entity, f.OffSchema = q.Entity, q.Schema == offSchema
	if f.Range, problem = q.timeRange(now); problem != "" {
		return f, problem
	}
	if q.EventType != "" {
		pattern, problem := readPattern(q.EventType)
		if problem != "" {
			return f, problem
		}
		f.EventTypes = []string{pattern}
	}
	return f, ""
}

// eventRows returns rows that say who erased a payload, if it was erased.
func (c *console) eventRows(ctx context.Context, v *visit, list []usecase.EventSummary) (rows []eventRow, err error) {
	var names map[usecase.Actor]string
	if slices.ContainsFunc(list, func(e usecase.EventSummary) bool { return e.Erased != nil }) {
		if names, err = c.Cases.Access.ActorNames(ctx, v.Tenant); err != nil {
			return nil, err
		}
	}
	rows = make([]eventRow, len(list))
	for i, e := range list {
		rows[i] = eventRow{
			ID: e.ID, Type: e.Type, Entity: e.Entity, Link: eventLink(e.ID), PublishedAt: e.PublishedAt, Size: size(e.Size),
			Problems: problemsText(e.SchemaProblems),
		}
		if e.Erased != nil {
			rows[i].Erased, rows[i].Size = erasedBy(e.Erased, names), "none"
		}
	}
	return rows, nil
}

// problemsText describes violations of a schema in one line.
func problemsText(problems []webhook.FieldError) string {
	lines := make([]string, len(problems))
	for i, p := range problems {
		lines[i] = strings.TrimSpace(p.Pointer + " " + p.Detail)
	}
	return strings.Join(lines, "; ")
}

func (c *console) listEvents(ctx context.Context, v *visit) (reply, error) {
	body := eventList{Filter: readEventQuery(v.form), Schemas: schemaOptions()}
	var err error
	if body.Types, err = c.typeNames(ctx, v.Tenant); err != nil {
		return reply{}, err
	}
	if body.Views, err = c.views(ctx, v, "events"); err != nil {
		return reply{}, err
	}
	filter, problem := body.Filter.filter(v.now())
	if problem != "" {
		body.Problem = problem
		return page("events", "Events", body).with(http.StatusUnprocessableEntity), nil
	}
	at := readPage(v.form)
	found, err := c.Cases.Deliveries.Events(ctx, &v.Caller, filter, at)
	if err != nil {
		return reply{}, err
	}
	if body.Rows, err = c.eventRows(ctx, v, found.List); err != nil {
		return reply{}, err
	}
	body.paging = neighbours(v.form, at, found, func(e *usecase.EventSummary) usecase.Position {
		return usecase.SeqPosition(e.PublishedAt, e.Seq)
	})
	return page("events", "Events", body), nil
}

type eventBody struct {
	Event      webhook.Event
	Data       string
	Context    string
	Filter     string
	Deliveries []deliveryRow
	// Erased says when and by whom the payload was erased; may be empty.
	Erased string
	// More says that there are further deliveries.
	More bool
}

func (c *console) eventPage(ctx context.Context, v *visit) (reply, error) {
	e, err := c.Cases.Deliveries.FindEvent(ctx, &v.Caller, v.form.Get("id"))
	if err != nil {
		return reply{}, err
	}
	list, more, err := c.Cases.History.ListDeliveries(ctx, v.Tenant, usecase.DeliveryFilter{EventID: e.ID}, usecase.Page{Limit: pageSize})
	if err != nil {
		return reply{}, err
	}
	body := eventBody{Event: e, Data: pretty(e.Data), Context: textOf(e.Context), Filter: textOf(e.ConfigFilter), More: more}
	if body.Deliveries, err = c.titledRows(ctx, v, list); err != nil {
		return reply{}, err
	}
	if body.Erased, err = c.erasedText(ctx, v, e.Erased); err != nil {
		return reply{}, err
	}
	return page("event", "Event "+e.Type, body), nil
}

// textOf formats JSON for reading; empty for none.
func textOf(raw []byte) string {
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	return pretty(raw)
}
