// Package erase removes payloads from everywhere they are stored: PostgreSQL, the streams of events, scheduled
// retries and messages that were set aside. It serves both erasures that a person asked for and payloads whose
// retention has ended.
package erase

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/broker"
	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// claimTime is how long an erasure stays reserved for an eraser that has stopped. Another one may then repeat
	// what it began, which is harmless.
	claimTime = 30 * time.Second
	// retryAfter is the delay before an erasure that had to wait is continued.
	retryAfter = 2 * time.Second
	// patience is how long one step waits for workers and recorders.
	patience = 30 * time.Second
	poll     = 50 * time.Millisecond
)

// Eraser erases payloads. It is safe for concurrent use, also by several programs.
type Eraser struct {
	db        *store.ErasureStore
	retention *store.RetentionStore
	bus       func() (*bus.Bus, error)
	// since returns the value for envelope.Published.SourcesSince.
	since   func(context.Context) (time.Time, error)
	keys    *store.AccessStore
	metrics *Metrics
	log     *zap.Logger
}

// New returns an eraser. It calls find whenever it needs the bus, because NATS may not be connected yet.
func New(db *store.DB, find func() (*bus.Bus, error), m *Metrics, log *zap.Logger) *Eraser {
	return &Eraser{db: db.Erasures, retention: db.Retention, bus: find, since: db.Ledger.SourcesSince, keys: db.Access, metrics: m, log: log}
}

// waitError says that the erasure has to wait and is continued later.
type waitError struct{ detail string }

func (e *waitError) Error() string { return e.detail }

// Step performs one step of the erasure that is due first, and reports whether one was due.
func (r *Eraser) Step(ctx context.Context) (worked bool, err error) {
	e, due, err := r.db.Claim(ctx, claimTime)
	if err != nil || !due {
		return false, err
	}
	b, err := r.bus()
	if err == nil {
		keep := r.keep(ctx, &e)
		err = r.step(ctx, b, &e)
		keep()
	}
	var wait *waitError
	switch {
	case err == nil:
		return true, r.db.Wait(ctx, &e, 0, "")
	case errors.As(err, &wait):
		return true, r.db.Wait(ctx, &e, retryAfter, wait.detail)
	case errors.Is(err, store.ErrBusy):
		return true, r.db.Wait(ctx, &e, retryAfter, "It waits for another erasure of the same events.")
	}
	r.metrics.failures.Inc()
	if errors.Is(err, store.ErrPath) || e.Kind == store.ErasePath && errors.Is(err, store.ErrSlow) {
		return true, r.db.Fail(ctx, &e, "The path cannot be evaluated: "+err.Error()+".")
	}
	return true, errors.Join(err, r.db.Wait(context.WithoutCancel(ctx), &e, retryAfter, "The last step failed, and is repeated: "+err.Error()+"."))
}

// keep renews the claim on an erasure until end is called.
func (r *Eraser) keep(ctx context.Context, e *store.Erasure) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var keeping sync.WaitGroup
	keeping.Go(func() {
		for daemon.Sleep(ctx, claimTime/3) {
			if err := r.db.Keep(ctx, e, claimTime); err != nil && ctx.Err() == nil {
				r.log.Warn("failed to keep an erasure: another program may do the same", zap.Stringer("erasure_id", e.ID), zap.Error(err))
			}
		}
	})
	return func() {
		cancel()
		keeping.Wait()
	}
}

func (r *Eraser) step(ctx context.Context, b *bus.Bus, e *store.Erasure) error {
	if !e.Began() { // events published before the erasure was requested must be in the ledger or set aside
		if err := r.settled(ctx, b, bus.Fanout, bus.OwnFanout); err != nil { // the fan-out decides which messages are rejected
			return err
		}
		if err := r.recorded(ctx, b); err != nil {
			return err
		}
		if err := r.aside(ctx, b, e); err != nil {
			return err
		}
	}
	pending, err := r.db.Pending(ctx, &e.ID)
	if err != nil {
		return err
	}
	if len(pending) > 0 {
		return r.batch(ctx, b, &e.ID, e.Owner, pending)
	}
	if e.State != store.JobRunning {
		return nil
	}
	if !e.Listed {
		return r.db.Look(ctx, e)
	}
	rejected, more, err := r.db.Rejected(ctx, e)
	switch {
	case err != nil:
		return err
	case !more:
		return r.complete(ctx, e)
	}
	w := newWork(b, nil)
	if err := w.stored(ctx, rejected); err != nil {
		return err
	}
	return r.db.EraseRejected(ctx, e, rejected, w.counts)
}

// recorded returns when everything that is in the streams now is recorded in PostgreSQL.
func (r *Eraser) recorded(ctx context.Context, b *bus.Bus) error {
	return r.settled(ctx, b, bus.EventRecorder, bus.OwnRecorder, bus.FactRecorder)
}

// settled waits for the consumers, one after the other, until each has settled what was in its stream when asked.
func (r *Eraser) settled(ctx context.Context, b *bus.Bus, consumers ...bus.Consumer) error {
	for _, c := range consumers {
		lag, err := b.Lag(ctx, c)
		if err != nil {
			return err
		}
		target := lag.Last
		err = until(ctx, "It waits for the workers, which are behind ("+string(c)+").", func() (bool, error) {
			if lag.Done(target) {
				return true, nil
			}
			lag, err = b.Lag(ctx, c)
			return false, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// until returns when done returns true. After patience it returns a *waitError.
func until(ctx context.Context, detail string, done func() (bool, error)) error {
	for began := time.Now(); ; {
		ok, err := done()
		switch {
		case err != nil || ok:
			return err
		case time.Since(began) > patience:
			return &waitError{detail}
		case !daemon.Sleep(ctx, poll):
			return ctx.Err()
		}
	}
}

// batch erases events that are marked as to be erased. First, all workers must know about them.
func (r *Eraser) batch(ctx context.Context, b *bus.Bus, erasure *uuid.UUID, by store.Actor, events []store.EventKey) error {
	barrier, err := r.db.Barrier(ctx)
	if err != nil {
		return err
	}
	err = until(ctx, "It waits until all workers know.", func() (bool, error) {
		return r.db.Known(ctx, events, barrier)
	})
	if err != nil {
		return err
	}
	if !daemon.Sleep(ctx, broker.PublishDeadline) { // after that, what a worker published just before it knew is either stored or lost
		return ctx.Err()
	}
	if err := r.recorded(ctx, b); err != nil {
		return err
	}
	traces, err := r.db.TracesOf(ctx, events)
	if err != nil {
		return err
	}
	callbacks, err := r.db.Callbacks(ctx, traces.Retries)
	if err != nil {
		return err
	}
	if err := r.db.Mark(ctx, erasure, by, callbacks); err != nil { // callbacks become a batch of their own
		return err
	}
	rows, err := r.db.EraseRows(ctx, events)
	if err != nil {
		return err
	}
	w := newWork(b, events)
	w.add("postgresql_events", rows.Events)
	w.add("postgresql_deliveries", rows.Deliveries)
	w.add("postgresql_attempts", rows.Attempts)
	w.add("deliveries_ended", rows.Ended)
	w.add("rejected_events", rows.Rejected)
	if err := w.streams(ctx, traces); err != nil {
		return err
	}
	if err := r.db.Finish(ctx, erasure, events, w.counts); err != nil {
		return err
	}
	r.metrics.erased(erasure, len(events))
	return nil
}

// aside erases matching events that are set aside. They were not recorded, so they can only be found here.
func (r *Eraser) aside(ctx context.Context, b *bus.Bus, e *store.Erasure) error {
	since, err := r.since(ctx)
	if err != nil {
		return err
	}
	w := newWork(b, nil)
	var ids []store.EventKey
	counts, err := b.Aside().Erase(ctx, func(a *bus.SetAside) (bool, error) {
		if a.Tenant != e.Tenant || a.PublishedAt.Before(e.Range.From) || !a.PublishedAt.Before(e.Range.To) {
			return false, nil
		}
		event, err := envelope.Decode(envelope.Published{
			Tenant: a.Tenant, Type: a.Type, Headers: a.Headers, Body: a.Data, Ours: a.Ours, Seq: a.Origin, PublishedAt: a.PublishedAt, SourcesSince: since,
		})
		if err != nil {
			return false, nil //nolint:nilerr // it is no event
		}
		is, err := r.isOf(ctx, e, &event)
		if err != nil || !is {
			return false, err
		}
		ids = append(ids, store.EventKey{Tenant: e.Tenant, ID: event.ID})
		if err := r.db.Mark(ctx, &e.ID, e.Owner, ids[len(ids)-1:]); err != nil {
			return false, err
		}
		return true, w.stored(ctx, []store.Stored{{Seq: a.Origin, At: a.PublishedAt}}) // no table knows its place in the stream
	}, func(batch *whispererv1.LedgerBatch) (bool, error) { return r.rejected(ctx, w, e, batch) })
	if err != nil {
		return err
	}
	for became, n := range counts {
		w.note("setaside", became, n)
	}
	if len(w.counts) == 0 {
		return nil
	}
	return r.db.AddPlaces(ctx, e, w.counts)
}

// rejected removes matching rejected events from a batch of facts, and reports whether there were any.
func (r *Eraser) rejected(ctx context.Context, w *work, e *store.Erasure, batch *whispererv1.LedgerBatch) (found bool, err error) {
	for _, j := range batch.GetRejected() {
		at := time.Unix(0, j.GetPublishedAt())
		if j.GetTenant() != e.Tenant || at.Before(e.Range.From) || !at.Before(e.Range.To) {
			continue
		}
		is, err := r.db.Names(ctx, e, j)
		if err != nil {
			return false, err
		}
		if is {
			found = true
			j.Raw, j.Headers, j.Detail = nil, nil, ""
			if err := w.stored(ctx, []store.Stored{{Seq: webhook.Sequence(j.GetSeq()), At: at.UTC()}}); err != nil {
				return false, err
			}
		}
	}
	return found, nil
}

// isOf reports whether an event matches an erasure.
func (r *Eraser) isOf(ctx context.Context, e *store.Erasure, event *webhook.Event) (bool, error) {
	switch e.Kind {
	case store.EraseIDs:
		return slices.Contains(e.Criteria, event.ID), nil
	case store.EraseEntity:
		return event.Entity == e.Criteria[0], nil
	case store.ErasePath:
		return r.db.MatchesPath(ctx, e.Criteria[0], event.Data)
	}
	return false, nil
}
