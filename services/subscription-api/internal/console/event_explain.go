package console

import (
	"context"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// maxOrphans bounds the deliveries to hooks that are gone which an explanation lists.
const maxOrphans = 50

type explainBody struct {
	EventID, EventType string
	Rows               []explainRow
	// Orphans are deliveries to hooks that were deleted since.
	Orphans        []deliveryRow
	Previous, Next string
}

// explainRow says why one hook did or did not get the event.
type explainRow struct {
	Hook  uuid.UUID
	Title string
	// Delivery is nil where there is none.
	Delivery *deliveryRow
	// Reason is a fixed word, and Detail a sentence; both are about the hook as it is now.
	Reason, Detail string
}

// Outcome is what became of it, in a word or two.
func (r explainRow) Outcome() string {
	switch {
	case r.Delivery != nil:
		return string(r.Delivery.State)
	case r.Reason != "":
		return "not matched"
	default:
		return "not recorded"
	}
}

func (c *console) explainPage(ctx context.Context, v *visit) (reply, error) {
	e, err := c.History.FindEvent(ctx, v.tenant, v.form.Get("id"))
	if err != nil {
		return reply{}, err
	}
	at := readHookPage(v.form)
	hooks, more, err := c.Hooks.SortedHooks(ctx, v.tenant, store.HookFilter{}, store.HooksByName, at)
	if err != nil {
		return reply{}, err
	}
	ids := make([]uuid.UUID, len(hooks))
	for i := range hooks {
		ids[i] = hooks[i].ID
	}
	found, err := c.Explained.DeliveriesOf(ctx, v.tenant, e.ID, e.PublishedAt, ids)
	if err != nil {
		return reply{}, err
	}
	body := explainBody{EventID: e.ID, EventType: e.Type}
	for i := range hooks {
		body.Rows = append(body.Rows, explain(&hooks[i].Hook, &e, found))
	}
	if n := len(hooks); n > 0 {
		if at.After != nil || at.Before != nil && more {
			body.Previous = pageLink(v.form, "before", formatHookKey(hooks[0].Key))
		}
		if at.Before != nil || more {
			body.Next = pageLink(v.form, "after", formatHookKey(hooks[n-1].Key))
		}
	}
	if body.Next == "" {
		orphans, err := c.Explained.OrphansOf(ctx, v.tenant, e.ID, e.PublishedAt, maxOrphans)
		if err != nil {
			return reply{}, err
		}
		body.Orphans = deliveryRows(orphans)
	}
	return page("event-explain", "Why event "+e.Type+" went where", body), nil
}

func explain(h *webhook.Hook, e *webhook.Event, found map[uuid.UUID]webhook.Delivery) explainRow {
	row := explainRow{Hook: h.ID, Title: titleOf(h)}
	if d, there := found[h.ID]; there {
		delivery := newDeliveryRow(&d)
		row.Delivery = &delivery
		return row
	}
	if h.Unreadable != "" {
		row.Detail = "Whether the webhook wants the event is not known here, as it cannot be read: " + h.Unreadable
		return row
	}
	if row.Reason, row.Detail = filter.WhyNot(h, e); row.Reason == "" {
		row.Detail = "The webhook wants the event as it is now. The delivery is not recorded yet, or the webhook was changed or disabled when the event came."
	}
	return row
}
