package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// catchUpDeadline bounds the wait for the recorder; catchUpPoll is how often it is asked.
const (
	catchUpDeadline = 5 * time.Second
	catchUpPoll     = 20 * time.Millisecond
	// nowDeadline bounds a look-up.
	nowDeadline = 2 * time.Second
)

// ErrBehind says that Postgres does not have all facts yet, so that it cannot be asked.
var ErrBehind = errors.New("recorder is behind the ledger")

// attempts is implemented by *store.LedgerStore.
type attempts interface {
	Recorded(ctx context.Context, keys []store.DeliveryKey) (map[uuid.UUID]store.Recorded, error)
}

// lagging is implemented by *bus.Bus.
type lagging interface {
	Lag(ctx context.Context, c bus.Consumer) (bus.Lag, error)
}

// Reader answers what had happened to a delivery before.
type Reader struct {
	store attempts
	bus   lagging
	one   singleflight.Group
}

// NewReader makes a reader.
func NewReader(s attempts, b lagging) *Reader { return &Reader{store: s, bus: b} }

// Certain returns what was recorded of the deliveries, after every fact that is in the stream now has reached
// Postgres. It returns ErrBehind where that takes too long, and the store's error where it cannot be asked.
func (r *Reader) Certain(ctx context.Context, keys []store.DeliveryKey) (map[uuid.UUID]store.Recorded, error) {
	if err := r.CatchUp(ctx); err != nil {
		return nil, err
	}
	return r.Now(ctx, keys)
}

// CatchUp returns when every fact that is in the stream now has reached Postgres, and ErrBehind where that takes too
// long.
func (r *Reader) CatchUp(ctx context.Context) error {
	asked := time.Now()
	for {
		began, err, _ := r.one.Do("catch up", func() (any, error) { return time.Now(), r.catchUp(ctx) })
		if at, ok := began.(time.Time); !ok || !at.Before(asked) {
			return err
		} // else somebody's that was under way: it may know of less than is in the stream now
	}
}

// Now returns what Postgres has of the deliveries at this moment. It does not wait longer than nowDeadline even where the
// network is gone and nothing ends the question: the driver reads on for an answer after its context has ended.
func (r *Reader) Now(ctx context.Context, keys []store.DeliveryKey) (map[uuid.UUID]store.Recorded, error) {
	found, err := daemon.Within(ctx, nowDeadline, func(ctx context.Context) (map[uuid.UUID]store.Recorded, error) {
		return r.store.Recorded(ctx, keys)
	})
	if err != nil {
		return nil, fmt.Errorf("ask the ledger: %w", err)
	}
	return found, nil
}

func (r *Reader) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, catchUpDeadline)
	defer cancel()
	lag, err := r.bus.Lag(ctx, bus.FactRecorder)
	if err != nil {
		return fmt.Errorf("ask the ledger: %w", err)
	}
	target := lag.Last
	tick := time.NewTicker(catchUpPoll)
	defer tick.Stop()
	for !lag.Done(target) {
		select {
		case <-ctx.Done():
			return ErrBehind
		case <-tick.C:
		}
		switch lag, err = r.bus.Lag(ctx, bus.FactRecorder); {
		case ctx.Err() != nil: // the time ran out while it was asked
			return ErrBehind
		case err != nil:
			return fmt.Errorf("ask the ledger: %w", err)
		}
	}
	return nil
}
