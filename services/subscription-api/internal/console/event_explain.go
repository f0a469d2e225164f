package console

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

type explainBody struct {
	EventID, EventType string
	Rows               []explainRow
	// Deleted are deliveries to hooks that were deleted since.
	Deleted        []deliveryRow
	Previous, Next string
}

// explainRow says why one hook did or did not get the event.
type explainRow struct {
	usecase.Explained

	Hook  uuid.UUID
	Title string
	// Row is the delivery; may be nil.
	Row *deliveryRow
}

// Label is the outcome in words.
func (r explainRow) Label() string { return strings.ReplaceAll(r.Outcome, "_", " ") }

func (c *console) explainPage(ctx context.Context, v *visit) (reply, error) {
	if v.form.Get("id") == "" {
		return page("event-explain", "Explain an event", explainBody{}), nil
	}
	e, err := c.Cases.Deliveries.FindEvent(ctx, &v.Caller, v.form.Get("id"))
	if err != nil {
		return reply{}, err
	}
	at := readHookPage(v.form)
	hooks, more, err := c.Cases.Hooks.ListSorted(ctx, &v.Caller, usecase.HookFilter{}, usecase.HooksByName, at)
	if err != nil {
		return reply{}, err
	}
	list := make([]*webhook.Hook, len(hooks))
	for i := range hooks {
		list[i] = &hooks[i].Hook
	}
	explained, err := c.Cases.Deliveries.Explain(ctx, &v.Caller, &e, list)
	if err != nil {
		return reply{}, err
	}
	body := explainBody{EventID: e.ID, EventType: e.Type}
	for i, x := range explained {
		x.Detail = inWords(x.Detail)
		row := explainRow{Explained: x, Hook: list[i].ID, Title: titleOf(list[i])}
		if x.Delivery != nil {
			delivery := newDeliveryRow(x.Delivery)
			row.Row = &delivery
		}
		body.Rows = append(body.Rows, row)
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
		deleted, err := c.Cases.Deliveries.ExplainDeleted(ctx, &v.Caller, &e)
		if err != nil {
			return reply{}, err
		}
		for _, x := range deleted {
			body.Deleted = append(body.Deleted, newDeliveryRow(x.Delivery))
		}
	}
	return page("event-explain", "Why event "+e.Type+" went where", body), nil
}
