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
	// tryAgain is how soon a dependency that is away is tried again.
	tryAgain = time.Second
	// tellAgain is how often a reason that does not change is logged.
	tellAgain = time.Minute
)

// Await tries a dependency until it is there. It returns nil then, an error that is final, which trying again does not
// mend, at once, and otherwise an error when ctx ends; final is nil where there is none. Await logs why it waits, and
// again each minute.
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

// Teller logs a problem that is met again and again: each reason once a minute, and at most a few reasons. It is for one
// goroutine.
type Teller struct {
	log  *zap.Logger
	told map[string]time.Time // by reason, in the last minute
}

// NewTeller makes one that has told of nothing yet.
func NewTeller(log *zap.Logger) *Teller { return &Teller{log: log, told: map[string]time.Time{}} }

// fewReasons bounds the reasons logged in a minute: a text with a port number in it differs each time.
const fewReasons = 3

// Tell warns of what cannot be done, and why.
func (t *Teller) Tell(what string, reason error, fields ...zap.Field) {
	now := time.Now()
	maps.DeleteFunc(t.told, func(_ string, at time.Time) bool { return now.Sub(at) >= tellAgain })
	if _, lately := t.told[reason.Error()]; lately || len(t.told) >= fewReasons {
		return
	}
	t.told[reason.Error()] = now
	t.log.Warn(what, append(fields, zap.Error(reason))...)
}
