package deliveryworker

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// storeFailures is how often failures of filters are written, at most.
	storeFailures = 2 * time.Second
	// mostFailing bounds the hooks whose failures wait to be written; of others they are only in the metric.
	mostFailing = 10_000
	// typeFilterFailing is the operational event of a hook whose filter cannot be evaluated for some event; one a day.
	typeFilterFailing = "hook.filter_failing"
)

// filters counts what filters do, and has what could not be evaluated written and told.
type filters struct {
	*Service

	mu      sync.Mutex
	failing map[uuid.UUID]*failing
}

// failing is a hook whose filter could not be evaluated.
type failing struct {
	store.FilterFailures

	hook *webhook.Hook
}

// FilterCost implements fanout.Filtered.
func (f *filters) FilterCost(units uint64) { f.metrics.filterCost.Add(float64(units)) }

// PutOff implements fanout.Filtered.
func (f *filters) PutOff() { f.metrics.filterPutOff.Inc() }

// FilterFailed implements fanout.Filtered.
func (f *filters) FilterFailed(h *webhook.Hook, e *webhook.Event, err error) {
	reason := "error"
	if failed, ok := errors.AsType[*filter.EvalError](err); ok && failed.TooCostly() {
		reason = "cost"
	}
	f.metrics.filterFailures.WithLabelValues(reason).Inc()
	f.mu.Lock()
	defer f.mu.Unlock()
	of := f.failing[h.ID]
	if of == nil {
		if len(f.failing) >= mostFailing {
			return
		}
		of = &failing{}
		f.failing[h.ID] = of
		of.LastError = err.Error() // found out anew, which takes a while, only for the first of them
	}
	of.hook, of.EventID, of.LastAt = h, e.ID, time.Now()
	of.N++
}

// run writes what there is until ctx ends, and once more then.
func (f *filters) run(ctx context.Context) {
	daemon.Every(ctx, storeFailures, f.store)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	f.store(last)
}

// store writes what there is; what cannot be written is written with what comes next.
func (f *filters) store(ctx context.Context) {
	f.mu.Lock()
	list := f.failing
	f.failing = map[uuid.UUID]*failing{}
	f.mu.Unlock()
	if len(list) == 0 {
		return
	}
	failures := make(map[uuid.UUID]store.FilterFailures, len(list))
	for id, of := range list {
		failures[id] = of.FilterFailures
	}
	untold, err := f.db.Hooks.AddFilterFailures(ctx, failures)
	if err != nil {
		f.log.Warn("failed to record filter failures, retrying", zap.Int("hooks", len(list)), zap.Error(err))
		f.keep(list)
		return
	}
	for _, id := range untold {
		f.warn(ctx, list[id])
	}
}

// keep puts back what could not be written.
func (f *filters) keep(list map[uuid.UUID]*failing) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, of := range list {
		if newer := f.failing[id]; newer != nil {
			newer.N += of.N
		} else if len(f.failing) < mostFailing {
			f.failing[id] = of
		}
	}
}

// warn warns of a hook, once a day.
func (f *filters) warn(ctx context.Context, of *failing) {
	f.log.Warn("hook filter fails on some events, which are not delivered to the hook", zap.Stringer("hook_id", of.hook.ID),
		zap.String("tenant", of.hook.Tenant), zap.String("event_id", of.EventID), zap.String("error", of.LastError))
	f.own.tryAnnounce(ctx, of.hook.Tenant, typeFilterFailing, fmt.Sprintf("filter_failing:%s:%d", of.hook.ID, of.LastAt.UnixMilli()),
		"hook:"+of.hook.ID.String(), map[string]any{
			"hook_id": of.hook.ID, "name": of.hook.Name, "target_url": of.hook.TargetURL, "filter": of.hook.Config.Filter,
			"failures": of.N, "last_error": of.LastError, "last_event_id": of.EventID, "at": of.LastAt.UTC(),
		})
}
