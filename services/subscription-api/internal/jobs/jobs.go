// Package jobs does what people asked to be done in batches, batch by batch, beside other programs that do the same.
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
	// look is how often jobs are looked for when there was none.
	look = 500 * time.Millisecond
	// batchTimeout bounds one batch.
	batchTimeout = time.Minute
)

// Run does what is due until ctx ends. A batch that is given up then is done anew by whoever runs jobs next.
func Run(ctx context.Context, s *store.JobStore, log *zap.Logger) {
	each(ctx, log, "batch of a job failed", func(ctx context.Context) (bool, error) { return batch(ctx, s) })
}

// Erase is Run for what is to be erased.
func Erase(ctx context.Context, r *erase.Eraser, log *zap.Logger) {
	each(ctx, log, "batch of an erasure failed", r.Step)
}

// each does one after the other, until ctx ends.
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

// Wants returns what reports whether the hook wants an event, its filter included. A filter that cannot be evaluated keeps the
// event away, as the workers have it.
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
