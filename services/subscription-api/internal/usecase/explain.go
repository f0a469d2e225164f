package usecase

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
)

// Outcomes of an explanation in addition to the states of deliveries.
const (
	// NotMatched says that the hook, as currently configured, does not want the event.
	NotMatched = "not_matched"
	// NotRecorded says that the hook, as currently configured, wants the event, but that no delivery is recorded.
	NotRecorded = "not_recorded"
)

// maxDeleted bounds the deliveries to deleted hooks that an explanation lists.
const maxDeleted = 250

// Explained says why a hook did or did not get an event.
type Explained struct {
	// Outcome is the delivery's state, NotMatched or NotRecorded.
	Outcome string
	// Reason is one fixed word, and Detail is for people; both may be empty.
	Reason, Detail string
	// Delivery is the recorded delivery; nil if the outcome follows from the hook's current configuration.
	Delivery *webhook.Delivery
}

// FindEvent returns a published event. It returns webhook.ErrNotFound if there is none, or the id is invalid.
func (s *Deliveries) FindEvent(ctx context.Context, c *Caller, id string) (webhook.Event, error) {
	if len(id) > 2*webhook.MaxEventIDLength+1 || !utf8.ValidString(id) || strings.ContainsRune(id, 0) {
		return webhook.Event{}, webhook.ErrNotFound
	}
	return s.History.FindEvent(ctx, c.Tenant, id)
}

// Explain says for each of the hooks, in their order, why it did or did not get the event.
func (s *Deliveries) Explain(ctx context.Context, c *Caller, e *webhook.Event, hooks []*webhook.Hook) ([]Explained, error) {
	ids := make([]uuid.UUID, len(hooks))
	for i := range hooks {
		ids[i] = hooks[i].ID
	}
	found, err := s.History.DeliveriesOf(ctx, c.Tenant, e.ID, e.PublishedAt, ids)
	if err != nil {
		return nil, err
	}
	list := make([]Explained, len(hooks))
	for i, h := range hooks {
		if d, there := found[h.ID]; there {
			list[i] = explainDelivery(&d)
		} else {
			list[i] = explainHook(h, e)
		}
	}
	return list, nil
}

// ExplainDeleted explains the deliveries of the event to hooks that have been deleted since.
func (s *Deliveries) ExplainDeleted(ctx context.Context, c *Caller, e *webhook.Event) ([]Explained, error) {
	deliveries, err := s.History.OrphansOf(ctx, c.Tenant, e.ID, e.PublishedAt, maxDeleted)
	if err != nil {
		return nil, err
	}
	list := make([]Explained, len(deliveries))
	for i := range deliveries {
		list[i] = explainDelivery(&deliveries[i])
	}
	return list, nil
}

func explainDelivery(d *webhook.Delivery) Explained {
	x := Explained{Outcome: string(d.State), Reason: string(d.Reason), Delivery: d}
	if d.State != webhook.Delivered {
		x.Detail = string(d.LastError)
	}
	if d.SupersededBy != nil {
		x.Detail = "A newer event of the same entity took its place: delivery " + d.SupersededBy.String()
	}
	return x
}

func explainHook(h *webhook.Hook, e *webhook.Event) Explained {
	if h.Unreadable != "" {
		return Explained{Outcome: NotRecorded, Detail: "Whether the hook wants the event is not known here, as it cannot be read: " + h.Unreadable}
	}
	v := filter.NewJudge(h).Judge(e)
	if v.Reason != "" {
		return Explained{Outcome: NotMatched, Reason: v.Reason, Detail: v.Detail}
	}
	return Explained{Outcome: NotRecorded, Detail: strings.TrimSpace("The hook wants the event as it is now. " +
		"The delivery is not recorded yet, or the hook was changed or disabled when the event came. " + v.Detail)}
}
