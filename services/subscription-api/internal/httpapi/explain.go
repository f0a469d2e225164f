package httpapi

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// What an explanation says beyond the states of deliveries.
const (
	notMatched = "not_matched"
	notThere   = "not_recorded"

	evaluatedNow  = "now"
	fromTheLedger = "recorded"
)

type (
	explainInput struct {
		ID     string     `path:"id" doc:"The event's id"`
		Limit  limitParam `query:"limit"`
		Cursor string     `query:"cursor" doc:"From next or previous"`
	}
	explainedHook struct {
		Hook         uuid.UUID  `json:"hook" format:"uuid"`
		Name         string     `json:"name" doc:"The hook's; empty where it has been deleted"`
		Outcome      string     `json:"outcome" enum:"delivered,waiting,parked,dead,cancelled,not_matched,not_recorded" doc:"not_recorded: the hook wants the event now, and there is no delivery of it"`
		Reason       string     `json:"reason" doc:"Why, in one fixed word; may be empty"`
		Detail       string     `json:"detail" doc:"Why, for people; may be empty"`
		Delivery     *string    `json:"delivery" format:"uuid" doc:"Its id; null where there is none"`
		AttemptCount int        `json:"attempt_count"`
		NextAttempt  *time.Time `json:"next_attempt_date"`
		Evaluated    string     `json:"evaluated" enum:"recorded,now" doc:"Whether this is what happened, or what follows from the hook as it is now"`
	}
	explanationPage struct {
		Next     *string         `json:"next" doc:"URL of the next page; null on the last one"`
		Previous *string         `json:"previous" doc:"URL of the previous page; null on the first one"`
		Results  []explainedHook `json:"results" nullable:"false" doc:"Hooks, the newest first; those that have been deleted since at the end"`
	}
	explainOutput struct{ Body explanationPage }
)

func (s *server) registerExplain() {
	register(s, route{role: store.Viewer, lookUp: true}, huma.Operation{
		OperationID: "explain-event", Method: http.MethodGet, Path: eventsPath + "{id}/explain/", Tags: []string{tagEvents},
		Summary: "See for every hook why it did or did not get an event",
	}, s.explainEvent)
}

func (s *server) explainEvent(ctx context.Context, c *call, in *explainInput) (*explainOutput, error) {
	e, err := s.findEvent(ctx, c, in.ID)
	if err != nil {
		return nil, err
	}
	path := eventsPath + e.ID + "/explain/"
	scope := c.scopeOf(path)
	page, err := s.cursors.page(c.query, scope)
	if err != nil {
		return nil, err
	}
	list, more, err := s.Hooks.Hooks(ctx, c.tenant, store.HookFilter{}, page)
	if err != nil {
		return nil, err
	}
	ids := make([]uuid.UUID, len(list))
	for i := range list {
		ids[i] = list[i].ID
	}
	found, err := s.Explained.DeliveriesOf(ctx, c.tenant, e.ID, e.PublishedAt, ids)
	if err != nil {
		return nil, err
	}
	out := explanationPage{Results: []explainedHook{}}
	for i := range list {
		out.Results = append(out.Results, explain(&list[i], &e, found))
	}
	out.Next, out.Previous = s.neighbours(c, path, scope, page, more, len(list), func(i int) store.Position {
		return store.Position{At: list[i].CreatedAt, ID: list[i].ID}
	})
	if out.Next == nil {
		orphans, err := s.Explained.OrphansOf(ctx, c.tenant, e.ID, e.PublishedAt, maxLimit)
		if err != nil {
			return nil, err
		}
		for i := range orphans {
			out.Results = append(out.Results, explainDelivery("", &orphans[i]))
		}
	}
	return &explainOutput{Body: out}, nil
}

// explain says what the ledger has, or what follows from the hook as it is now.
func explain(h *webhook.Hook, e *webhook.Event, found map[uuid.UUID]webhook.Delivery) explainedHook {
	if d, there := found[h.ID]; there {
		return explainDelivery(h.Name, &d)
	}
	x := explainedHook{Hook: h.ID, Name: h.Name, Outcome: notMatched, Evaluated: evaluatedNow}
	if h.Unreadable != "" {
		x.Outcome, x.Detail = notThere, "Whether the hook wants the event is not known here, as it cannot be read: "+h.Unreadable
		return x
	}
	v := filter.NewJudge(h).Judge(e)
	if x.Reason, x.Detail = v.Reason, v.Detail; v.Reason == "" {
		x.Outcome = notThere
		x.Detail = strings.TrimSpace("The hook wants the event as it is now. The delivery is not recorded yet, or the hook was changed or disabled when the event came. " + v.Detail)
	}
	return x
}

func explainDelivery(name string, d *webhook.Delivery) explainedHook {
	id := d.ID.String()
	x := explainedHook{
		Hook: d.HookID, Name: name, Outcome: string(d.State), Reason: string(d.Reason), Delivery: &id, AttemptCount: d.Attempts,
		NextAttempt: optionalTime(d.NextAt), Evaluated: fromTheLedger,
	}
	if d.State != webhook.Delivered {
		x.Detail = string(d.LastError)
	}
	return x
}
