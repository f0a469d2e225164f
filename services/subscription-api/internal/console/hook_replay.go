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

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// settled is how old events have to be, so that what became of them is recorded.
	settled = time.Minute
	// shownJobs is how many of a hook's replays its page lists.
	shownJobs = 10
	maxRate   = 10_000
	maxReason = 500
)

type replayBody struct {
	Head  hookHead
	Form  replayForm
	Wrong complaints
	Spans []option
	// States are those that can be chosen.
	States []stateChoice
	// Counted says that Count is how many there are, and that the person is asked whether that is meant.
	Counted bool
	Count   int
	// Took is about how long it takes at the rate, in words.
	Took    string
	Problem string
	Jobs    []jobRow
}

type stateChoice struct {
	Value  webhook.DeliveryState
	Text   string
	Ticked bool
}

// replayForm is what a person asks for: text, as people type it.
type replayForm struct {
	Span, From, To, Types, Rate, Reason string
	States                              []string
	Missing                             bool
	// Recover says that it is to make up for the time when the hook was disabled.
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

// replay is what the form means; where something is wrong with it, the complaints say so.
func (f *replayForm) replay(tenant string, hook uuid.UUID, now time.Time, wrong complaints) store.NewJob {
	n := store.NewJob{Reason: f.Reason, Replay: store.Replay{
		Tenant: tenant, HookID: hook, IncludeMissing: f.Missing, Range: f.timeRange(now, wrong),
		EventTypes: webhook.CanonicalEventTypes(strings.FieldsFunc(f.Types, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' })),
	}}
	for _, word := range f.States {
		state := webhook.DeliveryState(word)
		if slices.ContainsFunc(replayStates(nil), func(s stateChoice) bool { return s.Value == state }) {
			n.States = append(n.States, state)
		}
	}
	if len(n.States) == 0 && !n.IncludeMissing {
		wrong.add("states", "Tick what is to be sent again")
	}
	if len(n.EventTypes) > webhook.MaxEventTypes {
		wrong.add("types", "There are too many")
	}
	for _, t := range n.EventTypes {
		if err := webhook.ValidatePattern(t); err != nil {
			wrong.add("types", t+" "+err.Error())
		}
	}
	var err error
	if n.Rate, err = strconv.Atoi(f.Rate); err != nil || n.Rate < 1 || n.Rate > maxRate {
		wrong.add("rate", "must be a whole number from 1 to "+amount(maxRate))
	}
	if len(f.Reason) > maxReason {
		wrong.add("reason", "must have at most "+amount(maxReason)+" bytes")
	}
	return n
}

// timeRange is of when the events were published.
func (f *replayForm) timeRange(now time.Time, wrong complaints) store.TimeRange {
	r := store.TimeRange{To: now.Add(-settled)}
	if f.Span != "own" {
		span, err := time.ParseDuration(f.Span)
		if err != nil || !slices.ContainsFunc(replaySpans(), func(o option) bool { return o.Value == f.Span }) {
			wrong.add("span", "Choose a time")
			return r
		}
		r.From = now.Add(-span)
		return r
	}
	from, ok := parseMoment(f.From)
	if !ok {
		wrong.add("span", "Say from when, such as 2026-03-01 14:30")
		return r
	}
	r.From = from
	if f.To != "" {
		to, ok := parseMoment(f.To)
		if !ok {
			wrong.add("span", "Say until when, such as 2026-03-01 14:30, or leave it empty")
			return r
		}
		if to.Before(r.To) {
			r.To = to
		}
	}
	if !r.From.Before(r.To) || r.From.Year() < 2000 {
		wrong.add("span", "The beginning must be before the end, and more than a minute ago")
	}
	return r
}

// parseMoment reads a time as a browser's field for one has it. The page's script sends UTC with a Z; without it, UTC is
// what the field's label asks for.
func parseMoment(s string) (time.Time, bool) {
	s = strings.TrimSuffix(strings.Replace(s, " ", "T", 1), "Z")
	for _, layout := range []string{"2006-01-02T15:04", "2006-01-02T15:04:05.999999999", "2006-01-02"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}

func replayStates(ticked []string) []stateChoice {
	list := []stateChoice{
		{Value: webhook.Dead, Text: "dead: they will not be tried again by themselves"},
		{Value: webhook.Delivered, Text: "delivered: the receiver gets them a second time"},
		{Value: webhook.Waiting, Text: "waiting for a retry: do not wait any longer"},
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
	form := replayForm{Span: "24h", States: []string{string(webhook.Dead)}, Rate: "100", Recover: v.form.Get("recover") != ""}
	if form.Recover {
		since, err := c.disabledSince(ctx, v.tenant, h.ID)
		if err != nil {
			return reply{}, err
		}
		form.Missing, form.Reason = true, "Recovery after the webhook was disabled"
		if !since.IsZero() {
			form.Span, form.From = "own", since.Format("2006-01-02T15:04")
		}
	}
	return c.showReplay(ctx, v, &h, replayBody{Form: form})
}

// disabledSince is when the hook was disabled last, or began to fail before it was; zero where that is not known.
func (c *console) disabledSince(ctx context.Context, tenant string, hook uuid.UUID) (time.Time, error) {
	list, _, err := c.Admin.AuditLog(ctx, tenant, store.AuditFilter{Subject: hook.String(), Kind: "hook"}, store.Page{Limit: pageSize})
	if err != nil {
		return time.Time{}, err
	}
	for _, e := range list {
		if e.Action == "hook.disabled" {
			return e.At, nil
		}
	}
	return time.Time{}, nil
}

func (c *console) showReplay(ctx context.Context, v *visit, h *webhook.Hook, body replayBody) (reply, error) {
	body.Head, body.Spans, body.States = newHookHead(h, "replay"), replaySpans(), replayStates(body.Form.States)
	jobs, _, err := c.Jobs.Jobs(ctx, v.tenant, h.ID, store.Page{Limit: shownJobs})
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

// replayHook counts at first, and begins once the person has seen how many there are.
func (c *console) replayHook(ctx context.Context, v *visit) (reply, error) {
	h, err := c.findHook(ctx, v)
	if err != nil {
		return reply{}, err
	}
	body := replayBody{Form: readReplayForm(v.posted), Wrong: complaints{}}
	n := body.Form.replay(v.tenant, h.ID, c.now(), body.Wrong)
	begin := v.posted.Get("step") == "begin"
	if begin && n.Reason == "" {
		body.Wrong.add("reason", "is required: it is kept with the replay and in the audit log")
		body.Counted = len(body.Wrong) == 1
	}
	if body.Wrong.any() && !body.Counted {
		return c.showReplay(ctx, v, &h, body)
	}
	if n.Total, err = c.Jobs.CountReplay(ctx, n.Replay); err != nil {
		return reply{}, err
	}
	body.Counted, body.Count, body.Took = true, n.Total, wait(time.Duration(n.Total/n.Rate)*time.Second)
	switch {
	case body.Wrong.any() || !begin:
		return c.showReplay(ctx, v, &h, body)
	case h.Status == webhook.Disabled:
		body.Problem = "The webhook is disabled: resume it first."
		return c.showReplay(ctx, v, &h, body)
	}
	job, err := c.Jobs.CreateJob(ctx, v.actor(), n)
	var refused *store.ReplayError
	switch {
	case errors.As(err, &refused):
		body.Problem = refused.Reason
		return c.showReplay(ctx, v, &h, body)
	case err != nil:
		return reply{}, err
	}
	return goTo(jobPath(job.ID)), nil
}
