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
}

type eventRow struct {
	ID, Type, Entity, Link string
	PublishedAt            time.Time
	Size                   string
}

func eventLink(id string) string { return Root + "event?" + url.Values{"id": {id}}.Encode() }

func (c *console) listEvents(ctx context.Context, v *visit) (reply, error) {
	get := func(name string) string { return strings.TrimSpace(v.form.Get(name)) }
	body := eventList{
		Filter: eventQuery{EventType: get("event_type"), Entity: get("entity"), Since: get("since")}, Spans: spanOptions(),
	}
	var err error
	if body.Types, err = c.typeNames(ctx, v.tenant); err != nil {
		return reply{}, err
	}
	filter := postgres.EventFilter{Range: since(body.Filter.Since, c.now()), Entity: body.Filter.Entity}
	if t := body.Filter.EventType; t != "" {
		var pattern string
		if pattern, body.Problem = readPattern(t); body.Problem != "" {
			return page("events", "Events", body).with(http.StatusUnprocessableEntity), nil
		}
		filter.EventTypes = []string{pattern}
	}
	at := readPage(v.form)
	list, more, err := c.History.Events(ctx, v.tenant, filter, at)
	if err != nil {
		return reply{}, err
	}
	for _, e := range list {
		body.Rows = append(body.Rows, eventRow{
			ID: e.ID, Type: e.Type, Entity: e.Entity, Link: eventLink(e.ID), PublishedAt: e.PublishedAt, Size: size(e.Size),
		})
	}
	body.Newer, body.Older = neighbours(v.form, at, more, len(list), func(i int) postgres.Position {
		return postgres.SeqPosition(list[i].PublishedAt, uint64(list[i].Seq)) //nolint:gosec // a sequence is not negative
	})
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
