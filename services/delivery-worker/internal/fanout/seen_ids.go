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
	// dayOfIDs is how many ids a filter takes before it says of more than one new id in a hundred that it may be known: it
	// is 5 MB for that. mistaken is that one.
	dayOfIDs = 4 << 20
	mistaken = 0.01
	// enough events in a row, for long enough, say that this worker gets them all: several workers get one in turn under a
	// light load, and hundreds at once under a heavy one.
	enough     = 8
	longEnough = time.Second
	// lookEvery is how often it is looked whether that is so. What is read then from the ledger, at most maxRead ids and at
	// most every readPause and for readLimit, takes one part in readShare of the time.
	lookEvery = 500 * time.Millisecond
	maxRead   = 500_000
	readPause = time.Minute
	readLimit = time.Minute
	readShare = 100
)

// seenIDs knows that an id is new without asking the ledger, while one worker gets all events: then the events of the last
// day either came to this worker or are recorded, and the ids of both are in its filters. It may take a new id for one that is
// known, as filters do, and then the ledger is asked; never the other way round. Its clock is the stream's.
type seenIDs struct {
	ids uint // that a filter takes

	mu sync.Mutex
	// run is the latest that an event came in, with the number of its events, when the first was published and when it came.
	run         bus.Run
	events      int
	began, came time.Time
	// complete says that the ids of the day before since are in the filters, too. What other partitions have of older events is
	// looked up.
	complete bool
	since    time.Time
	// now has the ids since turned, and old those of the day before that, and maybe more.
	now, old *bloom.BloomFilter
	turned   time.Time
}

func newSeenIDs(ids uint) *seenIDs { return &seenIDs{ids: ids, now: newFilter(ids)} }

func newFilter(ids uint) *bloom.BloomFilter { return bloom.NewWithEstimates(ids, mistaken) }

// isNew says whether there was surely no event with the key in the day before the message's. It keeps the key.
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
	if m.PublishedAt.Sub(s.began) > store.SameEvent { // the day before the run is over
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

// lacking returns the run for which the ids of the day before are worth reading, and when that day began.
func (s *seenIDs) lacking(now time.Time) (run bus.Run, since time.Time, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.run, s.began.Add(-store.SameEvent), !s.complete && s.events >= enough && now.Sub(s.came) >= longEnough
}

// add keeps a key that is recorded.
func (s *seenIDs) add(key store.EventKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.AddString(nameOf(key))
}

// finish says that all ids of the day before the run were added.
func (s *seenIDs) finish(run bus.Run) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.complete && s.run == run {
		s.complete, s.since = true, s.began
	}
}

// readSeenIDs reads the recorded ids whenever this worker turns out to get all events, until ctx ends.
func (f *Fanout) readSeenIDs(ctx context.Context) {
	var notBefore time.Time
	var hopeless bus.Run // there are more ids before it than are read
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

// settled says whether the events up to a sequence are recorded.
func (f *Fanout) settled(ctx context.Context, seq uint64) bool {
	lag, err := f.Bus.Lag(ctx, bus.EventRecorder)
	return err == nil && lag.Done(seq)
}

// readIDs reads the recorded ids since the given time, the run's among them; false means that there are too many.
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
