package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// shownJobs is how many of a hook's replays its page lists.
const shownJobs = 10

type replayBody struct {
	Head  hookHead
	Form  replayForm
	Wrong formErrors
	Spans []option
	// States are the choices.
	States []stateChoice
	// Counted says that Count is the number of deliveries, and that the page asks for confirmation.
	Counted bool
	Count   int
	// Took is about how long the replay takes at the rate, as text.
	Took    string
	Problem string
	Jobs    []jobRow
}

type stateChoice struct {
	Value  webhook.DeliveryState
	Text   string
	Ticked bool
}

// replayForm has the form's values as typed text.
type replayForm struct {
	Span, From, To, Types, Rate, Reason string
	States                              []string
	Missing                             bool
	// Recover says that the replay is to recover what the hook missed while it was disabled.
	Recover bool
}

func readReplayForm(f url.Values) replayForm {
	get := func(name string) string { return strings.TrimSpace(f.Get(name)) }
	return replayForm{
		Span: get("span"), From: get("from"), To: get("to"), Types: get("event_types"), Rate: get("rate"), Reason: get("reason"),
		States: f["state"], Missing: get("missing") != "", Recover: get("recover") != "",
	}
}

func replaySpans() []option {
	return []option{
		{"1h", "the last hour"},
		{"24h", "the last 24 hours"},
		{"168h", "the last 7 days"},
		{"720h", "the last 30 days"},
		{"own", "from … to …"},
	}
}

// replayFieldIDs maps pointers to the ids of the form's fields.
var replayFieldIDs = map[string]string{"/from": "span", "/states": "states", "/event_types": "types", "/rate": "rate", "/reason": "reason"}

// replay converts the form; values that cannot be parsed are added to wrong.
func (f *replayForm) replay(wrong formErrors) usecase.Replay {
	r := usecase.Replay{
		IncludeMissing: f.Missing, Reason: f.Reason,
		EventTypes: strings.FieldsFunc(f.Types, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' }),
	}
	for _, state := range f.States {
		r.States = append(r.States, webhook.DeliveryState(state))
	}
	if len(r.States) == 0 && !r.IncludeMissing {
		wrong.add("states", "Tick what is to be sent again")
	}
	r.Rate, _ = strconv.Atoi(f.Rate) // anything but a number becomes 0, which is refused
	f.readRange(&r, wrong)
	return r
}

func (f *replayForm) readRange(r *usecase.Replay, wrong formErrors) {
	if f.Span != "own" {
		span, err := time.ParseDuration(f.Span)
		if err != nil || !slices.ContainsFunc(replaySpans(), func(o option) bool { return o.Value == f.Span }) {
			wrong.add("span", "Choose a time")
			return
		}
		r.From = time.Now().Add(-span)
		return
	}
	var ok bool
	if r.From, ok = parseMoment(f.From); !ok {
		wrong.add("span", "Say from when, such as 2026-03-01 14:30")
		return
	}
	if r.To, ok = parseMoment(f.To); f.To != "" && !ok {
		wrong.add("span", "Say until when, such as 2026-03-01 14:30, or leave it empty")
	}
}

// momentLayout is the format of a browser's field for a time.
const momentLayout = "2006-01-02T15:04"

// parseMoment parses the value of a browser's field for a time. The page's script sends UTC with a Z. Without it, the
// time is UTC as well, because the label asks for that.
func parseMoment(s string) (time.Time, bool) {
	s = strings.TrimSuffix(strings.Replace(s, " ", "T", 1), "Z")
	for _, layout := range []string{momentLayout, "2006-01-02T15:04:05.999999999", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

// stateChoices returns the states that the form offers; those in ticked are selected.
func stateChoices(ticked []string) []stateChoice {
	list := []stateChoice{
		{Value: webhook.Dead, Text: "dead: not retried automatically"},
		{Value: webhook.Delivered, Text: "delivered: the receiver gets them again"},
		{Value: webhook.Waiting, Text: "waiting for a retry: sent now instead"},
	}
	for i := range list {
		list[i].Ticked = slices.Contains(ticked, string(list[i].Value))
	}
	return list
}

func (c *console) replayPage(ctx context.Context, v *visit) (reply, error) {
	h, err := c.findHook(ctx, v)
	if err != nil {
		return reply{}, err
	}
	form := replayForm{
		Span: "24h", States: []string{string(webhook.Dead)}, Rate: strconv.Itoa(usecase.DefaultReplayRate), Recover: v.form.Get("recover") != "",
	}
	if form.Recover {
		r, err := c.Cases.Jobs.Recovery(ctx, &v.Caller, h.ID)
		if err != nil {
			return reply{}, err
		}
		form.Missing, form.Reason = true, "Recovery after the webhook was disabled"
		if !r.From.IsZero() {
			form.Span, form.From = "own", r.Replay.Range.From.Format(momentLayout)
		}
		if !r.To.IsZero() { // to the end of its minute
			form.To = r.Replay.Range.To.Add(time.Minute).Format(momentLayout)
		}
	}
	return c.showReplay(ctx, v, &h, replayBody{Form: form})
}

func (c *console) showReplay(ctx context.Context, v *visit, h *webhook.Hook, body replayBody) (reply, error) {
	body.Spans, body.States = replaySpans(), stateChoices(body.Form.States)
	var err error
	if body.Head, err = c.hookHead(ctx, h, "replay"); err != nil {
		return reply{}, err
	}
	jobs, _, err := c.Cases.Jobs.List(ctx, &v.Caller, h.ID, usecase.Page{Limit: shownJobs})
	if err != nil {
		return reply{}, err
	}
	for i := range jobs {
		body.Jobs = append(body.Jobs, newJobRow(&jobs[i]))
	}
	answer := page("hook-replay", body.Head.Title+": replay", body)
	switch {
	case body.Problem != "":
		answer = answer.with(http.StatusConflict)
	case body.Wrong.any():
		answer = answer.with(http.StatusUnprocessableEntity)
	}
	return answer, nil
}

// replayHook first counts, and begins once the person has seen the number of deliveries. If that is missing, or the
// replay cannot begin, it counts again.
func (c *console) replayHook(ctx context.Context, v *visit) (reply, error) {
	h, err := c.findHook(ctx, v)
	if err != nil {
		return reply{}, err
	}
	body := replayBody{Form: readReplayForm(v.posted), Wrong: formErrors{}}
	if v.posted.Get("step") == "change" {
		return c.showReplay(ctx, v, &h, body)
	}
	replay := body.Form.replay(body.Wrong)
	if v.posted.Get("step") == "begin" && !body.Wrong.any() {
		job, err := c.Cases.Jobs.BeginReplay(ctx, &v.Caller, h.ID, replay)
		var refused *usecase.ReplayError
		switch {
		case err == nil:
			return goTo(jobPath(job.ID)), nil
		case errors.As(err, &refused):
			body.Problem = inWords(refused.Reason)
		case replay.Reason == "":
			body.Wrong.add("reason", "is required: it is kept with the replay and in the audit log")
		case !errors.Is(err, webhook.ErrInvalid):
			return reply{}, err
		}
	}
	n, err := c.Cases.Jobs.CountReplay(ctx, &v.Caller, h.ID, replay)
	switch {
	case errors.Is(err, webhook.ErrInvalid):
		body.Wrong.collect(replayFieldIDs, err)
	case err != nil:
		return reply{}, err
	case len(body.Wrong["states"])+len(body.Wrong["span"]) == 0:
		body.Counted, body.Count, body.Took = true, n.Total, wait(time.Duration(n.Total/n.Rate)*time.Second)
	}
	return c.showReplay(ctx, v, &h, body)
}
