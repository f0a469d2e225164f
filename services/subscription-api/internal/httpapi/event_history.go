package httpapi

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const (
	rejectedPath = root + "/rejected-events/"
	tagEvents    = "Events"
	// maxRaw is how much of a rejected event is shown, in bytes.
	maxRaw = 16 << 10
)

type (
	eventListInput struct {
		EventType string `query:"event_type" doc:"A type, or a pattern that the event's type is covered by"`
		Entity    string `query:"entity" doc:"Such as package:61"`
		PayloadQuery
		OffSchema boolParam  `query:"off_schema" doc:"true for the events that the schema of their type has something against"`
		From      fromParam  `query:"from"`
		To        toParam    `query:"to"`
		Limit     limitParam `query:"limit"`
		Cursor    string     `query:"cursor" doc:"From next or previous"`
	}
	eventGetInput struct {
		ID string `path:"id" doc:"The event's id"`
	}
	// EventSummary is an event in a list.
	EventSummary struct {
		ID          string    `json:"event_id"`
		Type        string    `json:"event_type"`
		Time        time.Time `json:"event_time" doc:"When it happened, by the publisher's clock"`
		Entity      string    `json:"entity"`
		Sequence    int64     `json:"sequence" doc:"Grows with publication; receivers get it as X-Whisperer-Sequence"`
		Size        int       `json:"size" doc:"Of the data, in bytes"`
		CreatedDate time.Time `json:"created_date" doc:"When it was published"`
		// SchemaProblems has pointers into the data.
		SchemaProblems []FieldProblem `json:"schema_problems" nullable:"false" doc:"What the JSON Schema of its type has against the data, where it is checked; the pointers are into the data"`
	}
	eventPage struct {
		Next       *string        `json:"next" doc:"URL of the next page; null on the last one"`
		Previous   *string        `json:"previous" doc:"URL of the previous page; null on the first one"`
		Results    []EventSummary `json:"results" nullable:"false"`
		SearchedTo *time.Time     `json:"searched_to" doc:"How far a search for what there is no index of (payloads, event types, statuses of success) has come; it goes on with next, or with previous where that was followed. Null where it is through, or the page is full"`
	}
	eventListOutput struct{ Body eventPage }
	eventBody       struct {
		EventSummary
		Context      object        `json:"current_context"`
		ConfigFilter object        `json:"config_filter"`
		Data         rawJSON       `json:"data" doc:"As it was published"`
		Traceparent  string        `json:"traceparent" doc:"W3C trace context; may be empty"`
		Deliveries   outcomeCounts `json:"deliveries" doc:"How many it has caused"`
	}
	eventOutput struct{ Body eventBody }
)

type (
	rejectedListInput struct {
		Reason  string     `query:"reason" doc:"The fixed word, such as unreadable"`
		Subject string     `query:"subject" doc:"A part of what it was published to, such as package.created; lower and upper case are the same"`
		From    fromParam  `query:"from"`
		To      toParam    `query:"to"`
		Limit   limitParam `query:"limit"`
		Cursor  string     `query:"cursor" doc:"From next or previous"`
	}
	rejectedBody struct {
		Seq         int64        `json:"seq" doc:"In the stream of events"`
		Subject     string       `json:"subject" doc:"What it was published to"`
		Reason      string       `json:"reason" doc:"Why it was rejected, in one fixed word"`
		Detail      string       `json:"detail" doc:"Why it was rejected, for people"`
		Raw         string       `json:"raw" doc:"The first 16 KiB of what was published"`
		RawIsBase64 bool         `json:"raw_is_base64" doc:"Whether it was no text"`
		Size        int          `json:"size" doc:"Of all that was published, in bytes"`
		Headers     []headerLine `json:"headers" nullable:"false"`
		CreatedDate time.Time    `json:"created_date" doc:"When it was published"`
	}
	rejectedPage struct {
		Next     *string        `json:"next" doc:"URL of the next page; null on the last one"`
		Previous *string        `json:"previous" doc:"URL of the previous page; null on the first one"`
		Results  []rejectedBody `json:"results" nullable:"false"`
	}
	rejectedListOutput struct{ Body rejectedPage }
)

func (s *server) registerEventHistory() {
	tag := []string{tagEvents}
	register(s, route{role: store.Viewer, lookUp: true, limit: usecase.SearchTimeout + storeTimeout}, huma.Operation{
		OperationID: "list-events", Method: http.MethodGet, Path: eventsPath, Tags: tag,
		Summary: "List events, newest first", Description: "Of the last seven days, unless from says otherwise.",
	}, s.listEvents)
	register(s, route{role: store.Viewer, lookUp: true}, huma.Operation{
		OperationID: "get-event", Method: http.MethodGet, Path: eventsPath + "{id}/", Tags: tag, Summary: "Get an event with its payload",
	}, s.getEvent)
	register(s, route{role: store.Viewer, lookUp: true}, huma.Operation{
		OperationID: "list-rejected-events", Method: http.MethodGet, Path: rejectedPath, Tags: tag,
		Summary: "List what was published and is no event, newest first", Description: "Of the last seven days, unless from says otherwise.",
	}, s.listRejected)
}

func (s *server) listEvents(ctx context.Context, c *call, in *eventListInput) (*eventListOutput, error) {
	f := store.EventFilter{Entity: in.Entity}
	var err error
	if f.Range, err = readRange(in.From, in.To, time.Now()); err != nil {
		return nil, err
	}
	if f.EventTypes, err = readTypes("event_type", in.EventType); err != nil {
		return nil, err
	}
	if f.Payload, err = in.payload(in.From, f.Range, time.Now()); err != nil {
		return nil, err
	}
	if f.OffSchema, _, err = readBool("off_schema", string(in.OffSchema)); err != nil {
		return nil, err
	}
	scope := c.scopeOf(eventsPath)
	page, err := s.cursors.page(c.query, scope)
	if err != nil {
		return nil, err
	}
	got, err := listed(ctx, f.Scans(), func(ctx context.Context) (store.Scanned[store.EventSummary], error) {
		return s.Cases.Events(ctx, &c.Caller, f, page)
	})
	if err != nil {
		return nil, err
	}
	out := eventPage{Results: make([]EventSummary, len(got.List)), SearchedTo: searchedTo(got.Reached)}
	for i, e := range got.List {
		out.Results[i] = EventSummary{ //nolint:gosec // a sequence is never negative
			ID: e.ID, Type: e.Type, Time: e.Time, Entity: e.Entity, Sequence: sequence(webhook.Sequence(e.Seq)), Size: e.Size, CreatedDate: e.PublishedAt,
			SchemaProblems: fieldProblems(e.SchemaProblems),
		}
	}
	first, last := ends(&got, page, func(e *store.EventSummary) store.Position {
		return store.SeqPosition(e.PublishedAt, uint64(e.Seq)) //nolint:gosec // never negative
	})
	out.Next, out.Previous = s.cursors.links(c.base+eventsPath, c.query, scope, page, got.More, first, last)
	return &eventListOutput{Body: out}, nil
}

// sequence is the event's number as receivers get it.
func sequence(q webhook.Sequence) int64 {
	return int64(q.Number()) //nolint:gosec // has 56 bits
}

func (s *server) getEvent(ctx context.Context, c *call, in *eventGetInput) (*eventOutput, error) {
	e, err := s.Cases.FindEvent(ctx, &c.Caller, in.ID)
	if err != nil {
		return nil, err
	}
	counts, err := s.Cases.History.CountStates(ctx, c.Tenant, e.ID, e.PublishedAt)
	if err != nil {
		return nil, err
	}
	return &eventOutput{Body: eventBody{
		EventSummary: EventSummary{
			ID: e.ID, Type: e.Type, Time: e.Time, Entity: e.Entity, Sequence: sequence(e.Seq), Size: len(e.Data), CreatedDate: e.PublishedAt,
			SchemaProblems: fieldProblems(e.SchemaProblems),
		},
		Context: object{rawJSON(e.Context)}, ConfigFilter: object{rawJSON(e.ConfigFilter)}, Data: rawJSON(e.Data),
		Traceparent: e.Traceparent, Deliveries: renderCounts(counts),
	}}, nil
}

func (s *server) listRejected(ctx context.Context, c *call, in *rejectedListInput) (*rejectedListOutput, error) {
	f := store.RejectedFilter{Reason: in.Reason, Subject: in.Subject}
	var err error
	if f.Range, err = readRange(in.From, in.To, time.Now()); err != nil {
		return nil, err
	}
	scope := c.scopeOf(rejectedPath)
	page, err := s.cursors.page(c.query, scope)
	if err != nil {
		return nil, err
	}
	list, more, err := s.Cases.History.Rejected(ctx, c.Tenant, f, maxRaw, page)
	if err != nil {
		return nil, err
	}
	out := rejectedPage{Results: make([]rejectedBody, len(list))}
	for i := range list {
		e := &list[i]
		raw := contentOf(e.Raw)
		out.Results[i] = rejectedBody{
			Seq: e.Seq, Subject: e.Subject, Reason: e.Reason, Detail: e.Detail, Raw: raw.text, RawIsBase64: raw.base64,
			Size: e.Size, Headers: splitHeaders(e.Headers), CreatedDate: e.PublishedAt,
		}
	}
	out.Next, out.Previous = s.neighbours(c, rejectedPath, scope, page, more, len(list), func(i int) store.Position {
		return store.SeqPosition(list[i].PublishedAt, uint64(list[i].Seq)) //nolint:gosec // never negative
	})
	return &rejectedListOutput{Body: out}, nil
}

// splitHeaders reads lines "Name: value".
func splitHeaders(text string) []headerLine {
	lines := []headerLine{}
	for line := range strings.SplitSeq(text, "\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			lines = append(lines, headerLine{Name: name, Value: value})
		}
	}
	return lines
}
