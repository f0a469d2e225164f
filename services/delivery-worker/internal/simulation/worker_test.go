package simulation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/deliver"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/drainer"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/fanout"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/index"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/ledger"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/limiter"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/missed"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/recorder"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/retries"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/schema"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// worker is the production code of one process, connected to the simulated systems.
type worker struct {
	*world

	name string
	// dead means that the process has crashed and its calls have no effect. away means that it cannot reach the database, stale
	// that it does not learn of changes.
	dead, away, stale atomic.Bool

	mu     sync.Mutex
	throws map[string]uint64
	faults []time.Time

	snapshot int
	asked    time.Time // when the last successful poll began
	wake     chan struct{}
	refresh  chan chan struct{}

	index   *index.Index
	limiter *limiter.Limiter
	drain   *drainer.Drainer
	missed  *missed.Closer
	ended   chan struct{} // closed when all parts have ended
	subs    []*bus.Subscription
	halt    chan struct{} // closed to begin a shutdown
	once    sync.Once
}

// kind is the system that a call goes to, and whether the call changes something there.
type kind int

const (
	toBus kind = iota
	askBus
	toDatabase
	askDatabase
)

var (
	errDead  = errors.New("the worker is dead")
	errFault = errors.New("the call failed")
)

// call makes one request of the worker to a simulated system. The request takes time, may fail before or after its effect, and
// the worker may crash right after it.
func (w *worker) call(ctx context.Context, k kind, what string, effect func() error) error {
	if w.dead.Load() {
		return w.afterlife(k)
	}
	luck := w.throw(what)
	if err := w.pass(ctx, luck.time(w.chance.slow)); err != nil {
		return err
	}
	switch {
	case w.dead.Load():
		return w.afterlife(k)
	case k >= toDatabase && w.away.Load(), luck.happens(w.chance.fail):
		w.fault()
		w.trace("%s: %s fails", w.name, what)
		return errFault
	}
	err := effect()
	if k == toBus || k == toDatabase {
		w.trace("%s: %s", w.name, what)
		if luck.happens(w.chance.crash) {
			w.die("after " + what)
			return w.afterlife(k)
		}
	}
	if luck.happens(w.chance.lose) {
		w.fault()
		w.trace("%s: the answer to %s is lost", w.name, what)
		return errFault
	}
	if luck.happens(0.2) {
		if passed := w.pass(ctx, luck.time(0)); passed != nil {
			return passed
		}
	}
	return err
}

// afterlife returns what lets the goroutines of a dead worker end.
func (w *worker) afterlife(k kind) error {
	if k == toBus || k == toDatabase {
		return nil
	}
	return errDead
}

// tell sends a message of the worker that is not answered.
func (w *worker) tell(what string, seq uint64, effect func()) {
	if w.dead.Load() {
		return
	}
	luck := w.throw(what)
	time.AfterFunc(luck.time(0), func() {
		switch {
		case w.dead.Load():
		case luck.happens(w.chance.lose):
			w.fault()
			w.trace("%s: %s %d is lost", w.name, what, seq)
		default:
			effect()
			w.trace("%s: %s %d", w.name, what, seq)
		}
	})
}

func (w *worker) lag(what string) { _ = w.pass(context.Background(), w.throw(what).time(0)) }

func (w *worker) pass(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// deaf reports that the worker is alive but does not learn of changes.
func (w *worker) deaf() bool { return !w.dead.Load() && (w.stale.Load() || w.away.Load()) }

// fault notes a fault, which may explain later events.
func (w *worker) fault() {
	w.mu.Lock()
	w.faults = append(w.faults, time.Now())
	w.mu.Unlock()
}

func (w *worker) faulty(from, to time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, at := range w.faults {
		if !at.Before(from) && !at.After(to) {
			return true
		}
	}
	return false
}

// luck is the source of randomness for one call. It depends only on the seed, the worker, the kind of call and the call's
// number, not on the order in which goroutines run.
type luck struct{ state uint64 }

func (w *worker) throw(what string) *luck {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.throws[what]++
	return &luck{mix(w.seed ^ hash(w.name+" "+what) ^ mix(w.throws[what]))}
}

func hash(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}

func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (l *luck) number() float64 {
	l.state = mix(l.state)
	return float64(l.state>>11) / (1 << 53)
}

func (l *luck) happens(chance float64) bool { return l.number() < chance }

// time returns a random latency. slow is the probability of a long one.
func (l *luck) time(slow float64) time.Duration {
	most := 2 * time.Millisecond
	switch x := l.number(); {
	case x < slow/4:
		most = 4 * time.Second
	case x < slow:
		most = 300 * time.Millisecond
	case x < 0.1:
		most = 20 * time.Millisecond
	}
	return time.Duration(math.Ceil(l.number() * float64(most)))
}

// start starts a worker, which takes messages once it knows the hooks.
func (w *world) start(name string) *worker {
	x := &worker{
		world: w, name: name, throws: map[string]uint64{}, wake: make(chan struct{}, 1), refresh: make(chan chan struct{}, 16),
		ended: make(chan struct{}), halt: make(chan struct{}),
	}
	w.workers = append(w.workers, x)
	x.trace("%s starts", name)
	go x.run()
	return x
}

// die ends the worker as a crash does.
func (w *worker) die(when string) {
	if w.dead.Swap(true) {
		return
	}
	w.fault()
	w.trace("%s dies %s", w.name, when)
	w.stop()
	w.crashed(w)
}

// stop begins a shutdown.
func (w *worker) stop() { w.once.Do(func() { close(w.halt) }) }

func (w *worker) run() {
	defer close(w.ended)
	log := zap.NewNop()
	b := bus.Over(client{w: w, s: w.server}, link{w}, 1, log)
	attempts, giveUp := context.WithCancel(context.Background())
	telling, stopTelling := context.WithCancel(context.Background())
	taking, stopTaking := context.WithCancel(context.Background())
	defer giveUp()
	defer stopTelling()
	defer stopTaking()

	db := &rows{w: w, d: w.database}
	w.index = index.New(func(id uuid.UUID, h *webhook.Hook) {
		if h == nil {
			w.limiter.Forget(id)
		}
		w.drain.Wake(id)
	})
	w.limiter = limiter.New(limiter.Breaker{MinAttempts: 3, FailureRatio: 0.7, Open: 2 * time.Second}, w.index.Get)
	evaluator := fanout.NewEvaluator(0, 1, nobody{}, log)
	facts := ledger.NewWriter(b, w.name, log)
	history := ledger.NewReader(db, db, b)
	deliverer := deliver.New(attempts, deliver.Deps{
		Sender: sender{w}, Enter: w.limiter.Enter, Clock: b, Schedule: b.Retries().Schedule, Facts: facts, Operator: operator{w, db},
		Erased:   func(*webhook.Event) bool { return false },
		Stale:    func() bool { return false },
		Observer: nobody{}, Log: log, MaxPayload: b.MaxPayload(),
	})
	w.missed = missed.New(missed.Deps{Store: db, Leases: db, Bus: b, History: history, Among: index.Among, Filters: evaluator, Log: log, Worker: w.name})
	w.drain = drainer.New(drainer.Deps{
		Deliverer: deliverer, Hooks: w.index, Limiter: w.limiter, Store: db, Leases: db, Bus: b, History: history, Superseded: func(int) {}, Log: log,
		Worker: w.name,
	})
	types := schema.NewChecks(func(string) json.RawMessage { return nil }, log)

	var background, takers, recorders sync.WaitGroup
	known := make(chan struct{})
	w.index.SetTenant(tenant, true)
	background.Go(func() { w.watch(telling, known) })
	background.Go(func() { w.limiter.Run(telling) })
	background.Go(func() { facts.Run(telling) })
	end := func() {
		stopTaking()
		for _, s := range w.subs {
			s.Stop()
		}
		if w.dead.Load() {
			giveUp()
		}
		over := make(chan struct{})
		go func() {
			takers.Wait()
			close(over)
		}()
		select {
		case <-over:
		case <-time.After(10 * time.Second):
			giveUp()
			<-over
		}
	}
	select {
	case <-known:
	case <-w.halt:
		stopTelling()
		background.Wait()
		return
	}
	take := func(wg *sync.WaitGroup, ctx context.Context, c bus.Consumer, run func(context.Context, *bus.Subscription)) *bus.Subscription {
		for {
			sub, err := b.Subscribe(ctx, c, bus.Room{Messages: 64, Bytes: 8 << 20})
			if err == nil {
				wg.Go(func() { run(ctx, sub) })
				return sub
			}
			if w.dead.Load() {
				return nil
			}
		}
	}
	var recording []*bus.Subscription
	record := func(c bus.Consumer, run func(*recorder.Recorder) func(context.Context, *bus.Subscription)) {
		if sub := take(&recorders, telling, c, run(recorder.New(db, b, types, nobody{}, log))); sub != nil {
			recording = append(recording, sub)
		}
	}
	record(bus.FactRecorder, func(r *recorder.Recorder) func(context.Context, *bus.Subscription) { return r.RunFacts })
	record(bus.EventRecorder, func(r *recorder.Recorder) func(context.Context, *bus.Subscription) { return r.RunEvents })
	out := fanout.New(fanout.Deps{
		From: webhook.OMS, Hooks: w.index, Refresher: w, Types: types, Deliverer: w.drain, Seen: db, History: history, Tries: db, Worker: w.name,
		Rejecter: facts, Bus: b, Evaluator: evaluator, Observer: nobody{}, Log: log, Slots: 64, DailyIDs: 64,
	})
	again := retries.New(retries.Deps{
		Hooks: w.index, Deliverer: deliverer, History: history, Bus: b, Own: nobody{}, FanOut: out.Again, Log: log, Slots: 64,
	})
	for _, sub := range []*bus.Subscription{take(&takers, attempts, bus.Fanout, out.Run), take(&takers, attempts, bus.Retry, again.Run)} {
		if sub != nil {
			w.subs = append(w.subs, sub)
		}
	}
	takers.Go(func() { w.drain.Run(taking) })
	takers.Go(func() { w.missed.Run(taking) })
	<-w.halt
	end()
	for _, s := range recording {
		s.Stop()
	}
	recorders.Wait()
	stopTelling()
	background.Wait()
	w.trace("%s has ended", w.name)
}

// watch keeps the index up to date with the database, as store.Watch does.
func (w *worker) watch(ctx context.Context, known chan struct{}) {
	for first := true; ctx.Err() == nil; {
		var asked chan struct{}
		if !first {
			select {
			case <-time.After(time.Second):
			case <-w.wake:
			case asked = <-w.refresh:
			case <-ctx.Done():
				continue // ends the loop
			}
		}
		if w.stale.Load() && !first {
			continue // callers of Refresh get no answer
		}
		var hooks map[uuid.UUID]*webhook.Hook
		var next int
		var gaps bool
		began := time.Now()
		err := w.call(ctx, askDatabase, "poll", func() error {
			if first {
				hooks, next = w.database.changed(0)
			} else {
				hooks, next, gaps = w.database.poll(w.name, w.snapshot)
			}
			return nil
		})
		if err != nil {
			if w.dead.Load() {
				return
			}
			continue
		}
		for _, id := range slices.SortedFunc(maps.Keys(hooks), compareIDs) {
			if h := hooks[id]; h == nil {
				w.index.Remove(id)
			} else {
				w.index.Put(*h)
			}
		}
		if first || len(hooks) > 0 {
			w.trace("%s knows the hooks as of change %d", w.name, next)
			err := w.call(ctx, askDatabase, "poll", func() error { w.database.poll(w.name, next); return nil })
			if err != nil && first { // no change waits for this worker yet
				continue
			}
		}
		w.mu.Lock()
		w.snapshot, w.asked = next, began
		w.mu.Unlock()
		if first {
			first = false
			close(known)
		}
		if gaps {
			w.missed.Wake()
		}
		if asked != nil {
			close(asked)
		}
	}
	w.database.leave(w.name)
}

// StaleAt does what store.Watch's does.
func (w *worker) StaleAt() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.asked) <= store.Stale {
		return ""
	}
	return strconv.Itoa(w.snapshot)
}

// Refresh does what store.Watch's does.
func (w *worker) Refresh(ctx context.Context) error {
	asked := make(chan struct{})
	select {
	case w.refresh <- asked:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-asked:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// operator disables hooks as the worker's operator does.
type operator struct {
	w  *worker
	db *rows
}

func (o operator) OnDead(*webhook.Due, webhook.Reason, int, webhook.Result) {}

func (o operator) Notify(context.Context, *webhook.Due, webhook.DeliveryState, webhook.Reason, *whispererv1.AttemptFact) error {
	return nil
}

func (o operator) Disable(h *webhook.Hook, _ string) {
	if known := o.w.index.Get(h.ID); known != nil && known.Version == h.Version {
		parking := *h
		parking.Status = webhook.Paused
		o.w.index.Put(parking)
	}
	go func() {
		for !o.w.dead.Load() {
			err := o.w.call(context.Background(), toDatabase, "disable "+o.w.nameOf(h.ID), func() error {
				o.w.database.disable(h.ID, h.Version)
				return nil
			})
			if err == nil {
				return
			}
			<-time.After(500 * time.Millisecond)
		}
	}()
}

// nobody is an observer that ignores everything.
type nobody struct{}

func (nobody) Attempted(*webhook.Due, webhook.Result, webhook.DeliveryState, time.Duration, time.Duration) {
}
func (nobody) Parked(webhook.Reason)                                {}
func (nobody) FannedOut(string, int)                                {}
func (nobody) EventRejected(string, string)                         {}
func (nobody) EventRepeated()                                       {}
func (nobody) Unasked(int)                                          {}
func (nobody) Recorded(string, int, time.Duration)                  {}
func (nobody) SetAside(string)                                      {}
func (nobody) OffSchema(int)                                        {}
func (nobody) FilterCost(uint64)                                    {}
func (nobody) FilterFailed(*webhook.Hook, *webhook.Event, error)    {}
func (nobody) TransformFailed(*webhook.Hook, *webhook.Event, error) {}
func (nobody) Batched()                                             {}
func (nobody) PutOff()                                              {}
func (nobody) Again(context.Context, *whispererv1.Retry) error      { return nil }

// sender sends requests to the simulated receivers.
type sender struct{ w *worker }

func (s sender) Send(ctx context.Context, due *webhook.Due, bodies *envelope.Bodies) (*whispererv1.AttemptFact, webhook.Result, bool) {
	attempts, results, cancelled := s.SendBatch(ctx, []*webhook.Due{due}, []*envelope.Bodies{bodies})
	if cancelled {
		return nil, webhook.Result{}, true
	}
	return attempts[0], results[0], false
}

func (s sender) SendBatch(ctx context.Context, dues []*webhook.Due, _ []*envelope.Bodies) ([]*whispererv1.AttemptFact, []webhook.Result, bool) {
	w, started := s.w, time.Now()
	names := make([]string, len(dues))
	for i, due := range dues {
		names[i] = w.events.name(due.Event.ID)
	}
	what := fmt.Sprintf("request of %s to %s", strings.Join(names, ","), w.nameOf(dues[0].Hook.ID))
	luck := w.throw(what)
	if w.pass(ctx, luck.time(0)) != nil || w.dead.Load() {
		return nil, nil, true
	}
	list := w.arrive(w, dues, luck)
	a := list[0]
	if luck.happens(w.chance.crash * 3) {
		w.die("after its " + what)
		return nil, nil, true
	}
	if w.pass(ctx, a.takes+luck.time(0)) != nil || w.dead.Load() {
		w.fault()
		return nil, nil, true
	}
	outcome, now := webhook.Failed, time.Now()
	if a.result.Success() {
		outcome = webhook.Succeeded
	}
	w.trace("%s: %s is answered by %d %s", w.name, what, a.result.Status, a.result.Class)
	attempts, results := make([]*whispererv1.AttemptFact, len(dues)), make([]webhook.Result, len(dues))
	for i, due := range dues {
		list[i].answered, results[i] = now, a.result
		attempts[i] = &whispererv1.AttemptFact{
			Number: uint32(due.Attempts + 1), StartedAt: started.UnixNano(), Outcome: string(outcome), Status: uint32(a.result.Status), ErrorClass: string(a.result.Class),
		}
	}
	return attempts, results, false
}
