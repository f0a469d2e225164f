package console

import (
	"context"
	"net/url"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// bulkBody asks whether so many hooks are really to be paused or resumed.
type bulkBody struct {
	Action string
	Count  int
	// IDs are the hooks that were ticked; none where All are meant that the filter lets through.
	IDs    []string
	All    bool
	Filter hookQuery
	Next   string
}

// setStatuses pauses or resumes the hooks that were ticked, or all that the list's filter lets through: at first it says
// how many these are and what that means, and then, if the person is sure, it does it.
func (c *console) setStatuses(ctx context.Context, v *visit) (reply, error) {
	status, done, ok := wantedStatus(v.posted.Get("status"))
	body := bulkBody{
		Action: v.posted.Get("status"), IDs: v.posted["hook"], All: v.posted.Get("all") != "", Next: safeNext(v.posted.Get("next")),
		Filter: hookQuery{Search: v.posted.Get("search"), Status: v.posted.Get("filter_status"), EventType: v.posted.Get("event_type")},
	}
	if !ok || len(body.IDs) > pageSize {
		return reply{}, errBadForm
	}
	if body.Next == "" {
		body.Next = Root + "hooks/"
	}
	change := store.StatusChange{To: status}
	if body.All {
		body.IDs, change.Filter = nil, body.Filter.filter(c.Cases.MaskFor(&v.Caller))
	} else if len(body.IDs) == 0 {
		return goTo(withDone(body.Next, "none-ticked")), nil
	}
	for _, text := range body.IDs {
		id, err := uuid.Parse(text)
		if err != nil {
			return reply{}, errBadForm
		}
		change.IDs = append(change.IDs, id)
	}
	var err error
	if v.posted.Get("sure") == "" {
		if body.Count, err = c.Cases.CountStatuses(ctx, &v.Caller, change); err != nil {
			return reply{}, err
		}
		return page("hooks-bulk", "Are you sure?", body), nil
	}
	n, err := c.Cases.SetStatuses(ctx, &v.Caller, change)
	if err != nil {
		return reply{}, err
	}
	return goTo(withDoneTo(body.Next, done+"-some", n)), nil
}

// wantedStatus reads what a button asks for.
func wantedStatus(action string) (status webhook.HookStatus, done string, ok bool) {
	switch action {
	case "pause":
		return webhook.Paused, "paused", true
	case "resume":
		return webhook.Active, "resumed", true
	default:
		return "", "", false
	}
}

// setStatus pauses an active hook, or resumes one that is paused or disabled. After a disabled one is on again, what it
// missed is offered.
func (c *console) setStatus(ctx context.Context, v *visit) (reply, error) {
	id, err := readID(v)
	if err != nil {
		return reply{}, err
	}
	status, done, ok := wantedStatus(v.posted.Get("status"))
	if !ok {
		return reply{}, errBadForm
	}
	changed, err := c.Cases.SetStatus(ctx, &v.Caller, id, nil, status)
	switch {
	case err != nil:
		return reply{}, err
	case changed.WasDisabled && status == webhook.Active:
		return goTo(hookPath(id) + "replay?" + url.Values{"recover": {"yes"}}.Encode()), nil
	}
	return goTo(withDone(hookPath(id), done)), nil
}
