package fanout

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

const (
	// tenantsEvery is the minimum interval between queries about unknown tenants, which any publisher can make up. tenantsTime
	// is the time limit of such a query.
	tenantsEvery = 300 * time.Millisecond
	tenantsTime  = 5 * time.Second
)

// lookUpTenant sets aside an event whose tenant this worker does not know, because the tenant may be newer than the index.
// Waiting events take the room of others that could go on, so if there is none, the event is handed back.
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

// lookUpTenants asks the database before it rejects events of unknown tenants. One query serves all events that have arrived by
// then.
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

// settleUnknown refreshes the index and then rejects the events whose tenant is still unknown. The others go on.
func (f *Fanout) settleUnknown(list []taken) {
	asking, cancel := context.WithTimeout(f.ending, tenantsTime)
	defer cancel()
	if err := f.Refresher.Refresh(asking); err != nil {
		f.Log.Warn("events of unknown tenants wait: failed to look up tenants", zap.Int("events", len(list)), zap.Error(err))
		for _, t := range list {
			if t.msg.Deliveries > poisonAfter { // its last try: handing it back would reject it
				f.lookUpTenant(t)
			} else { // another worker may reach the database
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
