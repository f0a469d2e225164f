package webhook_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestDecisionsFollowTheAnswer(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	hourly := webhook.Countdown{Choice: webhook.Fixed, Delays: seconds(3600), MaxRetries: 24}
	limited := hourly
	limited.Deadline = 90 * time.Minute
	jittered := webhook.Countdown{Choice: webhook.Fixed, Delays: seconds(100), MaxRetries: 1, Jitter: 0.2}
	fresh := webhook.Round{StartedAt: now, PublishedAt: now}
	in := func(d time.Duration) webhook.Decision {
		return webhook.Decision{State: webhook.Waiting, Reason: webhook.ReasonFailed, NextAt: now.Add(d)}
	}
	dead := func(r webhook.Reason) webhook.Decision { return webhook.Decision{State: webhook.Dead, Reason: r} }
	asked := func(code int, d time.Duration) webhook.Result {
		result := webhook.Result{Status: code, RetryAfter: d}
		if code < 200 || code > 299 {
			result.Class = webhook.ClassStatus
		}
		return result
	}
	status := func(code int) webhook.Result { return asked(code, 0) }
	delivered := webhook.Decision{State: webhook.Delivered}
	tests := map[string]struct {
		countdown webhook.Countdown
		stopOn    []int
		round     webhook.Round
		result    webhook.Result
		random    float64
		want      webhook.Decision
	}{
		"200 is success":                              {hourly, nil, fresh, status(200), 0, delivered},
		"299 is success":                              {hourly, nil, fresh, status(299), 0, delivered},
		"a success after the last retry is one":       {hourly, nil, webhook.Round{Retries: 24, StartedAt: now}, status(204), 0, delivered},
		"a redirect is a failure":                     {hourly, nil, fresh, status(301), 0, in(time.Hour)},
		"an interim status is a failure":              {hourly, nil, fresh, status(199), 0, in(time.Hour)},
		"a 400 is retried":                            {hourly, nil, fresh, status(400), 0, in(time.Hour)},
		"a 500 is retried":                            {hourly, nil, fresh, status(500), 0, in(time.Hour)},
		"a timeout is retried":                        {hourly, nil, fresh, webhook.Result{Class: webhook.ClassTimeout}, 0, in(time.Hour)},
		"a 200 that did not end in time is retried":   {hourly, nil, fresh, webhook.Result{Status: 200, Class: webhook.ClassTimeout}, 0, in(time.Hour)},
		"no answer at all is not a status in stop_on": {hourly, []int{0}, fresh, webhook.Result{Class: webhook.ClassRefused}, 0, in(time.Hour)},
		"jitter is added":                             {jittered, nil, fresh, status(500), 0.5, in(110 * time.Second)},
		"410 disables the hook":                       {hourly, nil, fresh, status(410), 0, webhook.Decision{State: webhook.Dead, Reason: webhook.ReasonGone, DisableHook: true}},
		"410 in stop_on disables the hook all the same": {
			hourly, []int{410}, fresh, status(410), 0, webhook.Decision{State: webhook.Dead, Reason: webhook.ReasonGone, DisableHook: true},
		},
		"a status in stop_on is final":                    {hourly, []int{422, 400}, fresh, status(400), 0, dead(webhook.ReasonStopStatus)},
		"a status that is not in stop_on is retried":      {hourly, []int{422}, fresh, status(400), 0, in(time.Hour)},
		"the last retry's failure is the end":             {jittered, nil, webhook.Round{Retries: 1, StartedAt: now, PublishedAt: now}, status(500), 0, dead(webhook.ReasonExhausted)},
		"Retry-After is the least that is waited":         {hourly, nil, fresh, asked(429, 2*time.Hour), 0.9, in(2 * time.Hour)},
		"Retry-After does not hurry the schedule":         {hourly, nil, fresh, asked(503, time.Minute), 0, in(time.Hour)},
		"Retry-After does not undo the jitter":            {jittered, nil, fresh, asked(503, 105*time.Second), 0.5, in(110 * time.Second)},
		"Retry-After is cut at a day":                     {hourly, nil, fresh, asked(429, 30*24*time.Hour), 0, in(24 * time.Hour)},
		"Retry-After does not lengthen a schedule":        {jittered, nil, webhook.Round{Retries: 1, StartedAt: now, PublishedAt: now}, asked(429, time.Second), 0, dead(webhook.ReasonExhausted)},
		"a retry at the deadline is made":                 {limited, nil, webhook.Round{StartedAt: now, PublishedAt: now.Add(-30 * time.Minute)}, status(500), 0, in(time.Hour)},
		"a retry past the deadline is not":                {limited, nil, webhook.Round{StartedAt: now, PublishedAt: now.Add(-31 * time.Minute)}, status(500), 0, dead(webhook.ReasonExpired)},
		"Retry-After past the deadline ends it":           {limited, nil, fresh, asked(429, 2*time.Hour), 0, dead(webhook.ReasonExpired)},
		"a retry at the end of the eighth day is made":    {hourly, nil, webhook.Round{StartedAt: now.Add(time.Hour - webhook.MaxRetrySpan)}, status(500), 0, in(time.Hour)},
		"a retry past the eighth day is not":              {hourly, nil, webhook.Round{StartedAt: now.Add(time.Hour - webhook.MaxRetrySpan - 1)}, status(500), 0, dead(webhook.ReasonExhausted)},
		"Retry-After past the eighth day ends it":         {hourly, nil, webhook.Round{StartedAt: now.Add(2*time.Hour - webhook.MaxRetrySpan)}, asked(429, 24*time.Hour), 0, dead(webhook.ReasonExhausted)},
		"the span counts from the round, not the event":   {hourly, nil, webhook.Round{StartedAt: now, PublishedAt: now.Add(-30 * 24 * time.Hour)}, status(500), 0, in(time.Hour)},
		"a success with a Retry-After is still a success": {hourly, nil, fresh, asked(200, time.Hour), 0, delivered},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := webhook.Decide(test.countdown, test.stopOn, test.round, test.result, now, test.random)
			require.Equal(t, test.want, got)
		})
	}
}

func TestARetryIsNeverEarlierThanAskedNorBeyondItsBounds(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		_, c := countdown(t)
		round := webhook.Round{Retries: rapid.IntRange(0, 30).Draw(t, "retries"), StartedAt: start, PublishedAt: start}
		now := start.Add(time.Duration(rapid.Int64Range(0, int64(9*24*time.Hour)).Draw(t, "now")))
		result := webhook.Result{
			Status:     rapid.SampledFrom([]int{0, 200, 302, 404, http.StatusGone, 429, 500, 503}).Draw(t, "status"),
			RetryAfter: time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "retry after")),
		}
		if result.Status > 299 {
			result.Class = webhook.ClassStatus
		}
		d := webhook.Decide(c, []int{404}, round, result, now, 0.3)
		switch d.State {
		case webhook.Delivered:
			require.True(t, result.Success())
		case webhook.Dead:
			require.NotEmpty(t, d.Reason)
			require.True(t, d.NextAt.IsZero())
		case webhook.Waiting:
			require.Less(t, round.Retries, c.MaxRetries)
			require.LessOrEqual(t, d.NextAt.Sub(start), webhook.MaxRetrySpan)
			require.GreaterOrEqual(t, d.NextAt.Sub(now), min(result.RetryAfter, webhook.MaxRetryAfter))
			require.False(t, d.NextAt.Before(now))
			require.True(t, c.Deadline == 0 || d.NextAt.Sub(start) <= c.Deadline)
		default:
			t.Fatalf("state %q", d.State)
		}
		require.Equal(t, result.Status == http.StatusGone, d.DisableHook)
	})
}
