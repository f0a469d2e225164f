package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/singleflight"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// catchUpDeadline bounds the wait for the recorder, and catchUpPoll is the interval between queries of its progress.
const (
	catchUpDeadline = 5 * time.Second
	catchUpPoll     = 20 * time.Millisecond
	// nowDeadline is the time limit of a query to PostgreSQL.
	nowDeadline = 2 * time.Second
)

// ErrBehind reports that PostgreSQL does not have all facts yet, so that its answer would be incomplete.
var ErrBehind = errors.New("recorder is behind the ledger")

// attempts is implemented by *store.LedgerStore.
type attempts interface {
	Recorded(ctx context.Context, keys []store.DeliveryKey) (map[uuid.UUID]store.Recorded, error)
	Interrupted(ctx context.Context, events []store.Published) ([]store.InterruptedDelivery, error)
}

// events is implemented by *store.HistoryStore.
type events interface {
	GetEvent(ctx context.Context, tenant, id string, publishedAt time.Time) (webhook.Event, error)
}

// Reader answers what happened to a delivery before, and reads the events of retries that do not carry them.
type Reader struct {
	attempts attempts
	events   events
	bus      *bus.Bus
	one      singleflight.Group
}

// NewReader returns a Reader.
func NewReader(a attempts, e events, b *bus.Bus) *Reader {
	return &Reader{attempts: a, events: e, bus: b}
}

// Certain returns what is recorded of the deliveries, once every fact that is now in the stream has reached PostgreSQL. It
// returns ErrBehind if that takes too long, and the store's error if PostgreSQL cannot be queried.
func (r *Reader) Certain(ctx context.Context, keys []store.DeliveryKey) (map[uuid.UUID]store.Recorded, error) {
	if err := r.CatchUp(ctx); err != nil {
		return nil, err
	}
	return r.Now(ctx, keys)
}

// CatchUp waits until every fact that is now in the stream has reached PostgreSQL. It returns ErrBehind if that takes too long.
func (r *Reader) CatchUp(ctx context.Context) error {
	asked := time.Now()
	for {
		began, err, _ := r.one.Do("catch up", func() (any, error) { return time.Now(), r.catchUp(ctx) })
		if at, ok := began.(time.Time); !ok || !at.Before(asked) {
			return err
		} // the result is of a call that began earlier and may not have waited for the newest facts
	}
}

// Now returns what PostgreSQL has of the deliveries at this moment. It does not wait longer than nowDeadline, even if the
// network is gone: the driver may go on reading after its context has ended.
func (r *Reader) Now(ctx context.Context, keys []store.DeliveryKey) (map[uuid.UUID]store.Recorded, error) {
	found, err := daemon.Within(ctx, nowDeadline, func(ctx context.Context) (map[uuid.UUID]store.Recorded, error) {
		return r.attempts.Recorded(ctx, keys)
	})
	if err != nil {
		return nil, fmt.Errorf("ask the ledger: %w", err)
	}
	return found, nil
}

// Interrupted returns the interrupted deliveries of the events, as far as PostgreSQL has them.
func (r *Reader) Interrupted(ctx context.Context, events []store.Published) ([]store.InterruptedDelivery, error) {
	found, err := daemon.Within(ctx, nowDeadline, func(ctx context.Context) ([]store.InterruptedDelivery, error) {
		return r.attempts.Interrupted(ctx, events)
	})
	if err != nil {
		return nil, fmt.Errorf("ask the ledger: %w", err)
	}
	return found, nil
}

func (r *Reader) catchUp(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, catchUpDeadline)
	defer cancel()
	for target := uint64(0); ; {
		lag, err := r.bus.Lag(ctx, bus.FactRecorder)
		switch {
		case err != nil && ctx.Err() != nil && target > 0: // the time limit was reached during the query
			return ErrBehind
		case err != nil:
			return fmt.Errorf("ask the ledger: %w", err)
		}
		if target == 0 {
			target = lag.Last
		}
		if lag.Done(target) {
			return nil
		}
		if !daemon.Sleep(ctx, catchUpPoll) {
			return ErrBehind
		}
	}
}

// Event reads an event whose tenant, id, sequence and time of publication are known, from the event log or else from
// PostgreSQL. The error is webhook.ErrNotFound if neither has it any more; after any other error it may be found later.
func (r *Reader) Event(ctx context.Context, of *webhook.Event) (webhook.Event, error) {
	e, err := r.logged(ctx, of)
	if err == nil {
		return e, nil
	}
	e, dbErr := r.events.GetEvent(ctx, of.Tenant, of.ID, of.PublishedAt)
	if dbErr == nil {
		return e, nil
	}
	if !errors.Is(dbErr, webhook.ErrNotFound) {
		err = dbErr
	}
	return e, fmt.Errorf("find event %s: %w", of.ID, err)
}

// logged reads the event from the event log. It compares the event with the one asked for, because an event log that was lost
// and re-created counts from 1 again: the sequence may be that of another event, even of another tenant.
func (r *Reader) logged(ctx context.Context, of *webhook.Event) (webhook.Event, error) {
	stored, err := r.bus.Event(ctx, of.Seq)
	if err != nil {
		return webhook.Event{}, err
	}
	e, err := envelope.Decode(stored)
	if err != nil || e.Tenant != of.Tenant || e.ID != of.ID || !e.PublishedAt.Equal(of.PublishedAt) {
		return webhook.Event{}, fmt.Errorf("event %d is another one: %w", of.Seq, webhook.ErrNotFound)
	}
	return e, nil
}
