package simulation_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// mode is the behavior of a receiver.
type mode int

const (
	fine mode = iota
	flaky
	failing
	busy // answers 429 with Retry-After
	hanging
	gone // answers 410
)

func (m mode) String() string {
	return [...]string{"fine", "flaky", "failing", "busy", "hanging", "gone"}[m]
}

// fact is a fact about a delivery in the LEDGER stream.
type fact struct {
	at    time.Time
	state webhook.DeliveryState
	next  time.Time
}

// arrival is a request that arrived at a receiver.
type arrival struct {
	at, answered time.Time // answered is zero if nobody got the answer
	worker       *worker
	number       int
	after        []string // the deliveries before it in the same request
	takes        time.Duration
	result       webhook.Result
	// good reports that the receiver has processed the request, even if the sender does not learn that.
	good bool
	// final reports that the answer allows no further attempt.
	final bool
}

// tell notes the facts in a message that was published to the LEDGER stream.
func (w *world) tell(s *stream, m *message) {
	if s.name != bus.StreamLedger {
		return
	}
	var b whispererv1.LedgerBatch
	if err := proto.Unmarshal(m.data, &b); err != nil {
		panic(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range b.GetFacts() {
		id := store.DeliveryKey{ID: uuid.UUID(f.GetDeliveryId()), PublishedAt: nanos(f.GetPublishedAt())}
		w.told[id] = append(w.told[id], &fact{time.Now(), webhook.DeliveryState(f.GetState()), nanos(f.GetNextAt())})
		w.trace("%s tells: %s of %s for %s after %d attempts %s", b.GetWorker(), f.GetState(), f.GetEventId(), w.nameOf(uuid.UUID(f.GetHookId())), f.GetAttempts(), f.GetReason())
	}
	for _, r := range b.GetRejected() {
		w.wrong("event %d is rejected: %s %s", r.GetSeq(), r.GetReason(), r.GetDetail())
	}
}

func (w *world) endedBy(d *delivery) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended[d.key] = true
	w.superseded[d.key] = d.state == webhook.Superseded
	w.trace("%s for %s is %s: %s", d.eventID, w.nameOf(d.hook), d.state, d.reason)
}

func (w *world) story(hook uuid.UUID) *hookStory {
	for _, h := range w.hooks {
		if h.id == hook {
			return h
		}
	}
	return nil
}

// arrive simulates the arrival of a request with these deliveries at its receiver.
func (w *world) arrive(x *worker, dues []*webhook.Due, luck *luck) []*arrival {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.story(dues[0].Hook.ID)
	a := &arrival{at: time.Now(), worker: x, takes: 5 * time.Millisecond}
	m := h.receiver
	if m == flaky && luck.happens(0.5) || m == gone && w.calm {
		m = failing
	}
	switch m {
	case fine, flaky:
		a.good, a.result = true, webhook.Result{Status: 200}
		if luck.happens(w.chance.lose * 3) { // processed, but the answer is lost
			a.result = webhook.Result{Class: webhook.ClassReset}
		}
	case failing:
		a.result = webhook.Result{Status: 500, Class: webhook.ClassStatus}
	case busy:
		a.result = webhook.Result{Status: 429, Class: webhook.ClassStatus, RetryAfter: time.Duration(2+luck.state%4) * time.Second}
	case hanging:
		a.takes, a.result = 2*time.Second, webhook.Result{Class: webhook.ClassTimeout}
	case gone:
		a.result = webhook.Result{Status: 410, Class: webhook.ClassStatus}
	}
	all := make([]*arrival, len(dues))
	for i, due := range dues {
		one, e := *a, w.events.byID[due.Event.ID]
		one.number = due.Attempts + 1
		for _, before := range dues[:i] {
			one.after = append(one.after, before.Event.ID)
		}
		one.final = a.result.Success() || a.result.Status == 410 || due.Round.Retries == due.Hook.Countdown().MaxRetries
		w.trace("%s: request %d of %s to %s arrives (%s)", x.name, one.number, e.id, h.name, m)
		w.check(h, e, due, &one)
		all[i] = &one
	}
	for i, due := range dues {
		w.arrived[keyOf(due)] = append(w.arrived[keyOf(due)], all[i])
	}
	return all
}

func keyOf(due *webhook.Due) store.DeliveryKey {
	return store.DeliveryKey{ID: due.ID, PublishedAt: due.Event.PublishedAt}
}

// check checks whether the request may be made.
func (w *world) check(h *hookStory, e *event, due *webhook.Due, a *arrival) {
	what := fmt.Sprintf("request of %s to %s", e.id, h.name)
	ever := false
	for _, v := range h.versions {
		ever = ever || v.hook != nil && v.hook.WantsType(e.typ)
	}
	if !ever {
		w.wrong("%s, which never wanted it", what)
	}
	if most := due.Hook.Countdown().MaxRetries; due.Round.Retries > most {
		w.wrong("%s is retry %d of %d", what, due.Round.Retries, most)
	}
	if w.superseded[keyOf(due)] {
		w.wrong("%s, which is superseded", what)
	}
	w.checkDouble(what, due, a)
	w.checkPatience(what, due, a)
	if told := w.told[keyOf(due)]; len(told) > 0 && !w.steps {
		if last := told[len(told)-1]; last.state == webhook.Waiting && a.at.Before(last.next) {
			w.wrong("%s comes %s early", what, last.next.Sub(a.at))
		}
	}
	if now := w.database.hooks[h.id]; now == nil || now.Status == webhook.Disabled { // missing deliveries were ended with the hook
		h.strict = false
	}
	if h.strict && !w.jumped && due.Hook.Config.Ordering != webhook.OrderNone {
		w.checkOrder(what, h, e, a, due.Hook.Config.Ordering)
	}
}

// checkDouble checks that each request after a successful one, or beside one in progress, is explained by a fault.
func (w *world) checkDouble(what string, due *webhook.Due, a *arrival) {
	for _, before := range w.arrived[keyOf(due)] {
		over := !before.answered.IsZero()
		if over && !before.result.Success() {
			continue
		}
		if w.jumped || before.worker.faulty(before.at.Add(-time.Second), a.at) || a.worker.faulty(before.at.Add(-time.Second), a.at) || before.worker.dead.Load() {
			continue
		}
		if over {
			w.wrong("%s is a double: attempt %d had been answered well %s ago, and nothing failed", what, before.number, a.at.Sub(before.answered))
		} else {
			w.wrong("%s is a double: attempt %d is under way", what, before.number)
		}
		return
	}
}

// checkPatience checks that no request arrives before the time that its receiver asked for.
func (w *world) checkPatience(what string, due *webhook.Due, a *arrival) {
	for _, before := range w.arrived[keyOf(due)] {
		early := before.answered.Add(before.result.RetryAfter).Sub(a.at)
		if !before.answered.IsZero() && before.result.RetryAfter > 0 && early > 0 && !w.steps && !before.worker.dead.Load() &&
			!before.worker.faulty(before.at.Add(-time.Second), a.at) {
			w.wrong("%s comes %s before its receiver wants it", what, early)
		}
	}
}

// checkOrder checks that all earlier events that must precede this one are finished.
func (w *world) checkOrder(what string, h *hookStory, e *event, a *arrival, ordering webhook.Ordering) {
	for _, earlier := range w.events.list {
		if earlier == e {
			return
		}
		if earlier.again { // which of the two publications counts depends on the workers that get them
			continue
		}
		if h.knownAt.IsZero() || earlier.at.Before(h.knownAt) || !h.versions[0].hook.WantsType(earlier.typ) ||
			ordering == webhook.OrderEntity && (earlier.entity != e.entity || e.entity == "") {
			continue
		}
		id := store.DeliveryKey{ID: webhook.DeliveryID(h.id, earlier.id), PublishedAt: earlier.stored}
		deadline := h.versions[0].hook.Countdown().Deadline
		over := w.ended[id] || slices.Contains(a.after, earlier.id) || deadline > 0 && time.Since(earlier.at) > deadline
		for _, f := range w.told[id] {
			over = over || f.state.Final()
		}
		for _, a := range w.arrived[id] {
			over = over || !a.answered.IsZero() && a.final
		}
		if !over {
			w.wrong("%s comes before %s is over", what, earlier.id)
		}
	}
}

// idle returns a description of the work that is left, or nothing if there is none.
func (w *world) idle() (left []string) {
	w.server.mu.Lock()
	for _, s := range []string{bus.StreamOMS, bus.StreamRetries, bus.StreamLedger} {
		for _, c := range w.server.streams[s].consumers {
			if i := c.info(); i.NumAckPending > 0 || i.NumPending > 0 {
				left = append(left, fmt.Sprintf("%s has %d pending and %d in flight", c.name, i.NumPending, i.NumAckPending))
			}
		}
	}
	if n := len(w.server.streams[bus.StreamRetries].messages); n > 0 {
		left = append(left, fmt.Sprintf("%d retries are scheduled", n))
	}
	w.server.mu.Unlock()
	w.database.mu.Lock()
	defer w.database.mu.Unlock()
	for key, d := range w.database.deliveries {
		h := w.database.hooks[d.hook]
		if h == nil && d.state == webhook.Waiting { // its retry was purged before the fact arrived: the housekeeper's sweep would repair it
			continue
		}
		paused := h != nil && h.Status == webhook.Paused && w.database.parked[key] != nil
		if !d.state.Final() && (d.state != webhook.Parked || !paused) {
			left = append(left, fmt.Sprintf("%s for %s is %s (%s)", d.eventID, w.nameOf(d.hook), d.state, d.reason))
		}
	}
	for _, g := range w.database.gaps {
		if !g.done {
			left = append(left, fmt.Sprintf("the gap of %s is open", w.nameOf(g.hook)))
		}
	}
	return left
}

// judge checks the final state.
func (w *world) judge() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.database.mu.Lock()
	defer w.database.mu.Unlock()
	for _, h := range w.hooks {
		for _, e := range w.events.list {
			w.judgeOne(h, e)
		}
	}
}

func (w *world) judgeOne(h *hookStory, e *event) {
	id := store.DeliveryKey{ID: webhook.DeliveryID(h.id, e.id), PublishedAt: e.stored}
	row := w.database.deliveries[id]
	if row == nil && e.again { // the other publication counts
		return
	}
	what := fmt.Sprintf("%s for %s", e.id, h.name)
	if row == nil {
		if h.must(e) {
			w.wrong("%s is lost: nothing is recorded", what)
		}
		return
	}
	good, answered := 0, false
	for _, a := range w.arrived[id] {
		if a.good {
			good++
		}
		answered = answered || !a.answered.IsZero() && a.result.Success() && !a.worker.faulty(a.at.Add(-time.Second), time.Now())
	}
	delivered := answered
	for _, f := range w.told[id] {
		delivered = delivered || f.state == webhook.Delivered
	}
	last := h.now()
	switch row.state {
	case webhook.Delivered:
		if good == 0 {
			w.wrong("%s is recorded as delivered, and never was", what)
		}
	case webhook.Dead:
		if delivered {
			w.wrong("%s was delivered, and is recorded as dead: %s", what, row.reason)
		}
		w.judgeDead(what, h, row)
	case webhook.Cancelled:
		if delivered {
			w.wrong("%s was delivered, and is recorded as cancelled", what)
		}
		if last != nil {
			w.wrong("%s is cancelled, and the hook is there", what)
		}
	case webhook.Superseded:
		if delivered {
			w.wrong("%s was delivered, and is recorded as superseded", what)
		}
		w.judgeSuperseded(what, h, row)
	case webhook.Parked, webhook.Waiting:
		if delivered {
			w.wrong("%s was delivered, and is recorded as %s", what, row.state)
		}
	}
}

// judgeSuperseded checks that a newer event of the same entity superseded the delivery.
func (w *world) judgeSuperseded(what string, h *hookStory, row *delivery) {
	collapses := false
	for _, v := range h.versions {
		collapses = collapses || v.hook != nil && v.hook.Config.Collapse == webhook.CollapseEntity
	}
	if !collapses {
		w.wrong("%s is superseded, and its hook never collapsed", what)
	}
	for _, by := range w.database.deliveries {
		if by.key.ID == row.supersededBy && by.hook == row.hook && by.entity == row.entity && by.entity != "" && by.seq > row.seq {
			return
		}
	}
	w.wrong("%s is superseded by %s, which is not newer", what, row.supersededBy)
}

func (w *world) judgeDead(what string, h *hookStory, row *delivery) {
	n, retries, gone := len(w.arrived[row.key]), 1000, false
	disabled := false
	for _, v := range h.versions {
		if v.hook != nil {
			retries = min(retries, v.hook.Countdown().MaxRetries)
			disabled = disabled || v.hook.Status == webhook.Disabled
		}
	}
	for _, a := range w.arrived[row.key] {
		gone = gone || a.result.Status == 410
	}
	switch row.reason {
	case webhook.ReasonExhausted:
		if n < retries+1 {
			w.wrong("%s is dead after %d of %d attempts", what, n, retries+1)
		}
	case webhook.ReasonHookDisabled:
		if !disabled {
			w.wrong("%s is dead as its hook was disabled, which it never was", what)
		}
	case webhook.ReasonGone:
		if !gone {
			w.wrong("%s is dead as its receiver was gone, which it never was", what)
		}
	case webhook.ReasonExpired:
		if h.versions[0].hook.Countdown().Deadline == 0 {
			w.wrong("%s is dead as it expired, and there is no deadline", what)
		}
	case webhook.ReasonPoison: // five workers crashed with it
	default:
		w.wrong("%s is dead: %s", what, row.reason)
	}
}

// must reports whether the event has to be recorded for the hook, because the hook existed and wanted it from its publication
// to the end.
func (h *hookStory) must(e *event) bool {
	if e.at.Before(h.versions[0].at) {
		return false
	}
	for i, v := range h.versions {
		if i+1 < len(h.versions) && h.versions[i+1].at.Before(e.at) {
			continue
		}
		if v.hook == nil || v.hook.Status == webhook.Disabled || !v.hook.WantsType(e.typ) {
			return false
		}
	}
	return true
}
