package subscriptionapi

import (
	"context"

	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/jobs"
)

// runJobs does replays, batch by batch, until ctx ends.
func (s *Service) runJobs(ctx context.Context, ready func()) error {
	ready()
	jobs.Run(ctx, s.work.Jobs, s.log)
	return nil
}
