// Package relay copies a tenant's requests to people who listen to its deliveries (see subscription-api). Deliveries never wait
// for it: copies beyond the limits, and those that cannot be sent at once, are dropped and counted.
package relay

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
)

const (
	// maxListeners bounds the number of listeners.
	maxListeners = 256
	// Limits of what is copied to one listener, in bytes per second and at once. A copy counts as at least leastCost.
	bytesPerSecond, burstBytes, leastCost = 1 << 20, 8 << 20, 2 << 10
	// allBytesPerSecond and allBurst are the limits for all listeners together.
	allBytesPerSecond, allBurst = 4 << 20, 16 << 20
	// maxQueued and maxQueuedBytes bound the copies that wait to be sent.
	maxQueued, maxQueuedBytes = 256, 16 << 20
	// lookEvery is the interval at which expired listeners are removed, and the others learn how many copies they missed.
	lookEvery = time.Second
	// around is roughly the maximum size of a message without its body.
	around = 64 << 10
)

// carrier sends messages to listeners; it is implemented by bus.Relay.
type carrier interface {
	PublishCopy(relay uuid.UUID, data []byte) error
	MaxPayload() int
}

// Relay knows the listeners. The goroutine that made a request also queues its copies; Run sends them.
type Relay struct {
	carrier carrier
	worker  string
	all     *rate.Limiter
	log     *zap.Logger

	// byTenant is replaced, never modified, so that a request needs no lock to see that nobody listens.
	byTenant atomic.Pointer[map[string][]*listener]
	changing sync.Mutex
	queue    chan queued
	bytes    atomic.Int64 // size of the bodies in the queue
}

// listener is a person, or program, that listens to a tenant's requests.
type listener struct {
	wish    bus.Wish
	until   atomic.Int64 // Unix nanoseconds
	limit   *rate.Limiter
	dropped atomic.Int64
}

// queued is a copy that waits to be sent.
type queued struct {
	to      *listener
	request *api.RelayedRequest
	headers string
}

// New returns a Relay without listeners.
func New(c carrier, worker string, log *zap.Logger) *Relay {
	r := &Relay{carrier: c, worker: worker, log: log, all: rate.NewLimiter(allBytesPerSecond, allBurst), queue: make(chan queued, maxQueued)}
	r.byTenant.Store(&map[string][]*listener{})
	return r
}

// Hear registers or renews a listener. It sends a new listener the worker's name.
func (r *Relay) Hear(w *bus.Wish) {
	r.changing.Lock()
	defer r.changing.Unlock()
	now := time.Now()
	until := now.Add(w.For).UnixNano()
	for _, l := range (*r.byTenant.Load())[w.Tenant] {
		if l.wish.Relay == w.Relay {
			l.until.Store(until)
			r.prune(now)
			return
		}
	}
	r.prune(now)
	before, count := *r.byTenant.Load(), 0
	for _, list := range before {
		count += len(list)
	}
	if w.For <= 0 || count >= maxListeners {
		return
	}
	l := &listener{wish: *w, limit: rate.NewLimiter(bytesPerSecond, burstBytes)}
	l.until.Store(until)
	after := maps.Clone(before)
	after[w.Tenant] = append(slices.Clone(before[w.Tenant]), l)
	r.byTenant.Store(&after)
	r.send(l, &api.RelayMessage{Worker: r.worker})
}

// prune removes listeners that were not renewed in time. The caller holds r.changing.
func (r *Relay) prune(now time.Time) {
	over := func(l *listener) bool { return l.until.Load() <= now.UnixNano() }
	before := *r.byTenant.Load()
	after := make(map[string][]*listener, len(before))
	for tenant, list := range before {
		if left := slices.DeleteFunc(slices.Clone(list), over); len(left) > 0 {
			after[tenant] = left
		}
	}
	r.byTenant.Store(&after)
}

// Wants reports whether somebody listens to the tenant's requests.
func (r *Relay) Wants(tenant string) bool { return len((*r.byTenant.Load())[tenant]) > 0 }

// Copy queues copies of a request for the listeners that want it.
func (r *Relay) Copy(dues []*webhook.Due, made *whispererv1.AttemptFact, body []byte) {
	var request *api.RelayedRequest
	for _, l := range (*r.byTenant.Load())[dues[0].Hook.Tenant] {
		if !l.concerns(dues) {
			continue
		}
		if request == nil {
			request = requestOf(dues, made, body)
		}
		now, cost := time.Now(), max(len(body), leastCost)
		if r.bytes.Load()+int64(cost) > maxQueuedBytes || !l.limit.AllowN(now, cost) || !r.all.AllowN(now, cost) {
			l.dropped.Add(1)
			continue
		}
		r.bytes.Add(int64(len(body)))
		select {
		case r.queue <- queued{to: l, request: request, headers: made.GetRequestHeaders()}:
		default:
			r.bytes.Add(-int64(len(body)))
			l.dropped.Add(1)
		}
	}
}

// concerns reports whether the listener wants any of the request's deliveries.
func (l *listener) concerns(dues []*webhook.Due) bool {
	if l.wish.Hook != uuid.Nil && l.wish.Hook != dues[0].Hook.ID {
		return false
	}
	return len(l.wish.EventTypes) == 0 || slices.ContainsFunc(dues, func(d *webhook.Due) bool {
		return slices.ContainsFunc(l.wish.EventTypes, func(pattern string) bool { return webhook.MatchPattern(pattern, d.Event.Type) })
	})
}

func requestOf(dues []*webhook.Due, made *whispererv1.AttemptFact, body []byte) *api.RelayedRequest {
	request := &api.RelayedRequest{
		Hook: dues[0].Hook.ID, Attempt: int(made.GetNumber()), SentAt: time.Unix(0, made.GetStartedAt()).UTC(), Method: made.GetMethod(),
		URL: made.GetUrl(), Body: body, BodySize: len(body), ErrorClass: webhook.ErrorClass(made.GetErrorClass()),
	}
	if status := int(made.GetStatus()); status != 0 {
		request.Status = &status
	}
	for _, d := range dues {
		request.Deliveries = append(request.Deliveries, d.ID)
		request.EventTypes = append(request.EventTypes, d.Event.Type)
	}
	return request
}

// Run sends copies until ctx ends.
func (r *Relay) Run(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case q := <-r.queue:
			r.bytes.Add(-int64(len(q.request.Body)))
			r.sendCopy(&q)
		case now := <-ticker.C:
			r.look(now)
		}
	}
}

// look removes expired listeners, and tells the others of dropped copies.
func (r *Relay) look(now time.Time) {
	r.changing.Lock()
	r.prune(now)
	r.changing.Unlock()
	for _, list := range *r.byTenant.Load() {
		for _, l := range list {
			if n := l.dropped.Swap(0); n > 0 && !r.send(l, &api.RelayMessage{Dropped: int(n)}) {
				l.dropped.Add(n)
			}
		}
	}
}

func (r *Relay) sendCopy(q *queued) {
	request := *q.request
	for _, h := range webhook.ParseHeaderLines(q.headers) {
		request.Headers = append(request.Headers, api.HeaderLine(h))
	}
	if base64Size(len(request.Body))+around > r.carrier.MaxPayload() {
		request.Body = nil
	}
	if !r.send(q.to, &api.RelayMessage{Request: &request}) {
		q.to.dropped.Add(1)
	}
}

// base64Size returns the size of a body of n bytes in a JSON message.
func base64Size(n int) int { return (n + 2) / 3 * 4 }

// send sends a message, and reports whether it was sent.
func (r *Relay) send(to *listener, m *api.RelayMessage) bool {
	data, err := json.Marshal(m)
	if err == nil {
		err = r.carrier.PublishCopy(to.wish.Relay, data)
	}
	if err != nil {
		r.log.Debug("dropped copy for a listener", zap.Error(err))
	}
	return err == nil
}
