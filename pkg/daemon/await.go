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
	// tellAgain is how often the log is told of what does not change.
	tellAgain = time.Minute
)

// Await tries a dependency until it is there. It returns nil then, an error that is final, which trying again does not
// mend, at once, and otherwise an error when ctx ends; final is nil where there is none. The log is told why it waits, and again each minute.
func Await(ctx context.Context, log *zap.Logger, name string, try func(context.Context) error, final error) error {
	told := teller{log: log}
	for {
		err := try(ctx)
		if err == nil || errors.Is(err, final) {
			return err
		}
		if ctx.Err() == nil {
			told.tell("waiting for a dependency", err, zap.String("dependency", name))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", name, ctx.Err())
		case <-time.After(tryAgain):
		}
	}
}

// teller tells the log of a trouble: of each reason once a minute, and of few reasons in one.
type teller struct {
	log  *zap.Logger
	told map[string]time.Time // by reason, in the last minute
}

// fewReasons are what is told of in a minute: the text of a reason may be another one each time.
const fewReasons = 3

func (t *teller) tell(what string, reason error, fields ...zap.Field) {
	if t.told == nil {
		t.told = map[string]time.Time{}
	}
	now := time.Now()
	maps.DeleteFunc(t.told, func(_ string, at time.Time) bool { return now.Sub(at) >= tellAgain })
	if _, lately := t.told[reason.Error()]; lately || len(t.told) >= fewReasons {
		return
	}
	t.told[reason.Error()] = now
	t.log.Warn(what, append(fields, zap.Error(reason))...)
}
