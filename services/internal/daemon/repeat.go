package daemon

import (
	"context"
	"time"
)

// Sleep returns true after d, or false as soon as ctx ends.
func Sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	return ctx.Err() == nil
}

// Every calls do at once and then once per interval, one call at a time, until ctx ends.
func Every(ctx context.Context, interval time.Duration, do func(context.Context)) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		do(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Until calls try once per interval until it succeeds, and passes each error to failed. It returns false if ctx ends
// first.
func Until(ctx context.Context, interval time.Duration, try func() error, failed func(error)) bool {
	for ctx.Err() == nil {
		err := try()
		if err == nil {
			return true
		}
		if ctx.Err() == nil {
			failed(err)
		}
		Sleep(ctx, interval)
	}
	return false
}
