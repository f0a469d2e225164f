package fanout

import (
	"context"
	"sync"
	"time"

	"github.com/bits-and-blooms/bloom/v3"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// dayOfIDs is the number of ids that a filter holds, in 5 MB, before its rate of false positives exceeds mistaken.
	dayOfIDs = 4 << 20
	mistaken = 0.01
	// enough events in a row, over at least longEnough, indicate that this worker gets all events. Several workers get one
	// event each in turn under light load, and hundreds at once under heavy load.
	enough     = 8
	longEnough = time.Second
	// lookEvery is the interval at which readSeenIDs checks whether this worker gets all events. One read from the ledger takes
	// at most maxRead ids and readLimit; between two reads there is at least readPause, and readShare times the duration of the
	// read.
	lookEvery = 500 * time.Millisecond
	maxRead   = 500_000
	readPause = time.Minute
	readLimit = time.Minute
	readShare = 100
)

// seenIDs recognizes new ids without asking the ledger, while one worker gets all events. Every event of the last day then
// either came to this worker or is recorded, and the ids of both kinds are in its Bloom filters. A false positive makes the
// worker ask the ledger about a new id; a known id is never taken for new. Times are the stream's.
type seenIDs struct {
	ids uint // capacity of one filter

	mu sync.Mutex
	// run is the latest uninterrupted run of events at this worker. events is its length, began when its first event was
	// published, came when that event arrived.
	run         bus.Run
	events      int
	began, came time.Time
	// complete reports that the filters hold all ids of the day before since. Older events that other partitions still have are
	// looked up.
	complete bool
	since    time.Time
	// now holds the ids since turned. old holds those of at least the day before that.
	now, old *bloom.BloomFilter
	turned   time.Time
}

func newSeenIDs(ids uint) *seenIDs { return &seenIDs{ids: ids, now: newFilter(ids)} }

func newFilter(ids uint) *bloom.BloomFilter { return bloom.NewWithEstimates(ids, mistaken) }

// isNew reports whether there was certainly no event with the key in the day before m was published. It adds the key to the
// filter.
func (s *seenIDs) isNew(m *bus.Message, key store.EventKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.Run.ID > s.run.ID {
		s.run, s.events, s.began, s.came, s.complete = m.Run, 0, m.PublishedAt, time.Now(), false
	}
	s.events++
	switch {
	case s.turned.IsZero():
		s.turned = m.PublishedAt
	case m.PublishedAt.Sub(s.turned) > store.SameEvent:
		s.now, s.old, s.turned = newFilter(s.ids), s.now, m.PublishedAt
	}
	if m.PublishedAt.Sub(s.began) > store.SameEvent { // the day before the run has passed: the run itself covers a whole day
		if !s.complete {
			s.complete, s.since = true, m.PublishedAt
		}
	}
	name := nameOf(key)
	known := s.now.TestOrAddString(name) || s.old != nil && s.old.TestString(name)
	early := m.PublishedAt.Before(s.since) || m.PublishedAt.Before(s.turned)
	return s.complete && !known && !early && m.Run == s.run && !m.Redelivered() && !m.Older
}

func nameOf(key store.EventKey) string { return key.Tenant + " " + key.ID }

// lacking returns the current run if the ids of the day before it are worth reading, and when that day began.
func (s *seenIDs) lacking(now time.Time) (run bus.Run, since time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.run, s.began.Add(-store.SameEvent), !s.complete && s.events >= enough && now.Sub(s.came) >= longEnough
}

// add adds the key of a recorded event.
func (s *seenIDs) add(key store.EventKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.AddString(nameOf(key))
}

// finish reports that all ids of the day before the run were added.
func (s *seenIDs) finish(run bus.Run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.complete && s.run == run {
		s.complete, s.since = true, s.began
	}
}

// readSeenIDs reads the recorded ids whenever this worker appears to get all events, until ctx ends.
func (f *Fanout) readSeenIDs(ctx context.Context) {
	var notBefore time.Time
	var hopeless bus.Run // the run before which there are too many ids to read
	daemon.Every(ctx, lookEvery, func(ctx context.Context) {
		now := time.Now()
		run, since, ok := f.seen.lacking(now)
		if !ok || run == hopeless || now.Before(notBefore) || !f.settled(ctx, run.After) {
			return
		}
		if !f.readIDs(ctx, run, since) {
			hopeless = run
		}
		notBefore = time.Now().Add(max(readPause, readShare*time.Since(now)))
	})
}

// settled reports whether the events up to a sequence are recorded.
func (f *Fanout) settled(ctx context.Context, seq uint64) bool {
	lag, err := f.Bus.Lag(ctx, bus.EventRecorder)
	return err == nil && lag.Done(seq)
}

// readIDs adds the recorded ids since the given time to the filters. It returns false if there are too many.
func (f *Fanout) readIDs(ctx context.Context, run bus.Run, since time.Time) bool {
	type read struct {
		ids int
		all bool
	}
	began := time.Now()
	got, err := daemon.Within(ctx, readLimit, func(ctx context.Context) (got read, err error) {
		got.all, err = f.Seen.EventIDs(ctx, since, maxRead, func(key store.EventKey) {
			f.seen.add(key)
			got.ids++
		})
		return got, err
	})
	switch {
	case ctx.Err() != nil:
	case err != nil:
		f.Log.Warn("failed to load recorded event ids: the ledger is asked for each event meanwhile", zap.Error(err))
	case !got.all:
		f.Log.Info("too many recorded event ids: the ledger is asked for each event", zap.Int("limit", maxRead))
		return false
	default:
		f.seen.finish(run)
		f.Log.Info("new event ids are recognized without the ledger", zap.Int("recorded", got.ids), zap.Duration("took", time.Since(began)))
	}
	return true
}
