package console

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

type deliveryQuery struct {
	// Hook is a webhook's id, the beginning of it, its name, or the beginning of that. Job is a replay's id.
	Hook, Job, EventType, Event, Entity, State, Status, Label string
	spanQuery
}

// Narrowed reports whether deliveries may be hidden by the filter.
func (q deliveryQuery) Narrowed() bool { return q != deliveryQuery{} }

// Spans are the choices of when the events were published. The deliveries of a replay are from when that is of.
func (q deliveryQuery) Spans() []option {
	spans := q.spanQuery.Spans()
	if q.Job != "" {
		spans[0].Label = "the replay's range"
	}
	return spans
}

func readDeliveryQuery(form url.Values) deliveryQuery {
	get := func(name string) string { return strings.TrimSpace(form.Get(name)) }
	return deliveryQuery{
		Hook: get("hook"), Job: get("job"), EventType: get("event_type"), Event: get("event"), Entity: get("entity"), State: get("state"),
		Status: get("status"), Label: get("label"), spanQuery: readSpan(form),
	}
}

// filter is what the store is asked for, but for what has to be looked up; a problem is a sentence for people.
func (q *deliveryQuery) filter(now time.Time) (f usecase.DeliveryFilter, problem string) {
	f.EventID, f.Entity = q.Event, q.Entity
	if f.Range, problem = q.timeRange(now); problem != "" {
		return f, problem
	}
	if q.EventType != "" {
		pattern, problem := readPattern(q.EventType)
		if problem != "" {
			return f, problem
		}
		f.EventTypes = []string{pattern}
	}
	var err error
	if f.Labels, err = webhook.ParseLabelSelector(q.Label); err != nil {
		return f, sentence("The label " + err.Error())
	}
	for word := range strings.SplitSeq(q.State, ",") {
		switch state := webhook.DeliveryState(word); state {
		case webhook.Waiting, webhook.Parked, webhook.Delivered, webhook.Dead, webhook.Cancelled, webhook.Superseded:
			f.States = append(f.States, state)
		}
	}
	low, high := 0, 0
	switch q.Status {
	case "2xx", "3xx", "4xx", "5xx":
		low = int(q.Status[0]-'0') * 100
		high = low + 99
	case "none":
	default:
		return f, ""
	}
	f.MinStatus, f.MaxStatus = &low, &high
	return f, ""
}

// What says in words which deliveries the list shows; job is the reason of the replay that they are of.
func (q deliveryQuery) describe(hook, job string) []string {
	var words []string
	add := func(name, value string, options []option) {
		if value == "" {
			return
		}
		for _, o := range options {
			if o.Value == value {
				value = o.Label
			}
		}
		words = append(words, name+" "+value)
	}
	add("to", hook, nil)
	add("of the replay:", job, nil)
	add("to webhooks with the label", q.Label, nil)
	add("state:", q.State, stateOptions())
	add("last answer:", q.Status, answerOptions())
	add("event type:", q.EventType, nil)
	add("entity:", q.Entity, nil)
	add("event:", q.Event, nil)
	if q.Since == ownSpan {
		add("published from", strings.Replace(q.From, "T", " ", 1), nil)
		add("until", strings.Replace(q.To, "T", " ", 1), nil)
		return words
	}
	if i := slices.IndexFunc(q.Spans(), func(o option) bool { return o.Value == q.Since }); i >= 0 {
		words = append(words, "published: "+q.Spans()[i].Label)
	}
	return words
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
		return nil //nolint:nilerr // the person is told
	}
	job, err := c.Cases.Job(ctx, &v.Caller, id)
	if err != nil {
		return err
	}
	of := usecase.ReplayedBy(&job)
	chosen.Job, chosen.Hook, chosen.ReplayedSince = &job, of.Hook, of.ReplayedSince
	if q.EventType == "" {
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
	hooks, _, err := c.Cases.ListSortedHooks(ctx, &v.Caller, usecase.HookFilter{Mask: mask, Search: text}, usecase.HooksByName, usecase.HookPage{Limit: most})
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
