package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

type hookStats struct {
	hookArg
}

// Run fetches and prints the statistics.
func (c *hookStats) Run(ctx context.Context, a *app) error {
	server, id, err := c.find(ctx, a)
	if err != nil {
		return err
	}
	s, err := server.Hooks.Stats(ctx, id)
	if err != nil {
		return err
	}
	return a.print(s, func(t *table) {
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

func outcomes(d api.OutcomeCounts) string {
	return fmt.Sprintf("%d: %d delivered, %d waiting, %d parked, %d dead, %d cancelled, %d superseded",
		d.Total, d.Delivered, d.Waiting, d.Parked, d.Dead, d.Cancelled, d.Superseded)
}

// success returns the share of deliveries that were delivered, as the console computes it: waiting ones do not count
// as delivered. It is printed after the outcomes.
func success(d api.OutcomeCounts) string {
	wanted := d.Delivered + d.Waiting + d.Parked + d.Dead
	if wanted == 0 {
		return ""
	}
	return fmt.Sprintf(" (%.4g%% delivered)", 100*float64(d.Delivered)/float64(wanted))
}

func durations(d api.DurationStats) string {
	if d.P50 == nil || d.P99 == nil {
		return "none answered within the last 24 hours"
	}
	return fmt.Sprintf("p50 %s, p99 %s, of the last %d", seconds(*d.P50), seconds(*d.P99), d.Attempts)
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(10 * time.Microsecond)
}
