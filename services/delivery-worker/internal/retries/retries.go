// Package retries takes due retries from the RETRIES stream and makes the next attempts of their deliveries.
package retries

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/index"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/ledger"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/trace"
)

// batch is the number of due retries that one query to the ledger looks up.
const batch = 64

// deliverer makes the attempts.
type deliverer interface {
	Deliver(due webhook.Due, bodies *envelope.Bodies, settled func(error), slow func())
	Park(due *webhook.Due, reason webhook.Reason, settled func(error))
	Finish(due *webhook.Due, state webhook.DeliveryState, reason webhook.Reason, settled func(error))
}

// own publishes events that had to wait for room in the OWN stream.
type own interface {
	Again(ctx context.Context, deferred *whispererv1.Retry) error
}

// Deps are a Retries' collaborators; all are required.
type Deps struct {
	Hooks     *index.Index
	Deliverer deliverer
	History   *ledger.Reader
	Bus       *bus.Bus
	Own       own
	// FanOut fans out a postponed event, and settles its message.
	FanOut func(ctx context.Context, m *bus.Message, e *webhook.Event)
	Log    *zap.Logger
	// Slots bounds the retries in progress that neither wait for their hook nor are slow.
	Slots int
}

// Retries makes the attempts that are due.
type Retries struct {
	Deps
	slots chan struct{}
	open  sync.WaitGroup // retries taken and not yet settled
}

// New returns a Retries.
func New(d Deps) *Retries { return &Retries{Deps: d, slots: make(chan struct{}, d.Slots)} }

// taken is a due retry that was decoded.
type taken struct {
	msg   *bus.Message
	retry *whispererv1.Retry
	key   store.DeliveryKey
	hook  uuid.UUID
}

// Run makes due attempts until the subscription has ended, then waits until all of them are settled. When ctx ends, they are
// abandoned.
func (r *Retries) Run(ctx context.Context, sub *bus.Subscription) {
	var messages []bus.Message
	for more := true; more; {
		messages, more = sub.TakeBatch(ctx, messages, batch)
		r.take(ctx, messages)
	}
	r.open.Wait()
}

func (r *Retries) take(ctx context.Context, messages []bus.Message) {
	var fresh []taken
	var keys []store.DeliveryKey
	older := false
	for i := range messages {
		m := messages[i] // a copy: the slice is reused before the message is settled
		t, err := read(&m)
		if err != nil { // this program wrote it, so this is a bug that no redelivery fixes
			r.Log.Error("failed to decode retry", zap.Uint64("seq", m.Seq), zap.String("subject", m.Subject), zap.Error(err))
			m.Settle(nil)
			continue
		}
		r.open.Add(1)
		switch {
		case t.hook == uuid.Nil && t.retry.GetEvent() != nil: // not a delivery: an event of our own that waits to be published
			go r.publish(ctx, t)
		case t.hook == uuid.Nil: // not a delivery: an event that was postponed
			go r.fanOut(ctx, t)
		case m.Redelivered(), slices.ContainsFunc(keys, func(k store.DeliveryKey) bool { return k.ID == t.key.ID }): // another event with this id
			go r.resume(ctx, t)
		default:
			fresh, keys, older = append(fresh, t), append(keys, t.key), older || m.Older
		}
	}
	if len(fresh) == 0 {
		return
	}
	if older { // the facts about earlier attempts may not be recorded yet
		if err := r.History.CatchUp(ctx); err != nil {
			r.Log.Warn("due retries are looked up in a ledger that lags", zap.Int("retries", len(fresh)), zap.Error(err))
		}
	}
	recorded, err := r.History.Now(ctx, keys)
	if err != nil { // go on: this message is the retry's only copy, and the ledger rarely changes what happens
		r.Log.Warn("failed to look up due retries", zap.Int("retries", len(fresh)), zap.Error(err))
	}
	for _, t := range fresh {
		before, known := recorded[t.key.ID]
		r.slots <- struct{}{}
		go r.handle(ctx, t, before, known, sync.OnceFunc(func() { <-r.slots }))
	}
}

func read(m *bus.Message) (taken, error) {
	var retry whispererv1.Retry
	if err := proto.Unmarshal(m.Data, &retry); err != nil {
		return taken{}, fmt.Errorf("decode retry: %w", err)
	}
	id, idErr := uuid.FromBytes(retry.GetDeliveryId())
	hook, hookErr := uuid.FromBytes(retry.GetHookId())
	if err := errors.Join(idErr, hookErr); err != nil {
		return taken{}, fmt.Errorf("read ids: %w", err)
	}
	key := store.DeliveryKey{ID: id, PublishedAt: time.Unix(0, retry.GetPublishedAt()).UTC()}
	return taken{msg: m, retry: &retry, key: key, hook: hook}, nil
}

// resume handles a retry that another worker may have handled before. It waits for the ledger's answer.
func (r *Retries) resume(ctx context.Context, t taken) {
	for {
		recorded, err := r.History.Certain(ctx, []store.DeliveryKey{t.key})
		if err == nil {
			before, known := recorded[t.key.ID]
			r.handle(ctx, t, before, known, func() {})
			return
		}
		r.Log.Warn("redelivered retry waits for the ledger", zap.Stringer("delivery_id", t.key.ID), zap.String("event_id", t.retry.GetEventId()),
			trace.ID(t.retry.GetEvent().GetTraceparent()), zap.Error(err))
		if !daemon.Sleep(ctx, time.Second) || t.msg.Crowds() { // waiting retries take the room of others that could go on
			r.settle(t, err)
			return
		}
	}
}

// handle makes the attempt, unless the ledger has it already or the delivery no longer needs it.
func (r *Retries) handle(ctx context.Context, t taken, before store.Recorded, known bool, release func()) {
	done := func(err error) {
		release()
		r.settle(t, err)
	}
	switch {
	case known && before.State.Final() && (!t.retry.GetReplay() || before.Reason == webhook.ReasonErased):
		done(nil)
		return
	case known && before.State == webhook.Parked && before.Attempts >= int(t.retry.GetAttempts()):
		done(nil) // it was parked after this retry was scheduled: the drainer makes the attempt
		return
	case known && before.Attempts > int(t.retry.GetAttempts()) && !before.Interrupted():
		done(r.reschedule(ctx, t, before))
		return
	}
	event, err := r.event(ctx, t)
	gone := errors.Is(err, webhook.ErrNotFound)
	if err != nil && !gone {
		done(err)
		return
	}
	due := webhook.Due{
		ID: t.key.ID, Event: &event, Attempts: int(t.retry.GetAttempts()), Replay: t.retry.GetReplay(),
		Round: webhook.Round{
			Retries: int(t.retry.GetRoundAttempts()), StartedAt: time.Unix(0, t.retry.GetRoundStartedAt()).UTC(), PublishedAt: t.key.PublishedAt,
		},
		Unknown: t.msg.Redelivered(),
	}
	if known && before.Interrupted() {
		due.Attempts = max(due.Attempts, before.Attempts)
	}
	due.Hook = r.Hooks.Get(t.hook)
	switch {
	case due.Hook == nil || due.Hook.Status == webhook.Disabled: // as far as this worker's index knows: the database decides
		due.Hook = &webhook.Hook{ID: t.hook}
		r.Deliverer.Park(&due, webhook.ReasonHookUnknown, done)
	case gone: // no redelivery finds it
		r.Deliverer.Finish(&due, webhook.Dead, webhook.ReasonPayloadGone, done)
	default:
		r.Deliverer.Deliver(due, envelope.NewBodies(&event), done, release)
	}
}

// reschedule makes sure that the retry after a recorded attempt exists, because the worker that made the attempt may have died
// before it scheduled the retry.
func (r *Retries) reschedule(ctx context.Context, t taken, before store.Recorded) error {
	if before.State != webhook.Waiting || before.NextAt.IsZero() {
		return nil
	}
	scheduled, err := r.Bus.Retries().Scheduled(ctx, t.hook, t.key.ID, t.key.PublishedAt)
	if err != nil || scheduled {
		return err
	}
	next := proto.CloneOf(t.retry)
	made := uint32(before.Attempts) - next.GetAttempts() //nolint:gosec // small
	next.Attempts += made
	next.RoundAttempts += made
	next.DueAt = before.NextAt.UnixNano()
	return r.Bus.Retries().Schedule(ctx, before.NextAt, next)
}

// event returns the event of a retry. A retry contains its event, unless that is too large or may have been erased; then event
// reads it again. On an error it returns what the retry says about the event.
func (r *Retries) event(ctx context.Context, t taken) (webhook.Event, error) {
	if e := t.retry.GetEvent(); e != nil {
		return envelope.FromProto(e, t.retry.GetTenant(), webhook.Sequence(t.retry.GetEventSeq()), t.key.PublishedAt), nil
	}
	known := webhook.Event{
		ID: t.retry.GetEventId(), Tenant: t.retry.GetTenant(), Seq: webhook.Sequence(t.retry.GetEventSeq()), PublishedAt: t.key.PublishedAt,
	}
	e, err := r.History.Event(ctx, &known)
	if err != nil {
		return known, err
	}
	return e, nil
}

// publish publishes an event of our own for which there was no room before.
func (r *Retries) publish(ctx context.Context, t taken) { r.settle(t, r.Own.Again(ctx, t.retry)) }

// fanOut fans out a postponed event.
func (r *Retries) fanOut(ctx context.Context, t taken) {
	event, err := r.event(ctx, t)
	switch {
	case err == nil:
		t.msg.OnSettled(r.open.Done)
		r.FanOut(ctx, t.msg, &event)
	case errors.Is(err, webhook.ErrNotFound): // no redelivery finds it
		r.Log.Error("postponed event has expired and is not fanned out", zap.String("event_id", t.retry.GetEventId()),
			trace.ID(t.retry.GetEvent().GetTraceparent()), zap.Error(err))
		r.settle(t, nil)
	default:
		r.settle(t, err)
	}
}

func (r *Retries) settle(t taken, err error) {
	if err != nil {
		r.Log.Warn("retry returned for redelivery", zap.Stringer("delivery_id", t.key.ID), zap.String("event_id", t.retry.GetEventId()),
			trace.ID(t.retry.GetEvent().GetTraceparent()), zap.Error(err))
	}
	t.msg.Settle(err)
	r.open.Done()
}
