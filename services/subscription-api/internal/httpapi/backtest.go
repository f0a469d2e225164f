package httpapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

type backtestOutput struct{ Body api.Backtest }

func (s *server) registerBacktest() {
	register(s, route{role: usecase.Viewer, body: bodyAs[api.BacktestFields](s, "BacktestInput"), lookUp: true, limit: usecase.BacktestTimeout + 4*storeTimeout}, huma.Operation{
		OperationID: "backtest-hook", Method: http.MethodPost, Path: hooksPath + "backtest/", Tags: []string{"Hooks"},
		Summary:     "Preview which past events a hook would have got",
		Description: "At most 10,000 events are examined, newest first.",
	}, s.backtest)
}

func (s *server) backtest(ctx context.Context, c *call, _ *noInput) (*backtestOutput, error) {
	in, _, err := decodeAs[api.BacktestFields](c.body)
	if err != nil {
		return nil, err
	}
	if in.EventTypes == nil && in.EventType == nil {
		in.EventTypes = []string{"*"}
	}
	b := usecase.Backtest{EventTypes: in.EventTypes, Config: in.Config, From: in.From, To: in.To}
	if in.EventTypes == nil {
		b.EventTypes = in.EventType
	}
	test, err := s.Cases.Hooks.Backtest(ctx, &c.Caller, b)
	if err != nil {
		if in.EventTypes == nil {
			err = renamed(err, "/event_types", "/event_type")
		}
		return nil, err
	}
	first := func(s *filter.Sample) *api.BacktestSample {
		if s == nil {
			return nil
		}
		return &renderSamples([]filter.Sample{*s})[0]
	}
	return &backtestOutput{Body: api.Backtest{
		From: test.From, To: test.To, Scanned: test.Scanned, Matched: test.Matched, Missed: test.Missed, Truncated: test.Truncated, Failure: first(test.Failed),
		Made: test.Made, Unmade: test.Unmade, TransformFailure: first(test.Unmakeable),
		Samples: renderSamples(test.Samples), Misses: renderSamples(test.MissedSamples),
	}}, nil
}

func renderSamples(samples []filter.Sample) []api.BacktestSample {
	list := make([]api.BacktestSample, len(samples))
	for i, s := range samples {
		list[i] = api.BacktestSample{
			EventID: s.Event.ID, EventType: s.Event.Type, Entity: s.Event.Entity, CreatedDate: s.Event.PublishedAt,
			Reason: s.Verdict.Reason, Detail: s.Verdict.Detail, After: s.Data, Problem: s.Problem,
		}
		for _, h := range s.Headers {
			if list[i].Headers == nil {
				list[i].Headers = map[string]string{}
			}
			list[i].Headers[h.Name] = h.Value
		}
		if (len(s.Data) > 0 || s.Problem != "") && len(s.Event.Data) <= filter.MaxShownData {
			list[i].Before = s.Event.Data
		}
	}
	return list
}

// renamed replaces a pointer by another in the fields of an error.
func renamed(err error, from, to string) error {
	if invalid, ok := errors.AsType[*webhook.ValidationError](err); ok {
		for i := range invalid.Fields {
			if invalid.Fields[i].Pointer == from {
				invalid.Fields[i].Pointer = to
			}
		}
	}
	return err
}
