package filter

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Why an event does not reach a hook, as fixed words.
const (
	NotCreatedYet   = "created_later"
	NotOfTypes      = "event_type"
	NotInConfig     = "config_filter"
	NotReadable     = "filter_invalid"
	NotEvaluable    = "filter_failed"
	NotPassed       = "filter"
	NotWhileItIsOff = "hook_disabled"
)

// Verdict says whether a hook, as currently configured, wants an event.
type Verdict struct {
	// Reason is one of the words above, or empty if the event passes.
	Reason string
	// Detail explains the reason to people or, if the event passes a filter, says which values the filter saw. It may
	// be empty.
	Detail string
}

// Judge decides which events a hook wants. It is safe for concurrent use.
type Judge struct {
	hook   *webhook.Hook
	filter *Filter // nil if there is none, or it does not compile
	broken error
}

// NewJudge returns the judge of a hook and compiles its filter once. A filter that does not compile matches nothing.
func NewJudge(h *webhook.Hook) *Judge {
	j := &Judge{hook: h}
	if h.Config.Filter != "" {
		j.filter, j.broken = Compile(h.Config.Filter)
	}
	return j
}

// Judge returns the first reason that keeps the event from the hook, in the order in which workers check.
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

// saw returns the values that the filter refers to.
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

// Backtest is the result of applying a hook that is not saved yet to past events.
type Backtest struct {
	judge   *Judge
	samples int

	// Scanned counts the examined events, and Matched those that the hook wants.
	Scanned, Matched int
	// Missed counts the others by Verdict.Reason.
	Missed map[string]int
	// Samples are some events that it wants. MissedSamples are some that it does not want although it wants their
	// type.
	Samples, MissedSamples []Sample
	// Failed is the first event for which the filter could not be evaluated, or nil.
	Failed *Sample

	// Transforms says that the hook has a transform. It was evaluated for at most maxMade events: it succeeded for
	// Made of them and failed for Unmade. Unmakeable is the first that failed.
	Transforms   bool
	Made, Unmade int
	Unmakeable   *Sample
	transform    *Transform
}

// Sample is an event and what the hook does with it.
type Sample struct {
	Event   *webhook.Event
	Verdict Verdict
	// Data is the result of the transform, and Problem says why it cannot be shown. Both are empty for hooks without
	// a transform.
	Data    json.RawMessage
	Problem string
	// Headers are those that the hook computes from the event.
	Headers []webhook.Header
}

// maxMade is how many events a backtest evaluates a transform for. MaxShownData is the maximum size in bytes of data
// that it shows.
const (
	maxMade      = 1000
	MaxShownData = 64 << 10
)

// NewBacktest starts a backtest. samples is the maximum number of samples of either kind.
func NewBacktest(h *webhook.Hook, samples int) *Backtest {
	b := &Backtest{judge: NewJudge(h), samples: samples, Missed: map[string]int{}}
	b.transform, _ = NewTransform(h) // that it compiles was checked before
	b.Transforms = b.transform != nil
	return b
}

// Take adds an event to the backtest.
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

// makeOf evaluates the transform for an event that the hook wants. The event may be the newest sample.
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

// quick is like Judge without the values that the filter saw, which take longer to find than the match itself.
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
