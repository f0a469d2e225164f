package simulation_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const tenant = "acme"

// chance holds the probabilities of faults in one call.
type chance struct {
	// fail is a failure before the call's effect, lose one after it, slow a long latency, and crash the worker's crash.
	fail, lose, slow, crash float64
}

// world is one history: the workers, the systems that they use, and what was done to them.
type world struct {
	seed     uint64
	random   *rand.Rand
	chance   chance
	server   *server
	database *database
	workers  []*worker
	steps    bool // clocks are set
	jumped   bool // clocks were set by more than leases tolerate

	hooks  []*hookStory
	events events
	told   map[store.DeliveryKey][]*fact

	began   time.Time
	calm    bool
	over    bool
	lineMu  sync.Mutex
	lines   []line
	mu      sync.Mutex // guards the fields below, and the stories
	arrived map[store.DeliveryKey][]*arrival
	broken  []string
	ended   map[store.DeliveryKey]bool // deliveries that ended because of their hook or of a newer one
	// superseded holds the deliveries that ended because of a newer one.
	superseded map[store.DeliveryKey]bool
	starts     int
}

// events holds the published events.
type events struct {
	list []*event
	byID map[string]*event
}

type event struct {
	id, typ, entity string
	seq             uint64
	at, stored      time.Time // by the workers' clock, and by the bus's
	again           bool      // it was published twice
}

func (e *events) name(id string) string {
	if strings.HasPrefix(id, "e") {
		return id
	}
	return "?" + id
}

// hookStory holds the versions of a hook.
type hookStory struct {
	id       uuid.UUID
	name     string
	versions []version
	receiver mode
	// strict reports that the hook's ordering, types and existence have not changed since its creation.
	strict  bool
	xid     int
	knownAt time.Time // when all live workers first knew it
}

// version is a hook from a time on. hook is nil if it does not exist.
type version struct {
	at   time.Time
	hook *webhook.Hook
}

func (w *world) nameOf(hook uuid.UUID) string {
	for _, h := range w.hooks {
		if h.id == hook {
			return h.name
		}
	}
	return hook.String()
}

// short returns a readable name of a lease.
func (w *world) short(lease string) string {
	for _, h := range w.hooks {
		lease = strings.ReplaceAll(lease, h.id.String(), h.name)
	}
	return lease
}

// line is one line of the history.
type line struct {
	at     time.Duration
	format string
	args   []any
}

func (l line) String() string {
	return fmt.Sprintf("%10.6f  ", l.at.Seconds()) + fmt.Sprintf(l.format, l.args...)
}

// trace adds a line to the history. It formats the arguments later, so they must not change.
func (w *world) trace(format string, args ...any) {
	w.lineMu.Lock()
	defer w.lineMu.Unlock()
	w.lines = append(w.lines, line{time.Since(w.began), format, args})
}

// wrong records a violation.
func (w *world) wrong(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.trace("WRONG: %s", text)
	w.broken = append(w.broken, text)
}

func newWorld(seed uint64) *world {
	w := &world{
		seed: seed, random: rand.New(rand.NewPCG(seed, 0)), server: newServer(), database: newDatabase(), began: time.Now(),
		events: events{byID: map[string]*event{}}, told: map[store.DeliveryKey][]*fact{}, arrived: map[store.DeliveryKey][]*arrival{}, ended: map[store.DeliveryKey]bool{},
		superseded: map[store.DeliveryKey]bool{},
	}
	w.server.stored = w.tell
	if w.server.spread = w.random.IntN(3) > 0; !w.server.spread && w.random.IntN(2) > 0 {
		time.AfterFunc(time.Duration(w.random.IntN(6000))*time.Millisecond, w.spread)
	}
	w.database.notify = w.notify
	w.database.ended = func(d *delivery) { w.endedBy(d) }
	switch w.random.IntN(4) {
	case 0: // no random faults
	case 1:
		w.chance = chance{crash: 0.003}
	case 2:
		w.chance = chance{fail: 0.01, lose: 0.01, slow: 0.02}
	default:
		w.chance = chance{fail: 0.005, lose: 0.005, slow: 0.01, crash: 0.003}
	}
	return w
}

// spread adds a partition to the event log while it is used.
func (w *world) spread() {
	w.server.mu.Lock()
	defer w.server.mu.Unlock()
	w.server.spread = true
	w.trace("the event log has a partition from now on")
}

// notify sends a trigger's notification to the live workers, unless it is lost.
func (w *world) notify(channel string, hook uuid.UUID) {
	for _, x := range slices.Clone(w.workers) {
		if x.dead.Load() || x.index == nil {
			continue
		}
		luck := x.throw("notification " + channel)
		if x.stale.Load() || luck.happens(w.chance.lose*10) {
			continue
		}
		time.AfterFunc(luck.time(0), func() {
			if x.dead.Load() {
				return
			}
			if channel != "hooks" {
				x.drain.Wake(hook)
				return
			}
			select {
			case x.wake <- struct{}{}:
			default:
			}
		})
	}
}

// crashed starts another worker in place of one that crashed.
func (w *world) crashed(x *worker) {
	w.mu.Lock()
	w.starts++
	name := fmt.Sprintf("%s%d", x.name[:1], w.starts)
	after := time.Duration(w.random.IntN(8000)) * time.Millisecond
	w.mu.Unlock()
	time.AfterFunc(after+time.Millisecond, func() {
		w.mu.Lock()
		over := w.over
		w.mu.Unlock()
		if !over {
			w.start(name)
		}
	})
}

// publish publishes an event, and sometimes publishes it once more, as publishers do that got no answer.
func (w *world) publish() {
	e := &event{
		id: fmt.Sprintf("e%02d", len(w.events.list)+1), typ: []string{"order.created", "order.updated"}[w.random.IntN(2)],
		entity: []string{"x", "y", ""}[w.random.IntN(3)], at: time.Now(),
	}
	body := fmt.Appendf(nil, `{"event_id":%q,"entity":%q,"data":{}}`, e.id, e.entity)
	header := nats.Header{nats.MsgIdHdr: []string{e.id}}
	w.events.list, w.events.byID[e.id] = append(w.events.list, e), e
	e.stored = micro(w.server.now())
	e.seq = w.server.publish("oms."+tenant+"."+e.typ, header, body)
	w.trace("event %s is published: %s of %q", e.id, e.typ, e.entity)
	if w.random.IntN(12) > 0 {
		return
	}
	time.AfterFunc(time.Duration(w.random.IntN(3000))*time.Millisecond, func() {
		w.database.mu.Lock()
		recorded := len(w.database.events[store.EventKey{Tenant: tenant, ID: e.id}]) > 0
		w.database.mu.Unlock()
		again := nats.Header{} // no id, as if the bus had forgotten it
		if !recorded {
			again = header
		}
		e.again = true
		w.server.publish("oms."+tenant+"."+e.typ, again, body)
		w.trace("event %s is published again", e.id)
	})
}

// create creates a hook.
func (w *world) create() {
	h := &hookStory{name: fmt.Sprintf("hook%d", len(w.hooks)+1), strict: true}
	for i := range h.id {
		h.id[i] = byte(w.random.Uint32())
	}
	config := map[string]any{"concurrency": 1 + w.random.IntN(3)}
	switch w.random.IntN(6) {
	case 0, 1:
		config["ordering"] = "hook"
	case 2:
		config["ordering"] = "entity"
	case 3:
		config["rate_limit"] = map[string]any{"limit": 2 + w.random.IntN(5), "period": 1}
	}
	if w.random.IntN(4) == 0 {
		config["collapse"] = "entity"
	}
	if w.random.IntN(4) == 0 {
		config["batch"] = map[string]any{"max_events": 2 + w.random.IntN(3), "max_wait": 1 + w.random.IntN(2)}
	}
	retry := fmt.Appendf(nil, `{"choice":"fixed","kwargs":{"seconds":%d},"max_retries":%d,"jitter":0}`, 1+w.random.IntN(3), 1+w.random.IntN(4))
	if w.random.IntN(5) == 0 {
		h.strict = false // a delivery past its deadline is recorded later, so its order is not checked
		retry = fmt.Appendf(retry[:len(retry)-1], `,"deadline":%d}`, 3+w.random.IntN(10))
	}
	hook := &webhook.Hook{
		ID: h.id, Tenant: tenant, Name: h.name, EventTypes: w.types(), TargetURL: "https://receiver.example/" + h.name, NotificationType: webhook.NotificationREST,
		RetryConfig: retry, Status: webhook.Active, Config: parsed(config),
	}
	if w.random.IntN(6) == 0 {
		hook.Status = webhook.Paused
	}
	w.hooks = append(w.hooks, h)
	w.write(h, hook, "created")
	h.xid = w.database.xid
}

func (w *world) types() []string {
	return [][]string{{"*"}, {"order.created"}, {"order.*"}, {"order.created", "order.updated"}}[w.random.IntN(4)]
}

func parsed(config map[string]any) webhook.Config {
	raw, err := json.Marshal(config)
	if err != nil {
		panic(err)
	}
	c, err := webhook.ParseConfig(raw)
	if err != nil {
		panic(err)
	}
	return c
}

// write writes a hook to the database, or deletes it if hook is nil.
func (w *world) write(h *hookStory, hook *webhook.Hook, what string) {
	w.database.setHook(h.id, hook)
	w.versioned(h)
	if now := h.now(); now != nil {
		what += fmt.Sprintf(": %s, %v, %s, retries %s", now.Status, now.EventTypes, now.Config.Raw, now.RetryConfig)
	}
	w.trace("%s is %s", h.name, what)
}

// versioned notes the hook's new version.
func (w *world) versioned(h *hookStory) {
	h.versions = append(h.versions, version{time.Now(), w.database.hooks[h.id]})
}

func (h *hookStory) now() *webhook.Hook { return h.versions[len(h.versions)-1].hook }

// edit makes a random change to a hook.
func (w *world) edit() {
	if len(w.hooks) == 0 {
		return
	}
	h := w.hooks[w.random.IntN(len(w.hooks))]
	w.sync(h)
	now := h.now()
	if now == nil {
		return
	}
	next := *now
	switch w.random.IntN(8) {
	case 0, 1:
		next.Status = webhook.Paused
		w.write(h, &next, "paused")
	case 2, 3:
		h.strict = h.strict && now.Status != webhook.Disabled
		next.Status = webhook.Active
		w.write(h, &next, "resumed")
	case 4:
		h.strict = false
		next.EventTypes = w.types()
		w.write(h, &next, "given other types")
	case 5:
		h.strict = false
		config := map[string]any{"concurrency": 1 + w.random.IntN(3)}
		if w.random.IntN(2) == 0 {
			config["ordering"] = "hook"
		}
		if w.random.IntN(2) == 0 {
			config["collapse"] = "entity"
		}
		next.Config = parsed(config)
		w.write(h, &next, "given another config")
	case 6:
		h.strict = false
		w.write(h, nil, "deleted")
	case 7:
		h.strict = false
		next.Status = webhook.Disabled
		w.write(h, &next, "disabled")
	}
}

// sync notes a change of the hook that a worker made.
func (w *world) sync(h *hookStory) {
	w.database.mu.Lock()
	now := w.database.hooks[h.id]
	w.database.mu.Unlock()
	if now != h.now() {
		h.versions = append(h.versions, version{time.Now(), now})
		h.strict = false
	}
}

// act performs one random action.
func (w *world) act() {
	x := w.workers[w.random.IntN(len(w.workers))]
	switch n := w.random.IntN(20); {
	case n < 9:
		w.publish()
	case n < 10 && len(w.hooks) < 4:
		w.create()
	case n < 13:
		w.edit()
	case n < 15 && len(w.hooks) > 0:
		h := w.hooks[w.random.IntN(len(w.hooks))]
		h.receiver = mode(w.random.IntN(int(gone) + 1))
		w.trace("the receiver of %s is %s from now on", h.name, h.receiver)
	case n < 16 && w.chance.crash > 0:
		if !x.dead.Load() {
			x.die("by itself")
		}
	case n < 17:
		x.stale.Store(!x.stale.Load())
		w.trace("%s is stale: %t", x.name, x.stale.Load())
	case n < 18 && w.chance.fail > 0:
		x.away.Store(!x.away.Load())
		x.fault()
		w.trace("%s cannot reach the database: %t", x.name, x.away.Load())
	case n < 19 && !x.dead.Load() && len(w.workers) < 8: // a rolling restart
		w.trace("%s is stopped", x.name)
		x.stop()
		w.starts++
		w.start(fmt.Sprintf("%s%d", x.name[:1], w.starts))
	default:
		if !w.steps {
			return
		}
		ahead := time.Duration(w.random.IntN(2000)) * time.Millisecond
		if w.random.IntN(3) == 0 { // more than the leases' duration: all of them expire
			ahead *= 10
			w.jumped = true
		}
		w.clocks(ahead)
	}
}

// clocks moves the clocks of the bus and the database ahead of the workers'. The two differ by less than the permitted
// tolerance.
func (w *world) clocks(ahead time.Duration) {
	apart := time.Duration(w.random.IntN(400)) * time.Millisecond
	w.server.step(w.server.ahead + ahead)
	w.database.mu.Lock()
	w.database.ahead = w.server.ahead + apart
	w.database.mu.Unlock()
	for _, x := range w.workers {
		x.fault()
	}
	w.trace("the bus's clock is %s ahead, the database's %s", w.server.ahead, w.database.ahead)
}
