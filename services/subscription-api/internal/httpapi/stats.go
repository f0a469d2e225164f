package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// statsTimeout bounds counting a month of a busy hook.
const statsTimeout = 8 * time.Second

type hookStatsOutput struct{ Body api.HookStats }

func (s *server) registerStats() {
	register(s, route{role: usecase.Viewer, lookUp: true, limit: statsTimeout}, huma.Operation{
		OperationID: "get-hook-stats", Method: http.MethodGet, Path: hooksPath + "{id}/stats/", Tags: []string{tagDeliveries},
		Summary: "Get a hook's statistics",
	}, s.hookStats)
}

func (s *server) hookStats(ctx context.Context, c *call, _ *hookGetInput) (*hookStatsOutput, error) {
	if _, err := s.Cases.Hooks.Get(ctx, &c.Caller, c.id); err != nil {
		return nil, err
	}
	stats, err := s.Cases.History.HookStats(ctx, c.Tenant, c.id, time.Now())
	if err != nil {
		return nil, err
	}
	out := api.HookStats{
		Day: renderCounts(stats.Day), Month: renderCounts(stats.Month), Duration: api.DurationStats{Attempts: stats.Attempts},
		Filter: renderFailures(stats.FilterDay, stats.FilterMonth), Transform: renderFailures(stats.TransformDay, stats.TransformMonth),
		Parked: stats.Parked, Waiting: stats.Waiting, FailingSince: optionalTime(stats.FailingSince), Failures: stats.Failures,
	}
	if stats.Attempts > 0 {
		p50, p99 := stats.P50.Seconds(), stats.P99.Seconds()
		out.Duration.P50, out.Duration.P99 = &p50, &p99
	}
	return &hookStatsOutput{Body: out}, nil
}

func renderFailures(day, month usecase.ExpressionFailures) api.FailureStats {
	return api.FailureStats{Day: day.N, Month: month.N, LastDate: optionalTime(month.LastAt), LastEvent: month.EventID, LastError: month.LastError}
}

func renderCounts(counts map[webhook.DeliveryState]int) api.OutcomeCounts {
	o := api.OutcomeCounts{
		Delivered: counts[webhook.Delivered], Dead: counts[webhook.Dead], Waiting: counts[webhook.Waiting],
		Parked: counts[webhook.Parked], Cancelled: counts[webhook.Cancelled], Superseded: counts[webhook.Superseded],
	}
	o.Total = o.Delivered + o.Dead + o.Waiting + o.Parked + o.Cancelled + o.Superseded
	if ended := o.Delivered + o.Dead; ended > 0 {
		rate := float64(o.Delivered) / float64(ended)
		o.SuccessRate = &rate
	}
	return o
}
