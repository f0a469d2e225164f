// Package jobs executes jobs batch by batch. Several programs may do so at the same time.
package jobs

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/erase"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// look is the polling interval while there are no jobs.
	look = 500 * time.Millisecond
	// batchTimeout bounds one batch.
	batchTimeout = time.Minute
)

// Run executes due batches until ctx ends. A batch that is abandoned then is repeated by whoever runs jobs next.
func Run(ctx context.Context, s *store.JobStore, log *zap.Logger) {
	each(ctx, log, "batch of a job failed", func(ctx context.Context) (bool, error) { return batch(ctx, s) })
}

// Erase is like Run for erasures.
func Erase(ctx context.Context, r *erase.Eraser, log *zap.Logger) {
	each(ctx, log, "batch of an erasure failed", r.Step)
}

// each calls next repeatedly until ctx ends.
func each(ctx context.Context, log *zap.Logger, failure string, next func(context.Context) (worked bool, err error)) {
	told := daemon.NewTeller(log)
	for ctx.Err() == nil {
		worked, err := next(ctx)
		if err != nil && ctx.Err() == nil {
			told.Tell(failure, err)
		}
		if worked && err == nil {
			continue
		}
		select {
		case <-ctx.Done():
		case <-time.After(look):
		}
	}
}

func batch(ctx context.Context, s *store.JobStore) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, batchTimeout)
	defer cancel()
	return s.RunBatch(ctx, Wants)
}

// Wants returns a function that reports whether the hook wants an event, including its filter. As in the workers, a
// filter that cannot be evaluated does not match.
func Wants(h *webhook.Hook) func(e *webhook.Event) bool {
	if h.Config.Filter == "" {
		return h.Matches
	}
	f, err := filter.Compile(h.Config.Filter)
	return func(e *webhook.Event) bool {
		if err != nil || !h.Matches(e) {
			return false
		}
		matched, err := f.Match(filter.NewInput(e))
		return err == nil && matched
	}
}
