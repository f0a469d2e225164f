package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"go.uber.org/zap"
)

const (
	// tryAgain is the interval between attempts to reach a dependency.
	tryAgain = time.Second
	// tellAgain is how often an unchanged reason is logged.
	tellAgain = time.Minute
)

// Await tries a dependency until it is available, and then returns nil. It returns at once if an attempt fails with
// final, an error that retrying cannot fix; final may be nil. Otherwise it returns an error when ctx ends. Await logs
// why it waits, and repeats that every minute.
func Await(ctx context.Context, log *zap.Logger, name string, try func(context.Context) error, final error) error {
	told := NewTeller(log)
	for {
		err := try(ctx)
		if err == nil || errors.Is(err, final) {
			return err
		}
		if ctx.Err() == nil {
			told.Tell("waiting for a dependency", err, zap.String("dependency", name))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", name, ctx.Err())
		case <-time.After(tryAgain):
		}
	}
}

// Teller logs a recurring problem: each reason once a minute, and at most fewReasons reasons. It is not safe for
// concurrent use.
type Teller struct {
	log  *zap.Logger
	told map[string]time.Time // by reason, in the last minute
}

// NewTeller returns a Teller that has logged nothing yet.
func NewTeller(log *zap.Logger) *Teller { return &Teller{log: log, told: map[string]time.Time{}} }

// fewReasons bounds the reasons logged per minute, because texts with a port number differ each time.
const fewReasons = 3

// Tell logs as a warning what cannot be done, and why.
func (t *Teller) Tell(what string, reason error, fields ...zap.Field) {
	now := time.Now()
	maps.DeleteFunc(t.told, func(_ string, at time.Time) bool { return now.Sub(at) >= tellAgain })
	if _, lately := t.told[reason.Error()]; lately || len(t.told) >= fewReasons {
		return
	}
	t.told[reason.Error()] = now
	t.log.Warn(what, append(fields, zap.Error(reason))...)
}
