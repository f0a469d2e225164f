package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// statsTimeout bounds counting a month of a busy hook.
const statsTimeout = 8 * time.Second

type (
	outcomeCounts struct {
		Total       int      `json:"total"`
		Delivered   int      `json:"delivered"`
		Dead        int      `json:"dead"`
		Waiting     int      `json:"waiting"`
		Parked      int      `json:"parked"`
		Cancelled   int      `json:"cancelled"`
		SuccessRate *float64 `json:"success_rate" doc:"Delivered of those that are delivered or dead, 0 to 1; null where there are none"`
	}
	durationStats struct {
		Attempts int      `json:"attempts" doc:"How many attempts these are of: those of the newest 1,000 deliveries of the last 24 hours that were answered"`
		P50      *float64 `json:"p50" doc:"Seconds; null where there are none"`
		P99      *float64 `json:"p99" doc:"Seconds; null where there are none"`
	}
	hookStatsBody struct {
		Day          outcomeCounts `json:"last_24_hours" doc:"Of the events published within the last 24 hours"`
		Month        outcomeCounts `json:"last_30_days" doc:"Of the events published within the last 30 days"`
		Duration     durationStats `json:"duration"`
		Parked       int           `json:"parked" doc:"Deliveries that wait for the hook now"`
		Waiting      int           `json:"waiting" doc:"Deliveries that wait for the time of their next attempt now"`
		FailingSince *time.Time    `json:"failing_since" doc:"Since when all attempts have failed; null where the last one did not"`
		Failures     int           `json:"failures" doc:"How many attempts have failed since"`
		Filter       filterStats   `json:"filter_failures" doc:"Events that the filter could not be evaluated for, and that were not delivered because of that"`
	}
	filterStats struct {
		Day       int        `json:"last_24_hours" doc:"How many, of the UTC days with one in the last 24 hours"`
		Month     int        `json:"last_30_days"`
		LastDate  *time.Time `json:"last_date" doc:"When the newest of them was looked at; null where there is none"`
		LastEvent string     `json:"last_event_id" doc:"Its id; empty where there is none"`
		LastError string     `json:"last_error" doc:"Why the filter could not be evaluated, and how to guard it; empty where there is none"`
	}
	hookStatsOutput struct{ Body hookStatsBody }
)

func (s *server) registerStats() {
	register(s, route{role: store.Viewer, lookUp: true, limit: statsTimeout}, huma.Operation{
		OperationID: "get-hook-stats", Method: http.MethodGet, Path: hooksPath + "{id}/stats/", Tags: []string{tagDeliveries},
		Summary: "See how a hook fares",
	}, s.hookStats)
}

func (s *server) hookStats(ctx context.Context, c *call, _ *hookGetInput) (*hookStatsOutput, error) {
	if _, err := s.Cases.Hook(ctx, &c.Caller, c.id); err != nil {
		return nil, err
	}
	stats, err := s.Cases.History.HookStats(ctx, c.Tenant, c.id, time.Now())
	if err != nil {
		return nil, err
	}
	out := hookStatsBody{
		Day: renderCounts(stats.Day), Month: renderCounts(stats.Month), Duration: durationStats{Attempts: stats.Attempts},
		Filter: filterStats{
			Day: stats.FilterDay.N, Month: stats.FilterMonth.N, LastDate: optionalTime(stats.FilterMonth.LastAt),
			LastEvent: stats.FilterMonth.EventID, LastError: stats.FilterMonth.LastError,
		},
		Parked: stats.Parked, Waiting: stats.Waiting, FailingSince: optionalTime(stats.FailingSince), Failures: stats.Failures,
	}
	if stats.Attempts > 0 {
		p50, p99 := stats.P50.Seconds(), stats.P99.Seconds()
		out.Duration.P50, out.Duration.P99 = &p50, &p99
	}
	return &hookStatsOutput{Body: out}, nil
}

func renderCounts(counts map[webhook.DeliveryState]int) outcomeCounts {
	o := outcomeCounts{
		Delivered: counts[webhook.Delivered], Dead: counts[webhook.Dead], Waiting: counts[webhook.Waiting],
		Parked: counts[webhook.Parked], Cancelled: counts[webhook.Cancelled],
	}
	o.Total = o.Delivered + o.Dead + o.Waiting + o.Parked + o.Cancelled
	if ended := o.Delivered + o.Dead; ended > 0 {
		rate := float64(o.Delivered) / float64(ended)
		o.SuccessRate = &rate
	}
	return o
}
