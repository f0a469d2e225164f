package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// eventScanner reads events of the past; *store.DB is one.
type eventScanner interface {
	ScanEvents(ctx context.Context, tenant string, f store.EventFilter, limit int, take func(*webhook.Event)) (more bool, err error)
}

const (
	// backtestRange is how far back a back-test goes when it is not said.
	backtestRange = 24 * time.Hour
	// maxBacktest is how many events a back-test looks at, and backtestTime how long.
	maxBacktest  = 10_000
	backtestTime = 6 * time.Second
	// backtestSamples is how many events of either kind are shown.
	backtestSamples = 10
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
	register(s, route{role: store.Viewer, body: bodyOf[backtestInput](s), lookUp: true, limit: backtestTime + 4*storeTimeout}, huma.Operation{
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
	hook, r, err := in.read(c.tenant, time.Now())
	if err != nil {
		return nil, err
	}
	scanning, cancel := context.WithTimeout(ctx, backtestTime)
	defer cancel()
	test := filter.NewBacktest(&hook, backtestSamples)
	more, err := s.Scanned.ScanEvents(scanning, c.tenant, store.EventFilter{Range: r, EventTypes: hook.EventTypes}, maxBacktest, test.Take)
	if err != nil {
		return nil, err
	}
	var failure *backtestSample
	if test.Failed != nil {
		failure = &renderSamples([]filter.Sample{*test.Failed})[0]
	}
	return &backtestOutput{Body: backtestBody{
		From: r.From, To: r.To, Scanned: test.Scanned, Matched: test.Matched, Missed: test.Missed, Truncated: more, Failure: failure,
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

// read makes the hook that is tried, and the range of events that it is tried on.
func (in *backtestInput) read(tenant string, now time.Time) (webhook.Hook, store.TimeRange, error) {
	invalid := &webhook.ValidationError{}
	hook := webhook.Hook{Tenant: tenant, Status: webhook.Active, EventTypes: []string{"*"}}
	pointer := "/event_types"
	switch {
	case in.EventTypes.given():
		hook.EventTypes = webhook.CanonicalEventTypes(in.EventTypes.Value)
	case in.EventType.given():
		hook.EventTypes, pointer = webhook.CanonicalEventTypes(in.EventType.Value.stringList), "/event_type"
	}
	if len(hook.EventTypes) == 0 || len(hook.EventTypes) > webhook.MaxEventTypes {
		invalid.Add(pointer, "must name 1 to %d event types", webhook.MaxEventTypes)
	}
	for _, t := range hook.EventTypes {
		if err := webhook.ValidatePattern(t); err != nil {
			invalid.Add(pointer, "%q %s", clip(t), err)
		}
	}
	var err error
	if hook.Config, err = webhook.ParseConfig(json.RawMessage(in.Config.Value.rawJSON)); err != nil {
		invalid.Collect("/config", err)
	} else {
		checkFilter(invalid, &hook, nil, nil)
	}
	r := store.TimeRange{From: in.From.Value.UTC(), To: now.UTC()}
	if in.To.given() {
		r.To = in.To.Value.UTC()
	}
	if !in.From.given() {
		r.From = r.To.Add(-backtestRange)
	}
	for name, at := range map[string]time.Time{"from": r.From, "to": r.To} {
		if checkYear(name, at) != nil {
			invalid.Add("/"+name, "must be between the years 2000 and 2200")
		}
	}
	if !r.From.Before(r.To) {
		invalid.Add("/from", "must be before to")
	}
	return hook, r, invalid.OrNil()
}

// checkFilter complains about a filter that cannot be compiled, or that costs too much, alone or together with those of the
// tenant's hooks. Of one that was there before and has not changed it does not.
func checkFilter(invalid *webhook.ValidationError, h, before *webhook.Hook, filters map[uuid.UUID]string) {
	if h.Config.Filter == "" || before != nil && before.Config.Filter == h.Config.Filter {
		return
	}
	delete(filters, h.ID)
	var wrong *filter.Error
	if err := filter.CheckBeside(h.Config.Filter, slices.Collect(maps.Values(filters))); errors.As(err, &wrong) {
		invalid.Add("/config/filter", "%s", wrong)
	}
}
