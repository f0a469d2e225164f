package fanout

import (
	"context"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// probeEvery is the interval between probes of an unavailable ledger, and probeTime the time limit of one probe.
	probeEvery = time.Second
	probeTime  = 2 * time.Second
)

// known asks the ledger which of the events' ids it has, except ids that are certainly new. If the ledger cannot answer in
// time, events are fanned out without the check, because a duplicate is better than a lost event.
func (f *Fanout) known(ctx context.Context, events []taken) map[store.EventKey]store.SeenEvent {
	var published []store.Published
	for _, t := range events {
		if key := (store.EventKey{Tenant: t.event.Tenant, ID: t.event.ID}); f.seen == nil || !f.seen.isNew(t.msg, key) {
			published = append(published, store.Published{EventKey: key, At: t.event.PublishedAt})
		}
	}
	if len(published) == 0 {
		return nil
	}
	if f.unasked.Load() {
		f.Observer.Unasked(len(published))
		return nil
	}
	ask := func(ctx context.Context) (map[store.EventKey]store.SeenEvent, error) {
		return f.Seen.SeenEvents(ctx, published)
	}
	began := time.Now()
	known, err := daemon.Within(ctx, lookUp, ask)
	if err != nil && f.Bus.Stopped(began) { // this process was suspended, so the ledger had no time to answer: ask once more
		known, err = daemon.Within(ctx, lookUp, ask)
	}
	if err != nil {
		f.Observer.Unasked(len(published))
		f.stopAsking(err)
	}
	return known
}

// first returns the earlier event with the same id, if there is one.
func (f *Fanout) first(key store.EventKey, t taken, known map[store.EventKey]store.SeenEvent) (store.SeenEvent, bool) {
	if before, ok := known[key]; ok && before.Seq.Before(t.event.Seq) {
		return before, true
	}
	before := f.recent.put(key, remembered{seq: t.event.Seq, digest: t.digest, publishedAt: t.event.PublishedAt})
	return before, before.Seq != 0 && before.Seq.Before(t.event.Seq)
}

// recorded returns what the ledger has of the deliveries of late events. If the ledger cannot answer, events are fanned out
// anyway.
func (f *Fanout) recorded(ctx context.Context, events []taken) map[uuid.UUID]store.Recorded {
	var keys []store.DeliveryKey
	before := f.Bus.Time(time.Now()).Add(-late)
	for _, t := range events {
		if !t.again && t.event.PublishedAt.Before(before) {
			keys = append(keys, deliveryKeys(t)...)
		}
	}
	if len(keys) == 0 || f.unasked.Load() {
		return nil
	}
	recorded, err := f.History.Now(ctx, keys)
	if err != nil {
		f.stopAsking(err)
	}
	return recorded
}

func deliveryKeys(t taken) []store.DeliveryKey {
	keys := make([]store.DeliveryKey, len(t.hooks))
	for i, h := range t.hooks {
		keys[i] = store.DeliveryKey{ID: webhook.DeliveryID(h.ID, t.event.ID), PublishedAt: t.event.PublishedAt}
	}
	return keys
}

// stopAsking suspends the queries about new events after one has failed, because a ledger that does not answer would delay each
// batch. Events are fanned out without the check until the ledger answers a probe, which runs in the background.
func (f *Fanout) stopAsking(why error) {
	if !f.unasked.CompareAndSwap(false, true) {
		return
	}
	began := time.Now()
	f.Log.Warn("ledger unavailable: events are not checked for duplicates", zap.Error(why))
	f.open.Go(func() {
		if daemon.Sleep(f.ending, probeEvery) && daemon.Until(f.ending, probeEvery, f.probe, func(error) {}) {
			f.Log.Info("ledger available again: events are checked for duplicates", zap.Duration("after", time.Since(began)))
			f.unasked.Store(false)
		}
	})
}

// probe asks the ledger for an event that does not exist.
func (f *Fanout) probe() error {
	_, err := daemon.Within(f.ending, probeTime, func(ctx context.Context) (map[store.EventKey]store.SeenEvent, error) {
		return f.Seen.SeenEvents(ctx, []store.Published{{At: f.Bus.Time(time.Now())}})
	})
	return err
}
