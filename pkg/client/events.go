package client

import (
	"context"
	"iter"
	"net/http"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

const eventsPath = "/whisperer/events/"

// Events publishes events, and reads those that were published.
type Events struct{ *core }

type (
	// Event is an event to publish. Type and Data are needed.
	Event = api.EventFields
	// EventFilter narrows a list of events; empty fields let everything pass. Without From the list goes back seven days.
	EventFilter = api.EventFilter
	// RejectedFilter narrows a list of rejected events; empty fields let everything pass. Without From the list goes back seven days.
	RejectedFilter = api.RejectedFilter
)

// Publish publishes one event and returns when it is stored.
func (c Events) Publish(ctx context.Context, e Event) (api.Published, error) {
	return post[api.Published](ctx, c.core, eventsPath, e)
}

// PublishBatch publishes up to 100 events and returns when all are stored. On an error some may be: publish the same
// again, with an ID in each.
func (c Events) PublishBatch(ctx context.Context, events []Event) error {
	return c.do(ctx, request{method: http.MethodPost, path: eventsPath, body: events}, nil)
}

// List lists events, newest first, fetching page after page. It ends after the first error.
func (c Events) List(ctx context.Context, f EventFilter) iter.Seq2[api.EventSummary, error] {
	return pages[api.EventSummary](ctx, c.core, eventsPath, queryOf(f))
}

// Get returns an event with its payload; webhook.ErrNotFound where there is none, or not any more.
func (c Events) Get(ctx context.Context, id string) (api.Event, error) {
	return get[api.Event](ctx, c.core, eventsPath+id+"/")
}

// Explain says for every hook why it did or did not get the event.
func (c Events) Explain(ctx context.Context, id string) iter.Seq2[api.ExplainedHook, error] {
	return pages[api.ExplainedHook](ctx, c.core, eventsPath+id+"/explain/", nil)
}

// ListRejected lists what was rejected, newest first, fetching page after page. It ends after the first error.
func (c Events) ListRejected(ctx context.Context, f RejectedFilter) iter.Seq2[api.Rejected, error] {
	return pages[api.Rejected](ctx, c.core, "/whisperer/rejected-events/", queryOf(f))
}
