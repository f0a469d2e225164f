package filter

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Why an event does not get to a hook, in one fixed word.
const (
	NotCreatedYet   = "created_later"
	NotOfTypes      = "event_type"
	NotInConfig     = "config_filter"
	NotReadable     = "filter_invalid"
	NotEvaluable    = "filter_failed"
	NotPassed       = "filter"
	NotWhileItIsOff = "hook_disabled"
)

// Verdict says whether a hook, as it is, wants an event.
type Verdict struct {
	// Reason is one of the words above, and empty where nothing keeps the event from the hook.
	Reason string
	// Detail says to people why, or, where the event passes a filter, what the filter saw; may be empty.
	Detail string
}

// Judge tells of one hook what it wants. It is safe for concurrent use.
type Judge struct {
	hook   *webhook.Hook
	filter *Filter // nil for none, or a broken one
	broken error
}

// NewJudge makes the judge of a hook, whose filter is compiled once. A filter that cannot be read lets nothing pass.
func NewJudge(h *webhook.Hook) *Judge {
	j := &Judge{hook: h}
	if h.Config.Filter != "" {
		j.filter, j.broken = Compile(h.Config.Filter)
	}
	return j
}

// Judge says what keeps the event from the hook, the first reason in the order in which workers look.
func (j *Judge) Judge(e *webhook.Event) Verdict {
	h := j.hook
	switch {
	case h.CreatedAt.After(e.PublishedAt):
		return Verdict{NotCreatedYet, "The hook was created after the event was published."}
	case !h.WantsType(e.Type):
		return Verdict{NotOfTypes, "None of the hook's event types covers " + e.Type + "."}
	case !h.Config.Contains(e.ConfigFilter):
		return Verdict{NotInConfig, "The event is for hooks whose config contains its config_filter, and this one's does not."}
	}
	v := j.filtered(e)
	if v.Reason == "" && h.Status == webhook.Disabled {
		return Verdict{NotWhileItIsOff, "The hook is disabled: " + h.DisabledReason}
	}
	return v
}

func (j *Judge) filtered(e *webhook.Event) Verdict {
	switch {
	case j.broken != nil:
		return Verdict{NotReadable, "The hook's filter cannot be read: " + j.broken.Error()}
	case j.filter == nil:
		return Verdict{}
	}
	in := NewInput(e)
	matched, err := j.filter.Match(in)
	switch {
	case err != nil:
		return Verdict{NotEvaluable, "The hook's filter could not be evaluated for the event: " + err.Error() + j.saw(in)}
	case !matched:
		return Verdict{NotPassed, "The hook's filter is false" + j.saw(in)}
	default:
		return Verdict{"", "The hook's filter is true" + j.saw(in)}
	}
}

// saw says which values the filter was about.
func (j *Judge) saw(in *Input) string {
	terms := j.filter.Terms(in)
	if len(terms) == 0 {
		return "."
	}
	texts := make([]string, len(terms))
	for i, t := range terms {
		texts[i] = t.String()
	}
	return ": " + strings.Join(texts, ", ") + "."
}

// Backtest is what a hook that is not saved yet would have wanted of events of the past.
type Backtest struct {
	judge   *Judge
	samples int

	// Scanned is how many events were looked at, Matched how many of them the hook wants.
	Scanned, Matched int
	// Missed counts the others by Verdict.Reason.
	Missed map[string]int
	// Samples are some that it wants, and MissedSamples some that it does not although it wants their type.
	Samples, MissedSamples []Sample
	// Failed is the first that the filter could not be evaluated for, nil where there is none.
	Failed *Sample

	// Transforms says that the hook has a transform. Made and Unmade are how many events it was evaluated for, and could not be, of
	// at most maxMade; Unmakeable is the first of those.
	Transforms   bool
	Made, Unmade int
	Unmakeable   *Sample
	transform    *Transform
}

// Sample is an event with what was said of it.
type Sample struct {
	Event   *webhook.Event
	Verdict Verdict
	// Data is what the transform makes of the event's, and Problem why it cannot be shown; both are empty for hooks without one.
	Data    json.RawMessage
	Problem string
	// Headers are those that are made of the event.
	Headers []webhook.Header
}

// maxMade is how many events a back-test evaluates a transform for, and MaxShownData how large data may be that it shows, in bytes.
const (
	maxMade      = 1000
	MaxShownData = 64 << 10
)

// NewBacktest begins a back-test that keeps so many samples of either kind.
func NewBacktest(h *webhook.Hook, samples int) *Backtest {
	b := &Backtest{judge: NewJudge(h), samples: samples, Missed: map[string]int{}}
	b.transform, _ = NewTransform(h) // whether it compiles was asked before
	b.Transforms = b.transform != nil
	return b
}

// Take judges an event.
func (b *Backtest) Take(e *webhook.Event) {
	b.Scanned++
	v := b.judge.quick(e)
	list := &b.MissedSamples
	if v.Reason == "" {
		b.Matched++
		list = &b.Samples
	} else {
		b.Missed[v.Reason]++
	}
	if v.Reason == NotEvaluable && b.Failed == nil {
		b.Failed = &Sample{Event: e, Verdict: b.judge.Judge(e)}
	}
	if v.Reason != NotOfTypes && len(*list) < b.samples {
		*list = append(*list, Sample{Event: e, Verdict: b.judge.Judge(e)})
	}
	if v.Reason == "" && b.transform != nil && b.Made+b.Unmade < maxMade {
		b.makeOf(e)
	}
}

// makeOf evaluates the transform for an event that the hook wants, which may be the newest sample.
func (b *Backtest) makeOf(e *webhook.Event) {
	var sample *Sample
	if n := len(b.Samples); n > 0 && b.Samples[n-1].Event == e {
		sample = &b.Samples[n-1]
	}
	made, err := b.transform.Make(e)
	switch {
	case err != nil:
		b.Unmade++
		if b.Unmakeable == nil {
			b.Unmakeable = &Sample{Event: e, Problem: err.Error()}
		}
		if sample != nil {
			sample.Problem = err.Error()
		}
		return
	case sample != nil && len(made.Data) > MaxShownData:
		sample.Problem = fmt.Sprintf("%d bytes, which is too large to be shown", len(made.Data))
	case sample != nil:
		sample.Data, sample.Headers = made.Data, made.Headers
	}
	b.Made++
}

// quick is Judge without what the filter saw, which takes longer to find out than whether it matches.
func (j *Judge) quick(e *webhook.Event) Verdict {
	if j.filter == nil || !j.hook.Matches(e) {
		return j.Judge(e)
	}
	matched, err := j.filter.Match(NewInput(e))
	switch {
	case err != nil:
		return Verdict{Reason: NotEvaluable}
	case !matched:
		return Verdict{Reason: NotPassed}
	default:
		return Verdict{}
	}
}
