package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
)

// tryAgain is how soon a dependency that is away is tried again.
const tryAgain = time.Second

// Await tries a dependency until it is there. It returns nil then, an error that is final, which trying again does not
// mend, at once, and otherwise an error when ctx ends.
func Await(ctx context.Context, log *zap.Logger, name string, try func(context.Context) error, final error) error {
	for {
		err := try(ctx)
		if err == nil || errors.Is(err, final) {
			return err
		}
		log.Warn("waiting for a dependency", zap.String("dependency", name), zap.Error(err))
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", name, ctx.Err())
		case <-time.After(tryAgain):
		}
	}
}
