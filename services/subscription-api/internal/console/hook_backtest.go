package console

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// backtestBody shows what a hook would have received of the last day's events.
type backtestBody struct {
	Problem string
	// Scanned is the number of examined events; Truncated says that there were more.
	Scanned, Matched int
	Truncated        bool
	// Missed counts the events that it would not have received, by reason.
	Missed          []parkedPart
	Samples, Misses []backtestSample
	// Failed counts the events for which the filter could not be evaluated, and Failure is the newest of them.
	Failed  int
	Failure *backtestSample
	// Unmade counts the events for which the transform could not be evaluated, and Unmakeable is the newest of them.
	Unmade     int
	Unmakeable *backtestSample
}

type backtestSample struct {
	eventRow

	Detail string
	// Before and After are the data before and after the transform; Problem says why there is no After. All are empty
	// without a transform.
	Before, After, Problem string
}

// backtest tests the unsaved form on the last day's events.
func (c *console) backtest(ctx context.Context, v *visit) (reply, error) {
	form := readHookForm(v.posted)
	// the rest of the form may be incomplete
	judged := hookForm{Keys: map[string]string{}, Own: form.Own}
	for _, name := range []string{"filter", "transform", "headers_from"} {
		judged.Keys[name] = form.Key(name)
	}
	wrong := webhook.ValidationError{}
	b := usecase.Backtest{EventTypes: form.eventTypes(), Config: judged.config(&wrong)}
	body := backtestBody{}
	if len(b.EventTypes) == 0 {
		body.Problem = "Choose event types first."
		return fragment("backtest", body), nil
	}
	err := wrong.OrNil()
	var test usecase.Backtested
	if err == nil {
		test, err = c.Cases.Hooks.Backtest(ctx, &v.Caller, b)
	}
	switch {
	case errors.Is(err, webhook.ErrInvalid):
		body.Problem = "The event types, the filter, the transform or your own keys are not right yet."
		return fragment("backtest", body), nil
	case err != nil:
		return reply{}, err
	}
	body.Scanned, body.Matched, body.Truncated = test.Scanned, test.Matched, test.Truncated
	if test.Failed != nil {
		body.Failed, body.Failure = test.Missed[filter.NotEvaluable], &backtestRows([]filter.Sample{*test.Failed})[0]
		delete(test.Missed, filter.NotEvaluable)
	}
	if body.Unmade = test.Unmade; test.Unmakeable != nil {
		body.Unmakeable = &backtestRows([]filter.Sample{*test.Unmakeable})[0]
	}
	for _, reason := range slices.Sorted(maps.Keys(test.Missed)) {
		body.Missed = append(body.Missed, parkedPart{N: test.Missed[reason], Why: missText(reason)})
	}
	body.Samples, body.Misses = backtestRows(test.Samples), backtestRows(test.MissedSamples)
	return fragment("backtest", body), nil
}

func missText(reason string) string {
	switch reason {
	case filter.NotPassed:
		return "the filter says no"
	case filter.NotInConfig:
		return "they are for webhooks with other keys"
	default:
		return reason
	}
}

func backtestRows(samples []filter.Sample) []backtestSample {
	rows := make([]backtestSample, len(samples))
	for i, s := range samples {
		rows[i] = backtestSample{Detail: inWords(s.Verdict.Detail), Problem: s.Problem, eventRow: eventRow{
			ID: s.Event.ID, Type: s.Event.Type, Entity: s.Event.Entity, Link: eventLink(s.Event.ID), PublishedAt: s.Event.PublishedAt,
		}}
		for _, h := range s.Headers {
			rows[i].After += h.Name + ": " + h.Value + "\n"
		}
		if len(s.Data) > 0 {
			rows[i].After += pretty(s.Data)
		}
		if (rows[i].After != "" || s.Problem != "") && len(s.Event.Data) <= filter.MaxShownData {
			rows[i].Before = pretty(s.Event.Data)
		}
	}
	return rows
}
