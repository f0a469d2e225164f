package client

import (
	"context"
	"net/http"
	"time"

	"github.com/google/uuid"
)

// HookStats is how a hook fares.
type HookStats struct {
	// Day and Month are the deliveries of what was published within the last 24 hours and 30 days.
	Day   OutcomeCounts `json:"last_24_hours"`
	Month OutcomeCounts `json:"last_30_days"`
	// Duration is how long the newest attempts took that were answered.
	Duration Durations `json:"duration"`
	// Parked and Waiting are the deliveries that are so now, of whatever age.
	Parked  int `json:"parked"`
	Waiting int `json:"waiting"`
	// FailingSince is when the first of those attempts was that have all failed since; nil where the last one did not.
	FailingSince *time.Time `json:"failing_since"`
	// Failures is how many there were since.
	Failures int `json:"failures"`
}

// Durations is how long attempts took, in seconds; P50 and P99 are nil where there were none.
type Durations struct {
	Attempts int      `json:"attempts"`
	P50      *float64 `json:"p50"`
	P99      *float64 `json:"p99"`
}

// HookStats counts what became of a hook's deliveries; webhook.ErrNotFound where there is no such hook.
func (c *Client) HookStats(ctx context.Context, id uuid.UUID) (HookStats, error) {
	var s HookStats
	err := c.do(ctx, request{method: http.MethodGet, path: hookPath(id, "stats/")}, &s)
	return s, err
}
