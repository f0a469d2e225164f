package console

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// replayManyBody asks which deliveries of many hooks to replay, and then for confirmation.
type replayManyBody struct {
	hookChoice

	Form   replayForm
	Wrong  formErrors
	Spans  []option
	States []stateChoice
	// Counted says that Hooks and Count, the number of deliveries, are known.
	Counted      bool
	Hooks, Count int
	// Named are the selected webhooks; once counted, those with deliveries to replay.
	Named namedHooks
	// Refused are webhooks that are left out.
	Refused []refusedHook
}

// refusedHook is a webhook that is left out of a replay, and why.
type refusedHook struct {
	ID            uuid.UUID
	Title, Reason string
}

// replayHooks replays the selected hooks, or all that match the list's filter. It asks for the details, counts, and
// begins once the person has seen the number.
func (c *console) replayHooks(ctx context.Context, v *visit) (reply, error) {
	chosen, filter, err := c.readHookChoice(v)
	switch {
	case err != nil:
		return reply{}, err
	case chosen.none():
		return goTo(withDone(chosen.Next, "none-ticked")), nil
	}
	body := replayManyBody{hookChoice: chosen, Form: readReplayForm(v.posted), Wrong: formErrors{}, Spans: replaySpans()}
	step := v.posted.Get("step")
	if step == "" {
		body.Form = replayForm{Span: "24h", States: []string{string(webhook.Dead)}, Rate: strconv.Itoa(usecase.DefaultReplayRate)}
	}
	body.States = stateChoices(body.Form.States)
	if step == "count" || step == "begin" {
		begun, err := c.countOrBegin(ctx, v, usecase.HookChoice{HookFilter: filter, All: chosen.All}, step == "begin", &body)
		if err != nil {
			return reply{}, err
		}
		if begun {
			return goTo(withDoneTo(body.Next, "replaying-some", body.Hooks)), nil
		}
	}
	if !body.Counted {
		total, err := c.Cases.Hooks.Count(ctx, &v.Caller, filter)
		if err != nil {
			return reply{}, err
		}
		if body.Named, err = c.nameHooks(ctx, v, filter, total); err != nil {
			return reply{}, err
		}
	}
	answer := page("hooks-replay", "Replay many webhooks", body)
	if body.Wrong.any() {
		answer = answer.with(http.StatusUnprocessableEntity)
	}
	return answer, nil
}

// countOrBegin counts the deliveries, or begins the replay if that is wanted and nothing is wrong.
func (c *console) countOrBegin(ctx context.Context, v *visit, choice usecase.HookChoice, begin bool, body *replayManyBody) (begun bool, err error) {
	replay := body.Form.replay(body.Wrong)
	var done usecase.Replays
	if begin && !body.Wrong.any() {
		if done, err = c.Cases.Jobs.ReplayHooks(ctx, &v.Caller, choice, replay, false); err == nil {
			body.Hooks = len(done.Jobs)
			return true, nil
		}
		if !errors.Is(err, webhook.ErrInvalid) {
			return false, err
		}
		body.Wrong.collect(replayFieldIDs, err)
	}
	done, err = c.Cases.Jobs.ReplayHooks(ctx, &v.Caller, choice, replay, true)
	switch {
	case errors.Is(err, webhook.ErrInvalid):
		body.Wrong.collect(replayFieldIDs, err)
		return false, nil
	case err != nil:
		return false, err
	}
	body.Counted, body.Hooks = len(body.Wrong["states"])+len(body.Wrong["span"]) == 0, len(done.Jobs)
	sent := make([]uuid.UUID, len(done.Jobs))
	for i := range done.Jobs {
		sent[i] = done.Jobs[i].HookID
		body.Count += done.Jobs[i].Total
	}
	if body.Named, err = c.nameHooks(ctx, v, usecase.HookFilter{IDs: sent}, len(sent)); err != nil {
		return false, err
	}
	var ids []uuid.UUID
	for id := range done.Refused {
		ids = append(ids, id)
	}
	titles, err := c.Cases.Hooks.Titles(ctx, &v.Caller, ids)
	for id, reason := range done.Refused {
		h := titles[id]
		body.Refused = append(body.Refused, refusedHook{id, titleOf(&h), inWords(reason)})
	}
	slices.SortFunc(body.Refused, func(a, b refusedHook) int { return strings.Compare(a.Title, b.Title) })
	return false, err
}
