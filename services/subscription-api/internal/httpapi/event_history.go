package httpapi

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const (
	rejectedPath = root + "/rejected-events/"
	tagEvents    = "Events"
	// maxRaw is how many bytes of a rejected event are shown.
	maxRaw = 16 << 10
)

type (
	eventListInput struct{ PageQuery }
	eventGetInput  struct {
		ID string `path:"id" doc:"The event's id"`
	}
	eventListOutput struct {
		Body api.SearchPage[api.EventSummary]
	}
	eventOutput struct{ Body api.Event }
)

type (
	rejectedListInput  struct{ PageQuery }
	rejectedListOutput struct{ Body api.Page[api.Rejected] }
)

func (s *server) registerEventHistory() {
	tag := []string{tagEvents}
	register(s, route{role: usecase.Viewer, lookUp: true, limit: usecase.SearchTimeout + storeTimeout}, huma.Operation{
		OperationID: "list-events", Method: http.MethodGet, Path: eventsPath, Tags: tag,
		Summary: "List events, newest first", Description: "The last seven days, unless from is set.",
		Parameters: params[api.EventFilter](),
	}, s.listEvents)
	register(s, route{role: usecase.Viewer, lookUp: true}, huma.Operation{
		OperationID: "get-event", Method: http.MethodGet, Path: eventsPath + "{id}/", Tags: tag, Summary: "Get an event with its payload",
	}, s.getEvent)
	register(s, route{role: usecase.Viewer, lookUp: true}, huma.Operation{
		OperationID: "list-rejected-events", Method: http.MethodGet, Path: rejectedPath, Tags: tag,
		Summary: "List rejected events, newest first", Description: "The last seven days, unless from is set.",
		Parameters: params[api.RejectedFilter](),
	}, s.listRejected)
}

func (s *server) listEvents(ctx context.Context, c *call, _ *eventListInput) (*eventListOutput, error) {
	f := usecase.EventFilter{Entity: c.query.Get("entity")}
	var err error
	if f.Range, err = usecase.ReadRange(c.query.Get("from"), c.query.Get("to"), time.Now()); err != nil {
		return nil, err
	}
	if f.EventTypes, err = usecase.ReadTypes(c.query.Get("event_type")); err != nil {
		return nil, err
	}
	if f.Payload, err = readPayload(c.query, f.Range, time.Now()); err != nil {
		return nil, err
	}
	if f.OffSchema, _, err = readBool("off_schema", c.query.Get("off_schema")); err != nil {
		return nil, err
	}
	scope := c.scopeOf(eventsPath)
	page, err := s.cursors.page(c.query, scope)
	if err != nil {
		return nil, err
	}
	got, err := listed(ctx, f.Scans(), func(ctx context.Context) (usecase.Scanned[usecase.EventSummary], error) {
		return s.Cases.Deliveries.Events(ctx, &c.Caller, f, page)
	})
	if err != nil {
		return nil, err
	}
	out := api.SearchPage[api.EventSummary]{Results: make([]api.EventSummary, len(got.List)), SearchedTo: searchedTo(got.Reached)}
	erased := make([]*api.Erased, len(got.List))
	for i, e := range got.List {
		erased[i] = renderErased(e.Erased)
		out.Results[i] = api.EventSummary{
			ID: e.ID, Type: e.Type, Time: e.Time, Entity: e.Entity, Sequence: sequence(webhook.Sequence(e.Seq)), Size: e.Size, CreatedDate: e.PublishedAt, //nolint:gosec // never negative
			SchemaProblems: fieldProblems(e.SchemaProblems), Erased: erased[i],
		}
	}
	if err := s.nameErasers(ctx, c, erased...); err != nil {
		return nil, err
	}
	first, last := ends(&got, page, func(e *usecase.EventSummary) usecase.Position {
		return usecase.SeqPosition(e.PublishedAt, e.Seq)
	})
	out.Next, out.Previous = s.cursors.links(c.base+eventsPath, c.query, scope, page, got.More, first, last)
	return &eventListOutput{Body: out}, nil
}

// sequence returns the event's sequence number as receivers get it.
func sequence(q webhook.Sequence) int64 {
	return int64(q.Number()) //nolint:gosec // has 56 bits
}

func (s *server) getEvent(ctx context.Context, c *call, in *eventGetInput) (*eventOutput, error) {
	e, err := s.Cases.Deliveries.FindEvent(ctx, &c.Caller, in.ID)
	if err != nil {
		return nil, err
	}
	counts, err := s.Cases.History.CountStates(ctx, c.Tenant, e.ID, e.PublishedAt)
	if err != nil {
		return nil, err
	}
	out := api.Event{
		EventSummary: api.EventSummary{
			ID: e.ID, Type: e.Type, Time: e.Time, Entity: e.Entity, Sequence: sequence(e.Seq), Size: len(e.Data), CreatedDate: e.PublishedAt,
			SchemaProblems: fieldProblems(e.SchemaProblems), Erased: renderErased(e.Erased),
		},
		Context: shownObject(e.Context), ConfigFilter: shownObject(e.ConfigFilter), Data: shownJSON(e.Data),
		Traceparent: e.Traceparent, Deliveries: renderCounts(counts),
	}
	return &eventOutput{Body: out}, s.nameErasers(ctx, c, out.Erased)
}

func (s *server) listRejected(ctx context.Context, c *call, _ *rejectedListInput) (*rejectedListOutput, error) {
	f := usecase.RejectedFilter{Reason: c.query.Get("reason"), Subject: c.query.Get("subject")}
	var err error
	if f.Range, err = usecase.ReadRange(c.query.Get("from"), c.query.Get("to"), time.Now()); err != nil {
		return nil, err
	}
	scope := c.scopeOf(rejectedPath)
	page, err := s.cursors.page(c.query, scope)
	if err != nil {
		return nil, err
	}
	list, more, err := s.Cases.History.ListRejected(ctx, c.Tenant, f, maxRaw, page)
	if err != nil {
		return nil, err
	}
	out := api.Page[api.Rejected]{Results: make([]api.Rejected, len(list))}
	for i := range list {
		e := &list[i]
		raw := contentOf(e.Raw)
		out.Results[i] = api.Rejected{
			Seq: e.Seq, Subject: e.Subject, Reason: e.Reason, Detail: e.Detail, Raw: raw.text, RawIsBase64: raw.base64,
			Size: e.Size, Headers: splitHeaders(e.Headers), CreatedDate: e.PublishedAt,
		}
	}
	out.Next, out.Previous = s.neighbours(c, rejectedPath, scope, page, more, len(list), func(i int) usecase.Position {
		return usecase.SeqPosition(list[i].PublishedAt, list[i].Seq)
	})
	return &rejectedListOutput{Body: out}, nil
}

// splitHeaders parses lines of the form "Name: value".
func splitHeaders(text string) []api.HeaderLine {
	lines := []api.HeaderLine{}
	for line := range strings.SplitSeq(text, "\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			lines = append(lines, api.HeaderLine{Name: name, Value: value})
		}
	}
	return lines
}
