// Package ledger publishes facts to the LEDGER stream, and reads from PostgreSQL what was recorded before.
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
	// pace is the shortest interval between batches that are not full. A message costs the stream and the recorder more than a
	// fact, and no delivery waits for another's fact.
	pace = 2 * time.Millisecond
	// maxBytes bounds the entries that wait to be sent, and maxEntry how much of an entry's size counts.
	maxBytes, maxEntry = 16 << 20, 1 << 20
)

// publisher is implemented by *bus.Bus.
type publisher interface {
	PublishFacts(ctx context.Context, id string, batch *whispererv1.LedgerBatch) error
}

// entry is one entry of the ledger, and the callback for when it is stored.
type entry struct {
	fact     *whispererv1.DeliveryFact
	rejected *whispererv1.RejectedEvent
	stale    *whispererv1.StaleFanout
	size     int
	stored   func()
}

// Writer sends facts in batches. A batch grows while the previous one is in flight, and until pace has passed. A single fact is
// sent at once.
type Writer struct {
	bus    publisher
	worker string
	log    *zap.Logger
	in     chan entry
	room   *semaphore.Weighted
}

// NewWriter returns a Writer that puts the worker's name into its batches; call Run to start it.
func NewWriter(bus publisher, worker string, log *zap.Logger) *Writer {
	return &Writer{bus: bus, worker: worker, log: log, in: make(chan entry, 4*maxBatchFacts), room: semaphore.NewWeighted(maxBytes)}
}

// Fact sends a fact. stored is called once, on another goroutine, when the stream has the fact; if the writer is stopped before that,
// it is never called.
func (w *Writer) Fact(f *whispererv1.DeliveryFact, stored func()) {
	size := 200 + len(f.GetEventId()) + len(f.GetEntity())
	if a := f.GetAttempt(); a != nil {
		size += 200 + len(a.GetResponseBody()) + len(a.GetUrl()) + len(a.GetError()) + len(a.GetRequestHeaders()) +
			len(a.GetResponseHeaders())
	}
	w.put(entry{fact: f, size: size, stored: stored})
}

// Rejected records a message of the OMS stream that is not a valid event; stored is called as in Fact.
func (w *Writer) Rejected(r *whispererv1.RejectedEvent, stored func()) {
	w.put(entry{rejected: r, size: 200 + len(r.GetRaw()) + headerSize(r.GetHeaders()), stored: stored})
}

// Stale records that an event was fanned out with outdated knowledge of hooks; stored is called as in Fact.
func (w *Writer) Stale(s *whispererv1.StaleFanout, stored func()) {
	w.put(entry{stale: s, size: 100 + len(s.GetTenant()) + len(s.GetSnapshot()), stored: stored})
}

// put adds an entry, and waits until there is room: an unavailable stream slows down its callers.
func (w *Writer) put(e entry) {
	_ = w.room.Acquire(context.Background(), e.weight()) // the context does not end, so there is no error
	w.in <- e
}

// weight returns how much of the room an entry takes. It is at most maxEntry, so that even a very large entry fits.
func (e *entry) weight() int64 { return int64(min(e.size, maxEntry)) }

func headerSize(headers []*whispererv1.Header) int {
	n := 0
	for _, h := range headers {
		n += len(h.GetName()) + len(h.GetValue()) + 6
	}
	return n
}

// Run sends entries until ctx ends.
func (w *Writer) Run(ctx context.Context) {
	var left *entry // the entry that did not fit into the previous batch
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

// fill makes a batch of the first entry and those that are already waiting. left is the entry that did not fit.
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

// send publishes the batch, and retries until it succeeds. It returns false if ctx ended first.
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
	id := uuid.NewString() // the same for each retry, so that the stream discards duplicates
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

// addStale adds an entry to a batch. It merges it with an entry for the same tenant and snapshot.
func addStale(out *whispererv1.LedgerBatch, s *whispererv1.StaleFanout) {
	for _, there := range out.GetStale() {
		if there.GetTenant() == s.GetTenant() && there.GetSnapshot() == s.GetSnapshot() {
			there.Since = min(there.GetSince(), s.GetSince())
			return
		}
	}
	out.Stale = append(out.Stale, s)
}
