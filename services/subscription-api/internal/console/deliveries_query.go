package console

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// Spans are the choices of when the events were published. For the deliveries of a replay, the replay's range is one
// of them.
func (q deliveryQuery) Spans() []option {
	spans := q.spanQuery.Spans()
	if q.Job != "" {
		spans[0].Label = "the replay's range"
	}
	return spans
}

// deliveryChoice is the meaning of a query.
type deliveryChoice struct {
	usecase.DeliveryFilter

	// Problem is a sentence for people; may be empty. Calls are the webhooks that Hook may mean.
	Problem string
	Calls   hookCall
	// Job is the replay that the deliveries belong to; may be nil.
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

// chooseReplayed restricts the choice to the deliveries of a replay.
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
	// mostCalled is how many webhooks are examined to resolve a text, shownCalled how many candidates are shown, and
	// offeredNames how many names are suggested while typing.
	mostCalled, shownCalled, offeredNames = 1000, 10, 50
)

// hookCall is the result of resolving a text that identifies a webhook.
type hookCall struct {
	ID uuid.UUID
	// Problem says why that failed. Some are the first candidates, and More is the number of further ones.
	Problem string
	Some    []option
	More    int
}

// hookCalled finds a webhook by its id, by its name, or by an unambiguous prefix of either.
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

// hooksByName returns the ids and titles of webhooks with the text in their name or target, or at the beginning of
// their id.
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

// hookNames suggests webhooks for the name being typed.
func (c *console) hookNames(ctx context.Context, v *visit) (reply, error) {
	hooks, err := c.hooksByName(ctx, v, strings.TrimSpace(v.form.Get("hook")), offeredNames)
	return fragment("hook-names", callable(hooks)), err
}

// callable returns texts that identify the webhooks: their titles, or their ids if several share a title.
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

// callOf returns the text that identifies the chosen webhook: its title, unless another has the same.
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
