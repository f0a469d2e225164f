// Package deliver makes one attempt of a due delivery and moves it to its next state: delivered, dead, waiting for its next attempt,
// or parked. It reports a delivery as settled when that state is durable.
package deliver

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/limiter"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/erase"
	"github.com/whisperer-oms/whisperer/services/internal/trace"
)

// ErrNotSettled is returned when the outcome of a delivery could not be made durable, so that its message has to be delivered again.
var ErrNotSettled = errors.New("delivery is not settled")

// sender makes HTTP requests. cancelled reports that the request was abandoned because the worker is ending.
type sender interface {
	Send(ctx context.Context, due *webhook.Due, bodies *envelope.Bodies) (attempt *whispererv1.AttemptFact, result webhook.Result, cancelled bool)
	// SendBatch makes one request for several deliveries, and returns the outcome of each.
	SendBatch(ctx context.Context, dues []*webhook.Due, bodies []*envelope.Bodies) (attempts []*whispererv1.AttemptFact, results []webhook.Result, cancelled bool)
}

// overhead is roughly the memory of a waiting delivery without its event's data, in bytes.
const overhead = 2 << 10

// errFailed tells the limiter that the receiver failed; the ledger has the details.
var errFailed = errors.New("receiver failed")

// clock is implemented by *bus.Bus.
type clock interface {
	// Time converts a time of this machine to the bus's clock, which times retries and is the same for all workers.
	Time(ours time.Time) time.Time
	// Stopped reports whether this process was suspended since the given time for so long that another worker may have the delivery.
	Stopped(since time.Time) bool
}

// facts is implemented by *ledger.Writer.
type facts interface {
	Fact(f *whispererv1.DeliveryFact, stored func())
}

// operator is notified of what people may want to know.
type operator interface {
	// Disable disables a hook whose receiver wants no more webhooks.
	Disable(hook *webhook.Hook, reason string)
	// OnDead is called for a delivery that is not retried any more, with the number of its attempts.
	OnDead(due *webhook.Due, reason webhook.Reason, attempts int, result webhook.Result)
	// Notify sends the hook's callback for an outcome; the attempt is nil if the state is not the result of one.
	Notify(ctx context.Context, due *webhook.Due, state webhook.DeliveryState, reason webhook.Reason, attempt *whispererv1.AttemptFact) error
}

// observer counts outcomes; all its methods are cheap.
type observer interface {
	Attempted(due *webhook.Due, result webhook.Result, state webhook.DeliveryState, took, lag time.Duration)
	Parked(reason webhook.Reason)
	// Batched is called for each request that contains a batch.
	Batched()
}

// Deps are a Deliverer's collaborators; all are required.
type Deps struct {
	Sender sender
	// Enter passes an attempt through its hook's limiter, without blocking.
	Enter func(limiter.Attempt)
	Clock clock
	// Schedule stores a retry that is due at a time.
	Schedule func(ctx context.Context, due time.Time, retry *whispererv1.Retry) error
	Facts    facts
	Operator operator
	// Erased reports whether the event's payload is erased, or being erased: it must not be sent or published any more.
	Erased func(e *webhook.Event) bool
	// Stale reports whether other workers may no longer wait for this one to learn of changes, such as the erasure of an event.
	// Retries are then stored without the event, so that whoever reads the event later finds it erased.
	Stale    func() bool
	Observer observer
	Log      *zap.Logger
	// MaxPayload is the size of the largest message that the bus accepts, in bytes.
	MaxPayload int
}

// Deliverer makes attempts and carries out their consequences.
type Deliverer struct {
	Deps
	// ctx ends when attempts in progress have to be abandoned.
	ctx context.Context //nolint:containedctx // the life of the attempts, not of a call
}

// New returns a Deliverer whose attempts are abandoned when ctx ends.
func New(ctx context.Context, d Deps) *Deliverer { return &Deliverer{Deps: d, ctx: ctx} }

// Deliver moves the delivery to its next state, on other goroutines. settled is called once, with nil when the outcome is durable, or
// with ErrNotSettled. slow, if not nil, is called once if the attempt has to wait or takes long.
func (d *Deliverer) Deliver(due webhook.Due, bodies *envelope.Bodies, settled func(error), slow func()) {
	entered := time.Now()
	d.Enter(limiter.Attempt{
		Hook: due.Hook, Size: len(due.Event.Data) + overhead, Slow: slow, Retry: due.Attempts > 0,
		Run: func() error {
			if d.Clock.Stopped(entered) { // this process was suspended while the attempt waited for a slot
				settled(ErrNotSettled)
				return context.Canceled
			}
			_, err := d.attempt(&due, bodies, settled)
			return err
		},
		Park: func(reason webhook.Reason) { d.Park(&due, reason, settled) },
	})
}

// Drain makes the next attempt of a parked delivery and returns the resulting state, before that is durable; settled is called when
// it is, as in Deliver. If the hook cannot take the attempt, or if may, called right before the request, returns false, the delivery
// stays unchanged, settled is not called, and the state is Parked. Drain blocks until the receiver has responded.
func (d *Deliverer) Drain(due webhook.Due, bodies *envelope.Bodies, may func() bool, settled func(error)) webhook.DeliveryState {
	answered := make(chan webhook.DeliveryState, 1)
	d.Enter(limiter.Attempt{
		Hook: due.Hook, Drain: true, Retry: due.Attempts > 0,
		Run: func() error {
			if !may() { // the lease may have been lost while the attempt waited for a slot
				answered <- webhook.Parked
				return context.Canceled
			}
			state, err := d.attempt(&due, bodies, settled)
			answered <- state
			return err
		},
		Park: func(webhook.Reason) { answered <- webhook.Parked },
	})
	return <-answered
}

// Park records that the delivery waits for its hook.
func (d *Deliverer) Park(due *webhook.Due, reason webhook.Reason, settled func(error)) {
	config := &due.Hook.Config
	if _, drained := config.Drained(); drained && (due.Attempts == 0 && !config.OnlyRate() || due.Attempts > 0 && config.ParksRetries()) {
		due.Unknown = false // only the drainer attempts it from now on, and the parked queue knows the number of attempts
	}
	d.Observer.Parked(reason)
	d.Finish(due, webhook.Parked, reason, settled)
}

// Finish records a state that a delivery gets without an attempt. If an attempt of unknown outcome precedes it, Finish records
// that too. It does not block.
func (d *Deliverer) Finish(due *webhook.Due, state webhook.DeliveryState, reason webhook.Reason, settled func(error)) {
	var before *whispererv1.AttemptFact
	if due.Unknown {
		before = d.unknownAttempt(due)
	}
	record := func() {
		f := d.fact(due, state, reason)
		f.Attempt = before
		d.Facts.Fact(f, func() { settled(nil) })
	}
	if !due.Hook.Callback.Wants(state) {
		record()
		return
	}
	go func() {
		if !d.notify(due, state, reason, nil) {
			settled(ErrNotSettled)
			return
		}
		record()
	}()
}

// notify sends the hook's callback for an outcome, and retries until it succeeds; it returns false if the worker is ending. It comes
// before the record: notifying twice causes the same callback, but not notifying would cause none.
func (d *Deliverer) notify(due *webhook.Due, state webhook.DeliveryState, reason webhook.Reason, attempt *whispererv1.AttemptFact) bool {
	return !due.Hook.Callback.Wants(state) || d.retryUntilStopped("callback could not be published", due, func() error {
		if d.Erased(due.Event) { // check before each try: the event may have been erased since the request
			erase.Strip(attempt)
		}
		return d.Operator.Notify(d.ctx, due, state, reason, attempt)
	})
}

// retryUntilStopped retries until it succeeds; it returns false if the worker is ending.
func (d *Deliverer) retryUntilStopped(failure string, due *webhook.Due, try func() error) bool {
	return daemon.Until(d.ctx, 500*time.Millisecond, try, func(err error) {
		d.Log.Warn(failure, trace.Delivery(due), zap.Error(err))
	})
}

// attempt makes one request and carries out the consequences; the error is for the limiter.
func (d *Deliverer) attempt(due *webhook.Due, bodies *envelope.Bodies, settled func(error)) (webhook.DeliveryState, error) {
	started := time.Now()
	if due.Unknown && !d.unknown(due) {
		settled(ErrNotSettled)
		return webhook.Parked, context.Canceled
	}
	if end := d.unwanted(due, started); end != nil {
		end(settled)
		return webhook.Dead, context.Canceled
	}
	begin(&due.Round, due.ParkedAt, d.Clock.Time(started))
	attempt, result, cancelled := d.Sender.Send(d.ctx, due, bodies)
	if cancelled || !result.Success() && d.Clock.Stopped(started) { // the receiver may have answered in time, unread
		settled(ErrNotSettled)
		return webhook.Parked, context.Canceled
	}
	return d.conclude(due, answer{attempt, result, started, time.Now(), rand.Float64()}, d.decide, settled) //nolint:gosec // jitter
}

// unwanted returns the function that ends a delivery which must not be sent any more, or nil if it may be sent.
func (d *Deliverer) unwanted(due *webhook.Due, now time.Time) (end func(settled func(error))) {
	switch {
	case d.Erased(due.Event):
		return func(settled func(error)) {
			d.Facts.Fact(d.fact(due, webhook.Dead, webhook.ReasonErased), func() { settled(nil) })
		}
	case due.Expired(d.Clock.Time(now)):
		return func(settled func(error)) {
			d.onDead(due, webhook.ReasonExpired, due.Attempts, webhook.Result{})
			d.Finish(due, webhook.Dead, webhook.ReasonExpired, settled)
		}
	}
	return nil
}

// answer is the result of an attempt.
type answer struct {
	attempt        *whispererv1.AttemptFact
	result         webhook.Result
	started, ended time.Time
	// random determines the jitter of the retry.
	random float64
}

// decide returns the state that follows from an answer, according to the hook's retry schedule.
func (d *Deliverer) decide(due *webhook.Due, a *answer) webhook.Decision {
	var countdown webhook.Countdown // a success does not need it
	if !a.result.Success() {
		countdown = due.Hook.Countdown()
	}
	return webhook.Decide(countdown, due.Hook.Config.StopOn, due.Round, a.result, d.Clock.Time(a.ended), a.random)
}

// conclude carries out the consequences of an answer; the error is for the limiter.
func (d *Deliverer) conclude(due *webhook.Due, a answer, decide func(*webhook.Due, *answer) webhook.Decision, settled func(error)) (webhook.DeliveryState, error) {
	decision := decide(due, &a)
	d.Observer.Attempted(due, a.result, decision.State, a.ended.Sub(a.started), firstLag(due, a.started))
	d.log(due, a.result, decision, a.ended.Sub(a.started))
	if decision.State == webhook.Dead {
		d.onDead(due, decision.Reason, due.Attempts+1, a.result)
	}
	if decision.DisableHook {
		d.Operator.Disable(due.Hook, "The receiver answered 410 Gone.")
	}
	if decision.State == webhook.Waiting && !d.schedule(due, &decision) {
		settled(ErrNotSettled)
		return webhook.Parked, context.Canceled
	}
	if !d.notify(due, decision.State, decision.Reason, a.attempt) {
		settled(ErrNotSettled)
		return webhook.Parked, context.Canceled
	}
	if d.Erased(due.Event) {
		erase.Strip(a.attempt)
	}
	f := d.fact(due, decision.State, decision.Reason)
	f.Attempts++
	if decision.State != webhook.Parked { // a batch that was too large does not use up a retry
		f.RoundAttempts++
	}
	f.NextAt, f.Attempt = nanos(decision.NextAt), a.attempt
	d.Facts.Fact(f, func() { settled(nil) })
	switch {
	case a.result.Success():
		return decision.State, nil
	case !a.result.Class.Asked(), decision.State == webhook.Parked: // no request was made, or the batch was too large
		return decision.State, context.Canceled
	}
	return decision.State, errFailed
}

// begin starts a round of attempts, or continues it after its delivery was parked: time spent parked does not count for the schedule.
func begin(round *webhook.Round, parkedAt, now time.Time) {
	switch {
	case round.StartedAt.IsZero():
		round.StartedAt = now
	case !parkedAt.IsZero() && parkedAt.Before(now):
		round.StartedAt = round.StartedAt.Add(now.Sub(parkedAt))
	}
}

// onDead reports a dead delivery, except one of an operational event, because the report would cause another such delivery.
func (d *Deliverer) onDead(due *webhook.Due, reason webhook.Reason, attempts int, result webhook.Result) {
	if !webhook.IsOperational(due.Event.Type) {
		d.Operator.OnDead(due, reason, attempts, result)
	}
}

// firstLag is the time from the event's publication to the start of its first attempt, 0 for later attempts.
func firstLag(due *webhook.Due, started time.Time) time.Duration {
	if due.Attempts > 0 || due.Replay {
		return 0
	}
	return started.Sub(due.Event.PublishedAt)
}

// unknown records an attempt that may have been made. The next attempt gets the following number, and the retry schedule is not
// shortened. unknown returns once the record is durable: if this worker dies during the next attempt, its successor must know
// of both. It returns false if the worker is ending.
func (d *Deliverer) unknown(due *webhook.Due) bool {
	attempt := d.unknownAttempt(due)
	f := d.fact(due, webhook.Waiting, webhook.ReasonUnknown)
	f.Attempt = attempt
	stored := make(chan struct{})
	d.Facts.Fact(f, func() { close(stored) })
	select {
	case <-stored:
		return true
	case <-d.ctx.Done():
		return false
	}
}

// unknownAttempt counts an attempt that may have been made, and returns the record of it.
func (d *Deliverer) unknownAttempt(due *webhook.Due) *whispererv1.AttemptFact {
	due.Attempts++
	due.Unknown = false
	return &whispererv1.AttemptFact{
		Number: uint32(due.Attempts), StartedAt: d.Clock.Time(time.Now()).UnixNano(), Outcome: string(webhook.Unknown), //nolint:gosec // small
		Method: due.Hook.Config.Method, Url: due.Hook.TargetURL, Error: "The worker ended before it could tell what the receiver answered.",
	}
}

// log writes an attempt's log line. Successes are logged at debug level, because they are the normal case and are recorded
// anyway.
func (d *Deliverer) log(due *webhook.Due, result webhook.Result, decision webhook.Decision, took time.Duration) {
	level := zap.InfoLevel
	if result.Success() {
		level = zap.DebugLevel
	}
	entry := d.Log.Check(level, "delivery attempted")
	if entry == nil {
		return
	}
	entry.Write(
		trace.Delivery(due),
		zap.String("event_type", due.Event.Type), zap.Int("attempt", due.Attempts+1), zap.String("outcome", string(decision.State)),
		zap.String("reason", string(decision.Reason)), zap.Int("status_code", result.Status),
		zap.String("error_class", string(result.Class)), zap.Duration("duration", took), zap.Time("next_at", decision.NextAt))
}

// schedule stores the next retry, and retries until it succeeds. If the event is erased, it changes the decision to dead
// instead. It returns false if the worker is ending.
func (d *Deliverer) schedule(due *webhook.Due, decision *webhook.Decision) bool {
	return d.retryUntilStopped("retry could not be scheduled", due, func() error {
		if d.Erased(due.Event) { // check before each try: an erasure waits only for a publish that is under way
			decision.State, decision.Reason, decision.NextAt = webhook.Dead, webhook.ReasonErased, time.Time{}
			return nil
		}
		return d.Schedule(d.ctx, decision.NextAt, d.retry(due, decision.NextAt))
	})
}

// room is the size that a retry's message may need in addition to its event, in bytes.
const room = 4 << 10

func (d *Deliverer) retry(due *webhook.Due, nextAt time.Time) *whispererv1.Retry {
	e := due.Event
	r := &whispererv1.Retry{
		DeliveryId: due.ID[:], HookId: due.Hook.ID[:], Tenant: e.Tenant,
		Attempts: uint32(due.Attempts + 1), RoundAttempts: uint32(due.Round.Retries + 1), //nolint:gosec // small
		RoundStartedAt: due.Round.StartedAt.UnixNano(), DueAt: nextAt.UnixNano(), Replay: due.Replay,
		EventSeq: uint64(e.Seq), PublishedAt: e.PublishedAt.UnixNano(), EventId: e.ID,
	}
	if !d.Stale() && len(e.Data)+len(e.Context)+len(e.ConfigFilter)+room <= d.MaxPayload {
		r.Event = envelope.ToProto(e)
	}
	return r
}

// fact returns the ledger's fact for a delivery, without an attempt. Its time decides which of two facts after the same attempt is
// newer, perhaps from two workers, so all use the same clock.
func (d *Deliverer) fact(due *webhook.Due, state webhook.DeliveryState, reason webhook.Reason) *whispererv1.DeliveryFact {
	e := due.Event
	return &whispererv1.DeliveryFact{
		DeliveryId: due.ID[:], HookId: due.Hook.ID[:], Tenant: e.Tenant, EventId: e.ID, EventType: e.Type, Entity: e.Entity,
		PublishedAt: e.PublishedAt.UnixNano(), State: string(state), Reason: string(reason), Attempts: uint32(due.Attempts), //nolint:gosec // small
		At: d.Clock.Time(time.Now()).UnixNano(), Replay: due.Replay, EventSeq: uint64(e.Seq), RoundAttempts: uint32(due.Round.Retries), //nolint:gosec // small
		RoundStartedAt: nanos(due.Round.StartedAt), First: due.First,
	}
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
