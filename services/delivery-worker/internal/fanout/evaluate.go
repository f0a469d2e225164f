package fanout

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
)

const (
	// burst is for how long a tenant that was quiet may use its budget at once.
	burst = 2 * time.Second
	// longestWait is how long events wait in memory for the budget of their tenant. They hold up what waits for all events before
	// them, such as ordered hooks of others; what would wait for longer is put off.
	longestWait = 2 * time.Second
	// soonest is when an event that was put off comes again at the earliest, latest when at the latest.
	soonest, latest = time.Second, time.Hour
	// maxQueued and maxQueuedBytes bound the events that wait for one tenant, maxAllBytes those of all tenants, each of
	// which is about an event's size. A tenant within its budget is waited for, up to roomTime, when it has no room.
	maxQueued, maxQueuedBytes, maxAllBytes = 4096, 8 << 20, 16 << 20
	roomTime                               = 100 * time.Millisecond
	// unitTime is longer than a unit takes: what took longer than its units say is charged by that.
	unitTime = 200 * time.Nanosecond
	// newcomer is what an event is thought to cost before any was evaluated, and tellEvery how often a tenant is logged.
	newcomer  = 1000
	tellEvery = time.Minute
)

// Filtered counts the cost and the failures of expressions.
type Filtered interface {
	// FilterCost counts cost units that were used.
	FilterCost(units uint64)
	// FilterFailed counts an event that a hook's filter could not be evaluated for.
	FilterFailed(h *webhook.Hook, e *webhook.Event, err error)
	// TransformFailed counts an event that a hook's expressions could make no request of.
	TransformFailed(h *webhook.Hook, e *webhook.Event, err error)
	// PutOff counts an event that is postponed because its tenant's filters have used up their budget.
	PutOff()
}

// Evaluator evaluates filters, apart from what takes events from the bus: each tenant's events one after the other, and the
// tenants in turns. A tenant has a budget of cost units a second; what it publishes beyond that waits, and no other
// tenant does.
type Evaluator struct {
	budget   float64 // units a second; 0 for no limit
	slots    chan struct{}
	filtered Filtered
	log      *zap.Logger

	mu       sync.Mutex
	accounts map[string]*account
	bytes    int // of all queues
}

// account is the budget of one tenant.
type account struct {
	tenant  string
	queue   []*job
	bytes   int
	running bool
	// balance is what may be used at the time; it is below 0 after an event that cost more than there was.
	balance float64
	at      time.Time
	average float64 // cost of an event
	making  float64 // cost of what an attempt evaluates, as far as is known
	// next is when the next event that is put off comes again.
	next   time.Time
	told   time.Time
	spaces chan struct{} // has a token when the queue got shorter
}

// job is an event with the hooks that want it if their filters say so.
type job struct {
	taken

	fanout     *Fanout
	candidates []filter.Candidate
	since      time.Time
}

// NewEvaluator makes an evaluator that lets a tenant use so many cost units a second, 0 for any number, and that makes so
// many evaluations at once.
func NewEvaluator(budget int64, atOnce int, filtered Filtered, log *zap.Logger) *Evaluator {
	return &Evaluator{
		budget: float64(budget), slots: make(chan struct{}, max(2, atOnce)), filtered: filtered, log: log, accounts: map[string]*account{},
	}
}

// Waiting counts the tenants that have used up their budget.
func (v *Evaluator) Waiting() (tenants int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	for _, a := range v.accounts {
		v.refill(a, now)
		if a.balance < 0 || a.next.After(now) {
			tenants++
		}
	}
	return tenants
}

// refill updates the balance; the lock is held.
func (v *Evaluator) refill(a *account, now time.Time) {
	most := v.budget * burst.Seconds()
	a.balance = min(most, a.balance+v.budget*now.Sub(a.at).Seconds())
	a.at = now
}

// wait returns how long an event that arrives now will wait for the budget; the lock is held.
func (v *Evaluator) wait(a *account) time.Duration {
	if v.budget == 0 {
		return 0
	}
	missing := float64(len(a.queue))*a.average - a.balance
	return time.Duration(max(0, missing/v.budget) * float64(time.Second))
}

// submit accepts an event, or returns when it should come again.
func (v *Evaluator) submit(ctx context.Context, j *job) (again time.Time, ok bool) {
	patience := time.Now().Add(roomTime)
	for {
		again, space := v.offer(j)
		if space == nil {
			return again, again.IsZero()
		}
		if j.again || !time.Now().Before(patience) || ctx.Err() != nil {
			return time.Now().Add(soonest), false
		}
		select {
		case <-space:
		case <-time.After(time.Until(patience)):
		case <-ctx.Done():
		}
	}
}

// offer accepts an event, or returns when it should come again, or returns space, a channel that gets a token when there may be room.
func (v *Evaluator) offer(j *job) (again time.Time, space chan struct{}) {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	a := v.account(j.event.Tenant, now)
	if v.budget > 0 && (v.wait(a) > longestWait || !j.again && a.next.After(now)) {
		return v.later(a, now), nil
	}
	size := len(j.event.Data) + len(j.event.Context)
	switch full := len(a.queue) >= maxQueued || a.bytes+size > maxQueuedBytes || v.bytes+size > maxAllBytes; {
	case full && len(a.queue) > 0:
		return time.Time{}, a.spaces
	case full: // others have the room
		return now.Add(soonest), nil
	}
	j.since = now
	a.queue = append(a.queue, j)
	a.bytes += size
	v.bytes += size
	if !a.running {
		a.running = true
		go v.run(a)
	}
	return time.Time{}, nil
}

// account returns a tenant's account, with an updated balance; the lock is held.
func (v *Evaluator) account(tenant string, now time.Time) *account {
	a := v.accounts[tenant]
	if a == nil {
		v.forget(now)
		a = &account{tenant: tenant, balance: v.budget * burst.Seconds(), at: now, average: newcomer, making: newcomer, spaces: make(chan struct{}, 1)}
		v.accounts[tenant] = a
	}
	v.refill(a, now)
	return a
}

// later is when the next event of a tenant that is put off comes again: one after the other, as its budget lets them. The lock
// is held.
func (v *Evaluator) later(a *account, now time.Time) time.Time {
	if first := now.Add(max(soonest, v.wait(a))); a.next.Before(first) {
		a.next = first
	}
	at := a.next
	if a.next = at.Add(time.Duration(a.average / v.budget * float64(time.Second))); a.next.After(now.Add(latest)) {
		a.next = now.Add(latest)
	}
	if now.Sub(a.told) >= tellEvery {
		a.told = now
		v.log.Warn("a tenant's filters cost more than its budget: its events wait; see which of its filters have loops, or raise WHISPERER_FILTER_BUDGET",
			zap.String("tenant", a.tenant), zap.Float64("units_per_event", a.average), zap.Float64("budget", v.budget), zap.Duration("wait", at.Sub(now)))
	}
	return at
}

// forget removes accounts with a full balance; the lock is held.
func (v *Evaluator) forget(now time.Time) {
	for name, a := range v.accounts {
		if v.refill(a, now); !a.running && a.balance >= v.budget*burst.Seconds() && a.next.Before(now) && now.Sub(a.told) > tellEvery {
			delete(v.accounts, name)
		}
	}
}

// run evaluates a tenant's events until there are none.
func (v *Evaluator) run(a *account) {
	for {
		v.mu.Lock()
		n := min(batch, len(a.queue))
		jobs := a.queue[:n:n]
		a.queue = a.queue[n:]
		for _, j := range jobs {
			size := len(j.event.Data) + len(j.event.Context)
			a.bytes -= size
			v.bytes -= size
		}
		if a.running = n > 0; !a.running {
			a.queue = nil
		}
		v.mu.Unlock()
		if n == 0 {
			return
		}
		select {
		case a.spaces <- struct{}{}:
		default:
		}
		v.evaluate(a, jobs)
	}
}

// evaluate has events of one tenant fanned out, as soon as they are evaluated or the budget has to be waited for.
func (v *Evaluator) evaluate(a *account, jobs []*job) {
	var done []taken
	var of *Fanout
	flush := func() {
		if len(done) > 0 {
			of.fanOutAll(of.lives, done)
			for range done {
				of.leave()
			}
		}
		done = nil
	}
	for _, j := range jobs {
		if j.fanout != of {
			flush()
			of = j.fanout
		}
		wait, again := v.due(a, j)
		if wait > 0 || !again.IsZero() {
			flush()
		}
		if !again.IsZero() {
			go func() {
				defer j.fanout.leave()
				j.fanout.putOff(j.fanout.lives, j.taken, again)
			}()
			continue
		}
		if wait > 0 {
			select {
			case <-time.After(wait):
			case <-of.ending.Done():
			}
		}
		if of.ending.Err() != nil { // the worker is ending: others have a budget, too
			of.finish(j.taken, errNotSettled)
			of.leave()
			continue
		}
		hooks, units := v.match(j.event, j.candidates, v.filtered.FilterFailed)
		v.mu.Lock()
		a.balance -= units
		a.average += (units - a.average) / 8
		v.mu.Unlock()
		j.hooks = hooks
		done = append(done, j.taken)
	}
	flush()
}

// due returns how long to wait for the tenant's budget, or, if that is too long, when the event should come again.
func (v *Evaluator) due(a *account, j *job) (wait time.Duration, again time.Time) {
	if v.budget == 0 {
		return 0, again
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	v.refill(a, now)
	wait = v.debt(a)
	if wait > 0 && now.Add(wait).Sub(j.since) > longestWait {
		return 0, v.later(a, now)
	}
	return wait, again
}

// debt returns the time until a tenant has some budget again; the lock is held.
func (v *Evaluator) debt(a *account) time.Duration {
	if v.budget == 0 {
		return 0
	}
	return time.Duration(max(0, -a.balance/v.budget) * float64(time.Second))
}

// Match returns the hooks that an event goes to that was matched before, by the budget of its tenant as for any other. Where that
// is used up, it evaluates nothing and returns for how long. Failures were counted when it was matched first.
func (v *Evaluator) Match(e *webhook.Event, candidates []filter.Candidate) (hooks []*webhook.Hook, wait time.Duration) {
	if slices.ContainsFunc(candidates, func(c filter.Candidate) bool { return c.Filter != nil }) {
		v.mu.Lock()
		wait = v.debt(v.account(e.Tenant, time.Now()))
		v.mu.Unlock()
	}
	if wait > 0 {
		return nil, wait
	}
	hooks, units := v.match(e, candidates, func(*webhook.Hook, *webhook.Event, error) {})
	if units > 0 {
		v.settle(e.Tenant, -units)
	}
	return hooks, 0
}

// Make evaluates a hook's expressions for an event, and returns what the hook sends.
func (v *Evaluator) Make(ctx context.Context, t *filter.Transform, h *webhook.Hook, e *webhook.Event) (made filter.Made, err error) {
	gaveUp := v.Spend(ctx, e.Tenant, func() uint64 {
		made, err = t.Make(e)
		return made.Cost
	})
	if gaveUp != nil {
		return made, gaveUp
	}
	if err != nil {
		v.filtered.TransformFailed(h, e, err)
	}
	return made, err
}

// Spend evaluates by the budget of a tenant, which is waited for up to longestWait: an event was not fanned out before there was some,
// and a retry or a replay holds up its own hook alone. The error is that of ctx, which ended before.
func (v *Evaluator) Spend(ctx context.Context, tenant string, evaluate func() uint64) error {
	v.mu.Lock()
	a := v.account(tenant, time.Now())
	wait, reserved := v.debt(a), a.making // many attempts begin at once
	a.balance -= reserved
	v.mu.Unlock()
	if wait > 0 {
		select {
		case <-time.After(min(wait, longestWait)):
		case <-ctx.Done():
			v.settle(tenant, reserved)
			return ctx.Err()
		}
	}
	units := v.timed(evaluate)
	v.mu.Lock()
	a = v.account(tenant, time.Now())
	a.making += (float64(units) - a.making) / 8
	v.mu.Unlock()
	v.settle(tenant, reserved-float64(units))
	v.filtered.FilterCost(units)
	return nil
}

// settle returns units to a tenant's budget, or takes some from it.
func (v *Evaluator) settle(tenant string, units float64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.account(tenant, time.Now()).balance += units
}

// timed evaluates in turns with others. What took longer than its units say costs more.
func (v *Evaluator) timed(evaluate func() uint64) uint64 {
	v.slots <- struct{}{}
	defer func() { <-v.slots }()
	began := time.Now()
	units := evaluate()
	return max(units, uint64(time.Since(began)/unitTime)) //nolint:gosec // not negative
}

// match evaluates the filters for an event, one at a time in turns with other tenants, and returns what that has cost.
func (v *Evaluator) match(e *webhook.Event, candidates []filter.Candidate, failed func(*webhook.Hook, *webhook.Event, error)) (hooks []*webhook.Hook, cost float64) {
	var units uint64
	in := filter.NewInput(e)
	for _, c := range candidates {
		if c.Filter == nil {
			hooks = append(hooks, c.Hook)
			continue
		}
		var r filter.Result
		units += v.timed(func() uint64 {
			r = c.Filter.Evaluate(in)
			return r.Cost
		})
		switch {
		case r.Err != nil:
			failed(c.Hook, e, r.Err)
		case r.Matched:
			hooks = append(hooks, c.Hook)
		}
	}
	v.filtered.FilterCost(units)
	return hooks, float64(units)
}
