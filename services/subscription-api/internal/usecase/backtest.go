package usecase

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// BacktestTimeout bounds a backtest.
	BacktestTimeout = 6 * time.Second

	// backtestRange is the default range of a backtest.
	backtestRange = 24 * time.Hour
	// maxBacktest is how many events a backtest examines, and backtestSamples how many samples of either kind it
	// keeps.
	maxBacktest     = 10_000
	backtestSamples = 10
)

// Backtest says on which events to test a hook before it is saved, with the relevant parts of the hook.
type Backtest struct {
	// EventTypes are types and patterns.
	EventTypes []string
	Config     json.RawMessage
	// From and To bound the time of publication. If they are zero, they mean a day before To, and now.
	From, To time.Time
}

// Backtested is the result of a backtest.
type Backtested struct {
	*filter.Backtest

	store.TimeRange
	// Truncated says that there were more events than were examined.
	Truncated bool
}

// Backtest returns what a hook would have received of the newest events of its types.
func (s *Hooks) Backtest(ctx context.Context, c *Caller, b Backtest) (Backtested, error) {
	hook, r, err := b.read(c.Tenant)
	if err != nil {
		return Backtested{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, BacktestTimeout)
	defer cancel()
	out := Backtested{Backtest: filter.NewBacktest(&hook, backtestSamples), TimeRange: r}
	out.Truncated, err = s.History.ScanEvents(ctx, c.Tenant, store.EventFilter{Range: r, EventTypes: hook.EventTypes}, maxBacktest, out.Take)
	return out, err
}

func (b *Backtest) read(tenant string) (webhook.Hook, store.TimeRange, error) {
	invalid := &webhook.ValidationError{}
	hook := webhook.Hook{Tenant: tenant, Status: webhook.Active, EventTypes: webhook.CanonicalEventTypes(b.EventTypes)}
	if len(hook.EventTypes) == 0 || len(hook.EventTypes) > webhook.MaxEventTypes {
		invalid.Add("/event_types", "must name 1 to %d event types", webhook.MaxEventTypes)
	}
	for _, t := range hook.EventTypes {
		if err := webhook.ValidatePattern(t); err != nil {
			invalid.Add("/event_types", "%q %s", webhook.Clip(t), err)
		}
	}
	var err error
	if hook.Config, err = webhook.ParseConfig(b.Config); err != nil {
		invalid.Collect("/config", err)
	} else {
		checkExpressions(invalid, &hook, nil, nil)
	}
	r := store.TimeRange{From: b.From.UTC(), To: b.To.UTC()}
	if r.To.IsZero() {
		r.To = time.Now().UTC()
	}
	if r.From.IsZero() {
		r.From = r.To.Add(-backtestRange)
	}
	for pointer, at := range map[string]time.Time{"/from": r.From, "/to": r.To} {
		if !storable(at) {
			invalid.Add(pointer, "must be between the years 2000 and 2200")
		}
	}
	if !r.From.Before(r.To) {
		invalid.Add("/from", "must be before to")
	}
	return hook, r, invalid.OrNil()
}

// checkExpressions reports expressions that do not compile or cost too much, alone or together with those of the
// tenant's other hooks. It ignores expressions that have not changed.
func checkExpressions(invalid *webhook.ValidationError, h, before *webhook.Hook, others map[uuid.UUID][]webhook.Expression) {
	delete(others, h.ID)
	beside := slices.Concat(slices.Collect(maps.Values(others))...)
	var old []webhook.Expression
	if before != nil {
		old = before.Config.Expressions()
	}
	for _, x := range h.Config.Expressions() {
		if !slices.Contains(old, x) {
			var wrong *filter.Error
			if err := filter.CheckBeside(x, beside); errors.As(err, &wrong) {
				invalid.Add("/config"+x.Pointer, "%s", wrong)
			}
		}
		beside = append(beside, x)
	}
}
