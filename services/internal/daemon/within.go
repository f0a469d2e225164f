package daemon

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"
)

// Within runs do and gives up on it after limit. A frozen database does not answer a cancellation either, so do may
// be left running until its connection ends. The error is then the context's. A panic of do becomes an error, too.
func Within[T any](ctx context.Context, limit time.Duration, do func(context.Context) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil {
				r.err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			}
			done <- r
		}()
		r.value, r.err = do(ctx)
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
	}
	select {
	case r := <-done: // the result came just in time
		return r.value, r.err
	default:
		var none T
		return none, ctx.Err()
	}
}
