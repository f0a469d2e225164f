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
	// burst is the length of time for which a tenant's unused budget accumulates. A tenant that was quiet may spend that much
	// at once.
	burst = 2 * time.Second
	// longestWait is how long an event waits in memory for its tenant's budget. A waiting event holds back whatever needs all
	// earlier events, such as ordered hooks of other tenants, so an event that would wait longer is postponed.
	longestWait = 2 * time.Second
	// soonest and latest bound the delay after which a postponed event comes again.
	soonest, latest = time.Second, time.Hour
	// maxQueued and maxQueuedBytes bound the events that wait for one tenant; maxAllBytes bounds those of all tenants. Bytes
	// are approximate: only data and context count. roomTime is how long submit waits for space in the queue of a tenant that
	// is within its budget.
	maxQueued, maxQueuedBytes, maxAllBytes = 4096, 8 << 20, 16 << 20
	roomTime                               = 100 * time.Millisecond
	// unitTime is longer than one cost unit normally takes. An evaluation that takes longer than its units account for is
	// charged one unit for each unitTime.
	unitTime = 200 * time.Nanosecond
	// newcomer is the assumed cost of a tenant's event before any was evaluated. tellEvery is the minimum interval between two
	// warnings about the same tenant.
	newcomer  = 1000
	tellEvery = time.Minute
)

// Filtered counts the cost and the failures of expressions.
type Filtered interface {
	// FilterCost adds to the cost units spent.
	FilterCost(units uint64)
	// FilterFailed counts an event for which a hook's filter could not be evaluated.
	FilterFailed(h *webhook.Hook, e *webhook.Event, err error)
	// TransformFailed counts an event for which a hook's expressions could not produce a request.
	TransformFailed(h *webhook.Hook, e *webhook.Event, err error)
	// PutOff counts an event that is postponed because its tenant's filters have used up their budget.
	PutOff()
}

// Evaluator evaluates filters on goroutines of its own, so that a slow filter does not block the fan-out. It evaluates each
// tenant's events one after another, and tenants take turns. Each tenant has a budget of cost units per second; events beyond
// the budget wait, and delay no other tenant.
type Evaluator struct {
	budget   float64 // units per second; 0 means no limit
	slots    chan struct{}
	filtered Filtered
	log      *zap.Logger

	mu       sync.Mutex
	accounts map[string]*account
	bytes    int // size of all queues
}

// account is the budget of one tenant.
type account struct {
	tenant  string
	queue   []*job
	bytes   int
	running bool
	// balance is the number of units available at time at. It is negative after an event that cost more than was left.
	balance float64
	at      time.Time
	average float64 // moving average of an event's cost
	making  float64 // moving average of the cost of an attempt's expressions
	// next is when the next postponed event comes again.
	next   time.Time
	told   time.Time
	spaces chan struct{} // receives a token when the queue has become shorter
}

// job is an event with its candidate hooks, whose filters are still to be evaluated.
type job struct {
	taken

	fanout     *Fanout
	candidates []filter.Candidate
	since      time.Time
}

// NewEvaluator returns an evaluator that lets each tenant spend budget cost units per second, or any number if budget is 0, and
// that runs at most atOnce evaluations at a time, but at least two.
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

// refill adds what the budget has yielded since the last call to the balance. The caller holds v.mu.
func (v *Evaluator) refill(a *account, now time.Time) {
	most := v.budget * burst.Seconds()
	a.balance = min(most, a.balance+v.budget*now.Sub(a.at).Seconds())
	a.at = now
}

// wait returns how long an event that arrives now would wait for the tenant's budget. The caller holds v.mu.
func (v *Evaluator) wait(a *account) time.Duration {
	if v.budget == 0 {
		return 0
	}
	missing := float64(len(a.queue))*a.average - a.balance
	return time.Duration(max(0, missing/v.budget) * float64(time.Second))
}

// submit queues an event for evaluation. If it cannot, it returns the time at which the event should come again.
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

// offer queues an event for evaluation. Otherwise it returns either the time at which the event should come again, or space, a
// channel that receives a token when the queue may have room.
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
	case full: // the queues of other tenants take up all the room
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

// account returns a tenant's account with an up-to-date balance. The caller holds v.mu.
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

// later returns when the tenant's next postponed event comes again. The times are spaced so that the budget suffices for each
// event. The caller holds v.mu.
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

// forget deletes idle accounts whose balance is full. The caller holds v.mu.
func (v *Evaluator) forget(now time.Time) {
	for name, a := range v.accounts {
		if v.refill(a, now); !a.running && a.balance >= v.budget*burst.Seconds() && a.next.Before(now) && now.Sub(a.told) > tellEvery {
			delete(v.accounts, name)
		}
	}
}

// run evaluates a tenant's events until its queue is empty.
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

// evaluate evaluates the filters for one tenant's events and fans the events out. It fans out what is finished before it waits
// for the budget.
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
		if of.ending.Err() != nil { // do not wait for the budget: a redelivered event may go to a worker that has some left
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

// due returns how long an event must wait for its tenant's budget, or, if that is too long, when the event should come again.
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

// debt returns the time until a tenant's balance is no longer negative. The caller holds v.mu.
func (v *Evaluator) debt(a *account) time.Duration {
	if v.budget == 0 {
		return 0
	}
	return time.Duration(max(0, -a.balance/v.budget) * float64(time.Second))
}

// Match returns the hooks that an event goes to, for an event that was matched before. The cost is charged to the tenant's
// budget. If the budget is used up, Match evaluates nothing and returns the time until it is available again. Failures are not
// counted, because they were when the event was first matched.
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

// Make evaluates a hook's expressions for an event and returns the request that the hook sends.
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

// Spend runs evaluate and charges its cost to the tenant's budget. It waits at most longestWait for the budget and then
// evaluates anyway: a new event was fanned out only once there was budget, and a retry or a replay delays only its own hook.
// The error is ctx's if ctx ended before the evaluation.
func (v *Evaluator) Spend(ctx context.Context, tenant string, evaluate func() uint64) error {
	v.mu.Lock()
	a := v.account(tenant, time.Now())
	wait, reserved := v.debt(a), a.making // reserve the expected cost, because many attempts begin at once
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

// settle adds units, which may be negative, to a tenant's balance.
func (v *Evaluator) settle(tenant string, units float64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.account(tenant, time.Now()).balance += units
}

// timed runs evaluate in one of the slots and returns its cost, which is at least the time it took divided by unitTime.
func (v *Evaluator) timed(evaluate func() uint64) uint64 {
	v.slots <- struct{}{}
	defer func() { <-v.slots }()
	began := time.Now()
	units := evaluate()
	return max(units, uint64(time.Since(began)/unitTime)) //nolint:gosec // not negative
}

// match evaluates the candidates' filters for an event, taking a slot for each, and returns the matching hooks and the total
// cost.
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
