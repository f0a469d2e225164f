package fanout

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
)

const (
	// doubtEvery is how often the database is asked at most on behalf of unknown tenants, which anybody can make up who
	// publishes, and doubtTime how long the answer may take.
	doubtEvery = 300 * time.Millisecond
	doubtTime  = 5 * time.Second
)

// doubts are events whose tenant is not known: it may be newer than what this worker knows.
type doubts struct {
	came chan struct{} // has room for one

	mu    sync.Mutex
	list  []taken
	ended bool // nobody settles them any more
}

// doubt puts an event aside until the database was asked. It takes the room of others that could go on, so that there has to
// be some.
func (f *Fanout) doubt(t taken) {
	f.doubts.mu.Lock()
	defer f.doubts.mu.Unlock()
	if f.doubts.ended || t.msg.Crowds() {
		f.handBack(t.msg)
		return
	}
	f.doubts.list = append(f.doubts.list, t)
	select {
	case f.doubts.came <- struct{}{}:
	default:
	}
}

// settleDoubts asks the database before it rejects events of unknown tenants, once for all that have come by then. It returns
// when ending ends; ctx is that of deliveries.
func (f *Fanout) settleDoubts(ctx, ending context.Context) {
	for ending.Err() == nil {
		select {
		case <-ending.Done():
		case <-f.doubts.came:
			f.settle(ctx, ending, f.doubtful(false))
			select {
			case <-ending.Done():
			case <-time.After(doubtEvery):
			}
		}
	}
	for _, t := range f.doubtful(true) {
		f.handBack(t.msg)
	}
}

// doubtful takes the events that were put aside.
func (f *Fanout) doubtful(last bool) []taken {
	f.doubts.mu.Lock()
	defer f.doubts.mu.Unlock()
	list := f.doubts.list
	f.doubts.list, f.doubts.ended = nil, last
	return list
}

// settle brings what is known up to date and looks again.
func (f *Fanout) settle(ctx, ending context.Context, list []taken) {
	asking, cancel := context.WithTimeout(ending, doubtTime)
	defer cancel()
	if err := f.Refresher.Refresh(asking); err != nil {
		f.Log.Warn("events of unknown tenants wait: failed to look up tenants", zap.Int("events", len(list)), zap.Error(err))
		f.wait(list)
		return
	}
	var events []taken
	for _, t := range list {
		switch {
		case !f.Hooks.HasTenant(t.event.Tenant):
			f.reject(t.msg, t.event.Tenant, envelope.UnknownTenant, "there is no such tenant")
		case f.fits(t.msg, t.event):
			t.digest = t.event.Digest()
			events = append(events, t)
		}
	}
	f.goOn(ctx, events)
}

// wait hands events back, to a worker that can ask. A suspect has had its last try with that, and is kept.
func (f *Fanout) wait(list []taken) {
	for _, t := range list {
		if t.msg.Deliveries > poisonAfter {
			f.doubt(t)
		} else {
			f.handBack(t.msg)
		}
	}
}
