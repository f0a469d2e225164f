package deliveryworker

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/trace"
)

const (
	// storeFailures is the minimum interval between writes of failures.
	storeFailures = 2 * time.Second
	// mostFailing bounds the hooks whose failures wait to be written. Failures of further hooks are counted in the metric only.
	mostFailing = 10_000
)

// filters counts the cost and the failures of hooks' expressions, and passes failures on to be recorded and published.
type filters struct {
	*Service

	filter, transform *failures
}

func newFilters(s *Service) *filters {
	return &filters{
		Service: s,
		filter: &failures{
			Service: s, kind: webhook.FilterExpression, metric: s.metrics.filterFailures, told: "hook.filter_failing",
			warning: "hook filter fails on some events, which are not delivered to the hook",
		},
		transform: &failures{
			Service: s, kind: webhook.TransformExpression, metric: s.metrics.transformFailures, told: "hook.transform_failing",
			warning: "hook transform fails on some events, whose deliveries are dead",
		},
	}
}

// FilterCost implements fanout.Filtered.
func (f *filters) FilterCost(units uint64) { f.metrics.filterCost.Add(float64(units)) }

// PutOff implements fanout.Filtered.
func (f *filters) PutOff() { f.metrics.filterPutOff.Inc() }

// FilterFailed implements fanout.Filtered.
func (f *filters) FilterFailed(h *webhook.Hook, e *webhook.Event, err error) { f.filter.add(h, e, err) }

// TransformFailed implements fanout.Filtered.
func (f *filters) TransformFailed(h *webhook.Hook, e *webhook.Event, err error) {
	f.transform.add(h, e, err)
}

// run writes failures until ctx ends, and then once more.
func (f *filters) run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { f.filter.run(ctx) })
	f.transform.run(ctx)
	both.Wait()
}

// failures collects the failures of one kind of expression, filters or transforms.
type failures struct {
	*Service

	kind   webhook.ExpressionKind
	metric *prometheus.CounterVec
	// told is the type of the operational event that is published for a failure, once per day and hook. warning is the text
	// that is logged with it.
	told, warning string

	mu      sync.Mutex
	failing map[uuid.UUID]*failing
}

// failing holds the failures of a hook's expression that are not written yet.
type failing struct {
	store.ExpressionFailures

	hook *webhook.Hook
	// traceparent is the newest event's.
	traceparent string
}

func (f *failures) add(h *webhook.Hook, e *webhook.Event, err error) {
	reason := "error"
	if filter.TooCostly(err) {
		reason = "cost"
	}
	f.metric.WithLabelValues(reason).Inc()
	f.mu.Lock()
	defer f.mu.Unlock()
	of := f.failing[h.ID]
	if of == nil {
		if len(f.failing) >= mostFailing {
			return
		}
		of = &failing{}
		if f.failing == nil {
			f.failing = map[uuid.UUID]*failing{}
		}
		f.failing[h.ID] = of
		of.LastError = err.Error() // only the first error's text is kept, because producing it is costly
	}
	of.hook, of.EventID, of.traceparent, of.LastAt = h, e.ID, e.Traceparent, time.Now()
	of.N++
}

// run writes failures until ctx ends, and then once more.
func (f *failures) run(ctx context.Context) {
	daemon.Every(ctx, storeFailures, f.store)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	f.store(last)
}

// store writes the collected failures. Those that cannot be written are kept for the next time.
func (f *failures) store(ctx context.Context) {
	f.mu.Lock()
	list := f.failing
	f.failing = nil
	f.mu.Unlock()
	if len(list) == 0 {
		return
	}
	failures := make(map[uuid.UUID]store.ExpressionFailures, len(list))
	for id, of := range list {
		failures[id] = of.ExpressionFailures
	}
	untold, err := f.db.Health.AddFailures(ctx, f.kind, failures)
	if err != nil {
		f.log.Warn("failed to record failures of expressions, retrying", zap.Int("hooks", len(list)), zap.Error(err))
		f.keep(list)
		return
	}
	for _, id := range untold {
		f.warn(ctx, list[id])
	}
}

// keep puts failures back that could not be written.
func (f *failures) keep(list map[uuid.UUID]*failing) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, of := range list {
		if newer := f.failing[id]; newer != nil {
			newer.N += of.N
		} else if len(f.failing) < mostFailing {
			if f.failing == nil {
				f.failing = map[uuid.UUID]*failing{}
			}
			f.failing[id] = of
		}
	}
}

// warn logs a warning about a hook, and publishes the operational event. store calls it once per day and hook.
func (f *failures) warn(ctx context.Context, of *failing) {
	f.log.Warn(f.warning, zap.Stringer("hook_id", of.hook.ID),
		zap.String("tenant", of.hook.Tenant), zap.String("event_id", of.EventID), trace.ID(of.traceparent), zap.String("error", of.LastError))
	f.own.tryAnnounce(ctx, of.hook.Tenant, f.told, fmt.Sprintf("%s_failing:%s:%d", f.kind, of.hook.ID, of.LastAt.UnixMilli()),
		"hook:"+of.hook.ID.String(), map[string]any{
			"hook_id": of.hook.ID, "name": of.hook.Name, "target_url": of.hook.TargetURL,
			string(f.kind): of.hook.Config.Expression(f.kind), "failures": of.N, "last_error": of.LastError, "last_event_id": of.EventID, "at": of.LastAt.UTC(),
		})
}
