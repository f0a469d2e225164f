package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

type (
	backtestInput struct {
		EventType  optional[typeList]   `json:"event_type,omitzero" doc:"As a hook has it"`
		EventTypes optional[stringList] `json:"event_types,omitzero" doc:"As a hook has it; all types if neither is there"`
		Config     optional[object]     `json:"config,omitzero" doc:"As a hook has it: filter, and the keys that a published config_filter is compared with"`
		From       optional[time.Time]  `json:"from,omitzero" doc:"The earliest publication of the events; a day before to if absent"`
		To         optional[time.Time]  `json:"to,omitzero" doc:"The publication of the events is before this; now if absent"`
	}
	backtestSample struct {
		EventID     string    `json:"event_id"`
		EventType   string    `json:"event_type"`
		Entity      string    `json:"entity"`
		CreatedDate time.Time `json:"created_date" doc:"When it was published"`
		Reason      string    `json:"reason" doc:"What keeps it from the hook, in one fixed word; empty for nothing"`
		Detail      string    `json:"detail" doc:"Why, for people: what the filter saw; may be empty"`
	}
	backtestBody struct {
		From      time.Time        `json:"from"`
		To        time.Time        `json:"to"`
		Scanned   int              `json:"scanned" doc:"How many events of the types were looked at, the newest first"`
		Matched   int              `json:"matched" doc:"How many of them the hook would have got"`
		Missed    map[string]int   `json:"missed" doc:"How many not, by reason: config_filter, filter, filter_failed"`
		Failure   *backtestSample  `json:"failure,omitempty" doc:"The newest event that the filter could not be evaluated for, and that it would miss because of that, with why; absent where there is none"`
		Truncated bool             `json:"truncated" doc:"Whether there were more events than were looked at: choose a shorter time"`
		Samples   []backtestSample `json:"samples" nullable:"false" doc:"Some that the hook would have got, with why"`
		Misses    []backtestSample `json:"misses" nullable:"false" doc:"Some that it would not have got, with why"`
	}
	backtestOutput struct{ Body backtestBody }
)

func (s *server) registerBacktest() {
	register(s, route{role: store.Viewer, body: bodyOf[backtestInput](s), lookUp: true, limit: usecase.BacktestTimeout + 4*storeTimeout}, huma.Operation{
		OperationID: "backtest-hook", Method: http.MethodPost, Path: hooksPath + "backtest/", Tags: []string{"Hooks"},
		Summary:     "See what a hook would have got of the last day's events, before it is saved",
		Description: "At most 10,000 events are looked at, the newest first.",
	}, s.backtest)
}

func (s *server) backtest(ctx context.Context, c *call, _ *noInput) (*backtestOutput, error) {
	var in backtestInput
	if err := decodeBody(c.body, &in); err != nil {
		return nil, err
	}
	if !in.EventTypes.Given() && !in.EventType.Given() {
		in.EventTypes = optional[stringList]{usecase.Some(stringList{"*"})}
	}
	b := usecase.Backtest{EventTypes: in.EventTypes.Value, Config: json.RawMessage(in.Config.Value.rawJSON), From: in.From.Value, To: in.To.Value}
	if !in.EventTypes.Given() {
		b.EventTypes = in.EventType.Value.stringList
	}
	test, err := s.Cases.Backtest(ctx, &c.Caller, b)
	if err != nil {
		if !in.EventTypes.Given() {
			err = renamed(err, "/event_types", "/event_type")
		}
		return nil, err
	}
	var failure *backtestSample
	if test.Failed != nil {
		failure = &renderSamples([]filter.Sample{*test.Failed})[0]
	}
	return &backtestOutput{Body: backtestBody{
		From: test.From, To: test.To, Scanned: test.Scanned, Matched: test.Matched, Missed: test.Missed, Truncated: test.Truncated, Failure: failure,
		Samples: renderSamples(test.Samples), Misses: renderSamples(test.MissedSamples),
	}}, nil
}

func renderSamples(samples []filter.Sample) []backtestSample {
	list := make([]backtestSample, len(samples))
	for i, s := range samples {
		list[i] = backtestSample{
			EventID: s.Event.ID, EventType: s.Event.Type, Entity: s.Event.Entity, CreatedDate: s.Event.PublishedAt,
			Reason: s.Verdict.Reason, Detail: s.Verdict.Detail,
		}
	}
	return list
}

// renamed lets the fields of an error that have a pointer have another one.
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
