package subscriptionapi

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/erase"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/jobs"
)

// runJobs executes replays, batch by batch, until ctx ends.
func (s *Service) runJobs(ctx context.Context, ready func()) error {
	ready()
	jobs.Run(ctx, s.work.Jobs, s.log)
	return nil
}

// runErasures executes the erasures that people asked for, batch by batch, until ctx ends.
func (s *Service) runErasures(ctx context.Context, ready func()) error {
	ready()
	jobs.Erase(ctx, erase.New(s.work, s.events.find, s.erasures, s.log), s.log)
	return nil
}

const (
	// pausesEvery is the interval of checking for pauses and deletions that are due, and pausesTime bounds a check.
	pausesEvery, pausesTime = time.Second, 10 * time.Second
)

// endPauses resumes hooks whose pause is over, and removes hooks whose deletion can no longer be undone, until ctx
// ends. The workers' housekeeper does the same.
func (s *Service) endPauses(ctx context.Context, ready func()) error {
	ready()
	told := daemon.NewTeller(s.log)
	daemon.Every(ctx, pausesEvery, func(ctx context.Context) {
		ended, err := daemon.Within(ctx, pausesTime, func(ctx context.Context) (int, error) {
			return s.work.Hooks.EndPauses(ctx, "subscription-api")
		})
		switch {
		case err != nil && ctx.Err() == nil:
			told.Tell("failed to end pauses", err)
		case ended > 0:
			s.log.Info("pauses of hooks ended", zap.Int("hooks", ended))
		}
		removed, err := daemon.Within(ctx, pausesTime, s.work.Hooks.EndDeletions)
		switch {
		case err != nil && ctx.Err() == nil:
			told.Tell("failed to remove deleted hooks", err)
		case removed > 0:
			s.log.Info("deleted hooks removed", zap.Int("hooks", removed))
		}
	})
	return nil
}
