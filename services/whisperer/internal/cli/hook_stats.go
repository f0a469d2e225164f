package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/client"
)

type hookStats struct {
	ID uuid.UUID `arg:"" help:"The hook's id."`
}

// Run counts and shows.
func (c *hookStats) Run(ctx context.Context, a *app) error {
	api, err := a.client()
	if err != nil {
		return err
	}
	s, err := api.HookStats(ctx, c.ID)
	if err != nil {
		return err
	}
	return a.print(s, func(t table) {
		t.row("last 24 hours", outcomes(s.Day)+success(s.Day))
		t.row("last 30 days", outcomes(s.Month)+success(s.Month))
		t.row("now", fmt.Sprintf("%d waiting, %d parked", s.Waiting, s.Parked))
		t.row("attempts", durations(s.Duration))
		if s.FailingSince == nil {
			t.row("failing", "no")
			return
		}
		t.row("failing", fmt.Sprintf("since %s, %d attempts", date(*s.FailingSince), s.Failures))
	})
}

func outcomes(d client.OutcomeCounts) string {
	return fmt.Sprintf("%d: %d delivered, %d waiting, %d parked, %d dead, %d cancelled",
		d.Total, d.Delivered, d.Waiting, d.Parked, d.Dead, d.Cancelled)
}

// success is the part of what has come to its end that was delivered, to be written behind the outcomes.
func success(d client.OutcomeCounts) string {
	if d.SuccessRate == nil {
		return ""
	}
	return fmt.Sprintf(" (%.4g%% delivered)", 100**d.SuccessRate)
}

func durations(d client.Durations) string {
	if d.P50 == nil || d.P99 == nil {
		return "none was answered within the last 24 hours"
	}
	return fmt.Sprintf("half of the last %d within %s, 99%% within %s", d.Attempts, seconds(*d.P50), seconds(*d.P99))
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(10 * time.Microsecond)
}
