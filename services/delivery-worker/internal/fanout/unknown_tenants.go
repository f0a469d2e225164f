package fanout

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

const (
	// tenantsEvery is how often the database is asked at most on behalf of unknown tenants, which anybody can make up who
	// publishes, and tenantsTime how long the answer may take.
	tenantsEvery = 300 * time.Millisecond
	tenantsTime  = 5 * time.Second
)

// lookUpTenant puts an event aside whose tenant is not known, as it may be newer than what this worker knows, until the
// database was asked. It takes the room of others that could go on, so that there has to be some.
func (f *Fanout) lookUpTenant(t taken) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ending.Err() != nil || t.msg.Crowds() {
		t.msg.Settle(errNotSettled)
		return
	}
	f.unknown = append(f.unknown, t)
	if !f.lookingUp {
		f.lookingUp = true
		f.open.Go(f.lookUpTenants)
	}
}

// lookUpTenants asks the database before it rejects events of unknown tenants, once for all that have come by then.
func (f *Fanout) lookUpTenants() {
	for {
		f.mu.Lock()
		list := f.unknown
		f.unknown, f.lookingUp = nil, len(list) > 0
		f.mu.Unlock()
		if len(list) == 0 {
			return
		}
		f.settleUnknown(list)
		daemon.Sleep(f.ending, tenantsEvery)
	}
}

// settleUnknown brings what is known up to date and looks again.
func (f *Fanout) settleUnknown(list []taken) {
	asking, cancel := context.WithTimeout(f.ending, tenantsTime)
	defer cancel()
	if err := f.Refresher.Refresh(asking); err != nil {
		f.Log.Warn("events of unknown tenants wait: failed to look up tenants", zap.Int("events", len(list)), zap.Error(err))
		for _, t := range list {
			if t.msg.Deliveries > poisonAfter { // this is its last try, so that it is kept
				f.lookUpTenant(t)
			} else { // to a worker that can ask
				t.msg.Settle(errNotSettled)
			}
		}
		return
	}
	var events []taken
	for _, t := range list {
		switch {
		case !f.Hooks.HasTenant(t.event.Tenant):
			f.reject(t.msg, t.event, envelope.UnknownTenant, "there is no such tenant")
		case f.fits(t.msg, t.event):
			t.digest = t.event.Digest()
			events = append(events, t)
		}
	}
	f.goOn(f.lives, events)
}
