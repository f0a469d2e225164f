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

// known asks the ledger which ids it has, but for those that are surely new. Where it cannot answer in time, events go on:
// better twice than not at all.
func (f *Fanout) known(ctx context.Context, events []taken) map[store.EventKey]store.SeenEvent {
	var published []store.Published
	for _, t := range events {
		if key := (store.EventKey{Tenant: t.event.Tenant, ID: t.event.ID}); f.heard == nil || !f.heard.isNew(t.msg, key) {
			published = append(published, store.Published{EventKey: key, At: t.event.PublishedAt})
		}
	}
	if len(published) == 0 {
		return nil
	}
	if f.asking.off.Load() {
		f.Observer.Unasked(len(published))
		return nil
	}
	known, err := daemon.Within(ctx, lookUp, func(ctx context.Context) (map[store.EventKey]store.SeenEvent, error) {
		return f.Seen.SeenEvents(ctx, published)
	})
	if err != nil {
		f.Observer.Unasked(len(published))
		f.stopAsking(err)
	}
	return known
}

// first returns the event with the same id that came earlier in the stream, if there was one.
func (f *Fanout) first(key store.EventKey, t taken, known map[store.EventKey]store.SeenEvent) (store.SeenEvent, bool) {
	if before, ok := known[key]; ok && before.Seq.Before(t.event.Seq) {
		return before, true
	}
	before := f.recent.put(key, remembered{seq: t.event.Seq, digest: t.digest, publishedAt: t.event.PublishedAt})
	return before, before.Seq != 0 && before.Seq.Before(t.event.Seq)
}

// recorded returns what the ledger has of deliveries of events that are late, or whose consumer was made again. Where it cannot answer, events go on.
func (f *Fanout) recorded(ctx context.Context, events []matched) map[uuid.UUID]store.Recorded {
	var keys []store.DeliveryKey
	older, before := false, f.Stream.Time(time.Now()).Add(-late)
	for _, t := range events {
		if !t.msg.Redelivered() && !t.again && (t.msg.Older || t.event.PublishedAt.Before(before)) {
			older = older || t.msg.Older
			keys = append(keys, deliveryKeys(t.event, t.hooks)...)
		}
	}
	if len(keys) == 0 || f.asking.off.Load() {
		return nil
	}
	if older { // what became of it may just be on its way to the ledger
		if err := f.History.CatchUp(ctx); err != nil {
			f.Log.Warn("late events are looked up in a ledger that lags", zap.Int("deliveries", len(keys)), zap.Error(err))
		}
	}
	recorded, err := f.History.Now(ctx, keys)
	if err != nil {
		f.stopAsking(err)
	}
	return recorded
}

func deliveryKeys(e *webhook.Event, hooks []*webhook.Hook) []store.DeliveryKey {
	keys := make([]store.DeliveryKey, len(hooks))
	for i, h := range hooks {
		keys[i] = store.DeliveryKey{ID: webhook.DeliveryID(h.ID, e.ID), PublishedAt: e.PublishedAt}
	}
	return keys
}
