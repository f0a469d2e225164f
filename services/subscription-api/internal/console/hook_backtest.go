package console

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// backtestRange is how far back a back-test goes.
	backtestRange = 24 * time.Hour
	// maxBacktest is how many events it looks at, and backtestSamples how many of either kind it shows.
	maxBacktest     = 10_000
	backtestSamples = 5
)

// backtestBody is what a hook would have got of the last day's events.
type backtestBody struct {
	Problem string
	// Scanned is how many events of its types were looked at; Truncated says that there were more.
	Scanned, Matched int
	Truncated        bool
	// Missed says how many it would not have got, by why.
	Missed          []parkedPart
	Samples, Misses []backtestSample
	// Failed is how many events the filter could not be evaluated for, and Failure the newest of them.
	Failed  int
	Failure *backtestSample
}

type backtestSample struct {
	eventRow

	Detail string
}

// backtest tries what the form says so far, before it is saved.
func (c *console) backtest(ctx context.Context, v *visit) (reply, error) {
	form := readHookForm(v.posted)
	know, err := c.know(ctx, v.tenant)
	if err != nil {
		return reply{}, err
	}
	h := webhook.Hook{Tenant: v.tenant, Status: webhook.Active}
	wrong := complaints{}
	form.Auth.Mode = "none"
	form.apply(&h, know, wrong)
	body := backtestBody{}
	switch {
	case len(h.EventTypes) == 0:
		body.Problem = "Choose event types first."
	case len(wrong["event_types"])+len(wrong["filter"])+len(wrong["config"]) > 0:
		body.Problem = "The event types, the filter or your own keys are not right yet."
	}
	if body.Problem != "" {
		return fragment("backtest", body), nil
	}
	now := c.now().UTC()
	test := filter.NewBacktest(&h, backtestSamples)
	scan := store.EventFilter{Range: store.TimeRange{From: now.Add(-backtestRange), To: now}, EventTypes: h.EventTypes}
	if body.Truncated, err = c.Scanned.ScanEvents(ctx, v.tenant, scan, maxBacktest, test.Take); err != nil {
		return reply{}, err
	}
	body.Scanned, body.Matched = test.Scanned, test.Matched
	if test.Failed != nil {
		body.Failed, body.Failure = test.Missed[filter.NotEvaluable], &backtestRows([]filter.Sample{*test.Failed})[0]
		delete(test.Missed, filter.NotEvaluable)
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
		rows[i] = backtestSample{Detail: s.Verdict.Detail, eventRow: eventRow{
			ID: s.Event.ID, Type: s.Event.Type, Entity: s.Event.Entity, Link: eventLink(s.Event.ID), PublishedAt: s.Event.PublishedAt,
		}}
	}
	return rows
}
