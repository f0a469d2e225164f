package console

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

type eventQuery struct{ EventType, Entity, Since string }

// Narrowed reports whether events may be hidden by the filter.
func (q eventQuery) Narrowed() bool { return q != eventQuery{} }

type eventList struct {
	Filter       eventQuery
	Rows         []eventRow
	Spans        []option
	Types        []string
	Problem      string
	Newer, Older string
	// Tail is where the list's changes come from; empty but for its first page.
	Tail string
}

type eventRow struct {
	ID, Type, Entity, Link string
	PublishedAt            time.Time
	Size                   string
}

func eventLink(id string) string { return Root + "event?" + url.Values{"id": {id}}.Encode() }

func readEventQuery(form url.Values) eventQuery {
	get := func(name string) string { return strings.TrimSpace(form.Get(name)) }
	return eventQuery{EventType: get("event_type"), Entity: get("entity"), Since: get("since")}
}

// filter is what the store is asked for; a problem is a sentence for people.
func (q *eventQuery) filter(now time.Time) (f postgres.EventFilter, problem string) {
	f.Range, f.Entity = since(q.Since, now), q.Entity
	if q.EventType != "" {
		pattern, problem := readPattern(q.EventType)
		if problem != "" {
			return f, problem
		}
		f.EventTypes = []string{pattern}
	}
	return f, ""
}

func eventRows(list []postgres.EventSummary) []eventRow {
	rows := make([]eventRow, len(list))
	for i, e := range list {
		rows[i] = eventRow{ID: e.ID, Type: e.Type, Entity: e.Entity, Link: eventLink(e.ID), PublishedAt: e.PublishedAt, Size: size(e.Size)}
	}
	return rows
}

func (c *console) listEvents(ctx context.Context, v *visit) (reply, error) {
	body := eventList{Filter: readEventQuery(v.form), Spans: spanOptions()}
	var err error
	if body.Types, err = c.typeNames(ctx, v.tenant); err != nil {
		return reply{}, err
	}
	filter, problem := body.Filter.filter(c.now())
	if problem != "" {
		body.Problem = problem
		return page("events", "Events", body).with(http.StatusUnprocessableEntity), nil
	}
	at := readPage(v.form)
	list, more, err := c.History.Events(ctx, v.tenant, filter, at)
	if err != nil {
		return reply{}, err
	}
	body.Rows = eventRows(list)
	if body.Newer, body.Older = neighbours(v.form, at, more, len(list), func(i int) postgres.Position {
		return postgres.SeqPosition(list[i].PublishedAt, uint64(list[i].Seq)) //nolint:gosec // a sequence is not negative
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
	e, err := c.History.FindEvent(ctx, v.tenant, v.form.Get("id"))
	if err != nil {
		return reply{}, err
	}
	list, more, err := c.History.Deliveries(ctx, v.tenant, postgres.DeliveryFilter{EventID: e.ID}, postgres.Page{Limit: pageSize})
	if err != nil {
		return reply{}, err
	}
	body := eventBody{Event: e, Data: pretty(e.Data), Context: textOf(e.Context), Filter: textOf(e.ConfigFilter), More: more}
	titles := map[uuid.UUID]string{}
	for i := range list {
		id := list[i].HookID
		if _, known := titles[id]; !known {
			titles[id] = id.String()
			if h, err := c.Hooks.Hook(ctx, v.tenant, id); err == nil {
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

// maxRejectedShown bounds the bytes of a rejected event that the list shows.
const maxRejectedShown = 4 << 10

type rejectedList struct {
	Rows         []rejectedRow
	Newer, Older string
}

type rejectedRow struct {
	Anchor, Subject, Reason, Detail, Body, Size string
	At                                          time.Time
	Cut                                         bool
}

func (c *console) listRejected(ctx context.Context, v *visit) (reply, error) {
	at := readPage(v.form)
	list, more, err := c.History.Rejected(ctx, v.tenant, lately(c.now()), maxRejectedShown, at)
	if err != nil {
		return reply{}, err
	}
	body := rejectedList{}
	for _, r := range list {
		text := string(r.Raw)
		if !utf8.ValidString(text) {
			text = strings.ToValidUTF8(text, "\uFFFD")
		}
		body.Rows = append(body.Rows, rejectedRow{
			Subject: r.Subject, Reason: r.Reason, Detail: r.Detail, Body: text, Size: size(r.Size), At: r.PublishedAt, Cut: r.Size > len(r.Raw),
		})
	}
	body.Newer, body.Older = neighbours(v.form, at, more, len(list), func(i int) postgres.Position {
		return postgres.SeqPosition(list[i].PublishedAt, uint64(list[i].Seq)) //nolint:gosec // a sequence is not negative
	})
	return page("rejected", "Rejected events", body), nil
}
