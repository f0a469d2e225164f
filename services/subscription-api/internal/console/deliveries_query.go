package console

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// Spans are the choices of when the events were published. The deliveries of a replay are from when that is of.
func (q deliveryQuery) Spans() []option {
	spans := q.spanQuery.Spans()
	if q.Job != "" {
		spans[0].Label = "the replay's range"
	}
	return spans
}

// deliveryChoice is what a query means.
type deliveryChoice struct {
	usecase.DeliveryFilter

	// Problem is a sentence for people; empty where there is none. Calls are the webhooks that Hook may mean.
	Problem string
	Calls   hookCall
	// Job is the replay that they are of; nil for none.
	Job *usecase.Job
}

// chooseDeliveries looks up what the query names.
func (c *console) chooseDeliveries(ctx context.Context, v *visit, q *deliveryQuery) (chosen deliveryChoice, err error) {
	chosen.DeliveryFilter, chosen.Problem = q.filter(v.now())
	switch {
	case chosen.Problem != "":
	case q.Job != "":
		err = c.chooseReplayed(ctx, v, q, &chosen)
	case q.Hook != "":
		chosen.Calls, err = c.hookCalled(ctx, v, q.Hook)
		chosen.Hook, chosen.Problem = chosen.Calls.ID, chosen.Calls.Problem
	}
	return chosen, err
}

// chooseReplayed narrows the choice to the deliveries of a replay.
func (c *console) chooseReplayed(ctx context.Context, v *visit, q *deliveryQuery, chosen *deliveryChoice) error {
	id, err := uuid.Parse(q.Job)
	if err != nil {
		chosen.Problem = "The id of the replay is not one."
		return nil //nolint:nilerr // the page shows the problem
	}
	job, err := c.Cases.Jobs.Get(ctx, &v.Caller, id)
	if err != nil {
		return err
	}
	of := usecase.ReplayedBy(&job)
	chosen.Job, chosen.Hook, chosen.ReplayedSince = &job, of.Hook, of.ReplayedSince
	if q.Get("event_type") == "" {
		chosen.EventTypes = of.EventTypes
	}
	if q.Since == "" {
		chosen.Range = of.Range
	}
	return nil
}

const (
	// mostCalled is how many webhooks are looked at for the one that a text means, shownCalled how many of them are named, and
	// offeredNames how many names are offered to whom is typing one.
	mostCalled, shownCalled, offeredNames = 1000, 10, 50
)

// hookCall is what a text means by which a person calls a webhook.
type hookCall struct {
	ID uuid.UUID
	// Problem says why it is none. Some are the first of those that it can be, and More how many others there are.
	Problem string
	Some    []option
	More    int
}

// hookCalled finds a webhook by its id, by its name, or by the beginning of either where there is only one.
func (c *console) hookCalled(ctx context.Context, v *visit, text string) (call hookCall, err error) {
	if call.ID, err = uuid.Parse(text); err == nil {
		return call, nil
	}
	hooks, err := c.hooksByName(ctx, v, text, mostCalled)
	if err != nil {
		return call, err
	}
	begin := strings.ToLower(text)
	var named, begun []option
	for _, h := range hooks {
		switch {
		case h.Label == text:
			named = append(named, h)
		case strings.HasPrefix(strings.ToLower(h.Label), begin), strings.HasPrefix(h.Value, begin):
			begun = append(begun, h)
		}
	}
	if len(named) == 0 {
		named = begun
	}
	switch len(named) {
	case 0:
		call.Problem = fmt.Sprintf("No webhook has the name %q, or a name or id that begins with it.", text)
	case 1:
		call.ID, err = uuid.Parse(named[0].Value)
	default:
		call.Problem = fmt.Sprintf("%q can be any of %s webhooks:", text, amount(len(named)))
		call.Some = named[:min(shownCalled, len(named))]
		call.More = len(named) - len(call.Some)
	}
	return call, err
}

// hooksByName are the ids and titles of webhooks that have the text in their name or target, or in the beginning of their id.
func (c *console) hooksByName(ctx context.Context, v *visit, text string, most int) ([]option, error) {
	mask := c.Cases.MaskFor(&v.Caller)
	hooks, _, err := c.Cases.Hooks.ListSorted(ctx, &v.Caller, usecase.HookFilter{Mask: mask, Search: text}, usecase.HooksByName, usecase.HookPage{Limit: most})
	list := make([]option, len(hooks))
	for i := range hooks {
		h := mask.Hook(hooks[i].Hook)
		list[i] = option{h.ID.String(), titleOf(&h)}
	}
	return list, err
}

// hookNames are the webhooks whose name is being typed.
func (c *console) hookNames(ctx context.Context, v *visit) (reply, error) {
	hooks, err := c.hooksByName(ctx, v, strings.TrimSpace(v.form.Get("hook")), offeredNames)
	return fragment("hook-names", callable(hooks)), err
}

// callable are the names by which the webhooks can be called: the id where several have the name.
func callable(hooks []option) []option {
	named := map[string]int{}
	for _, h := range hooks {
		named[h.Label]++
	}
	list := make([]option, len(hooks))
	for i, h := range hooks {
		list[i] = option{Value: h.Label}
		if named[h.Label] > 1 {
			list[i] = h
		}
	}
	return list
}

// callOf is how a person calls the webhook that the query has chosen: by its title, unless another has it too.
func (c *console) callOf(ctx context.Context, v *visit, text, title string) (string, error) {
	id, err := uuid.Parse(text)
	if err != nil || title == "" {
		return text, nil //nolint:nilerr // it is how they called it
	}
	call, err := c.hookCalled(ctx, v, title)
	if err != nil || call.ID != id {
		return text, err
	}
	return title, nil
}
