// Package ledger tells the LEDGER stream what happened, and asks Postgres what had happened before.
package ledger

import (
	"context"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

// Limits of one batch.
const (
	maxBatchBytes = 512 << 10
	maxBatchFacts = 2000
	// pace is the shortest time from one batch to the next that is not full. A message costs the stream, and the recorder,
	// more than a fact; no delivery waits for what is told of another.
	pace = 2 * time.Millisecond
	// maxBytes bounds what waits to be sent, and maxEntry what of an entry counts.
	maxBytes, maxEntry = 16 << 20, 1 << 20
)

// publisher is implemented by *bus.Bus.
type publisher interface {
	PublishFacts(ctx context.Context, id string, batch *whispererv1.LedgerBatch) error
}

// entry is one thing to be told, and who waits for it.
type entry struct {
	fact     *whispererv1.DeliveryFact
	rejected *whispererv1.RejectedEvent
	stale    *whispererv1.StaleFanout
	size     int
	stored   func()
}

// Writer sends facts in batches that grow while the one before is under way, and until pace is over: a single fact leaves
// at once.
type Writer struct {
	bus    publisher
	worker string
	log    *zap.Logger
	in     chan entry
	room   *semaphore.Weighted
}

// NewWriter makes a writer that signs its batches with the worker's name. Run it.
func NewWriter(bus publisher, worker string, log *zap.Logger) *Writer {
	return &Writer{bus: bus, worker: worker, log: log, in: make(chan entry, 4*maxBatchFacts), room: semaphore.NewWeighted(maxBytes)}
}

// Fact tells a fact. stored is called, on another goroutine and once, when the stream has it; if the writer is stopped
// before, it is never called.
func (w *Writer) Fact(f *whispererv1.DeliveryFact, stored func()) {
	size := 200 + len(f.GetEventId()) + len(f.GetEntity())
	if a := f.GetAttempt(); a != nil {
		size += 200 + len(a.GetResponseBody()) + len(a.GetUrl()) + len(a.GetError()) + len(a.GetRequestHeaders()) +
			len(a.GetResponseHeaders())
	}
	w.put(entry{fact: f, size: size, stored: stored})
}

// Rejected tells of something on the OMS stream that is no event; stored is called as by Fact.
func (w *Writer) Rejected(r *whispererv1.RejectedEvent, stored func()) {
	w.put(entry{rejected: r, size: 200 + len(r.GetRaw()) + headerSize(r.GetHeaders()), stored: stored})
}

// Stale tells that an event was fanned out by what this worker knew some time ago; stored is called as by Fact.
func (w *Writer) Stale(s *whispererv1.StaleFanout, stored func()) {
	w.put(entry{stale: s, size: 100 + len(s.GetTenant()) + len(s.GetSnapshot()), stored: stored})
}

// put waits until there is room: a stream that cannot be reached slows down those who have something to tell.
func (w *Writer) put(e entry) {
	_ = w.room.Acquire(context.Background(), e.weight()) // its context does not end
	w.in <- e
}

// weight is what an entry takes of the room. One that is larger than all of it would never get in.
func (e *entry) weight() int64 { return int64(min(e.size, maxEntry)) }

func headerSize(headers []*whispererv1.Header) int {
	n := 0
	for _, h := range headers {
		n += len(h.GetName()) + len(h.GetValue()) + 6
	}
	return n
}

// Run sends until ctx ends.
func (w *Writer) Run(ctx context.Context) {
	var left *entry // did not fit into the batch before
	for {
		if left == nil {
			select {
			case e := <-w.in:
				left = &e
			case <-ctx.Done():
				return
			}
		}
		began := time.Now()
		var batch []entry
		if batch, left = w.fill(*left); !w.send(ctx, batch) {
			return
		}
		if left == nil && len(batch) < maxBatchFacts && !daemon.Sleep(ctx, pace-time.Since(began)) {
			return
		}
	}
}

// fill makes a batch of the first entry and those that are there already; left is one that did not fit.
func (w *Writer) fill(first entry) (batch []entry, left *entry) {
	batch, size := append(batch, first), first.size
	for len(batch) < maxBatchFacts {
		select {
		case e := <-w.in:
			if size+e.size > maxBatchBytes {
				return batch, &e
			}
			batch, size = append(batch, e), size+e.size
		default:
			return batch, nil
		}
	}
	return batch, nil
}

// send publishes the batch for as long as it takes; false means that ctx ended first.
func (w *Writer) send(ctx context.Context, batch []entry) bool {
	out := &whispererv1.LedgerBatch{Worker: w.worker}
	for _, e := range batch {
		switch {
		case e.fact != nil:
			out.Facts = append(out.Facts, e.fact)
		case e.rejected != nil:
			out.Rejected = append(out.Rejected, e.rejected)
		default:
			addStale(out, e.stale)
		}
	}
	id := uuid.NewString() // the same for every repetition: the stream keeps one
	stored := daemon.Until(ctx, 500*time.Millisecond, func() error { return w.bus.PublishFacts(ctx, id, out) }, func(err error) {
		w.log.Warn("failed to store facts", zap.Int("facts", len(batch)), zap.Error(err))
	})
	if !stored {
		return false
	}
	for i := range batch {
		w.room.Release(batch[i].weight())
		batch[i].stored()
	}
	return true
}

// addStale adds to a batch, once for all events of a tenant that were fanned out by the same knowledge.
func addStale(out *whispererv1.LedgerBatch, s *whispererv1.StaleFanout) {
	for _, there := range out.GetStale() {
		if there.GetTenant() == s.GetTenant() && there.GetSnapshot() == s.GetSnapshot() {
			there.Since = min(there.GetSince(), s.GetSince())
			return
		}
	}
	out.Stale = append(out.Stale, s)
}
