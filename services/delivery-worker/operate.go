package deliveryworker

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/delivery-worker/internal/housekeeper"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/erase"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

func (s *Service) housekeeper() *housekeeper.Housekeeper {
	return housekeeper.New(housekeeper.Deps{
		DB: s.db, Bus: s.bus, Eraser: erase.New(s.db, func() (*bus.Bus, error) { return s.bus, nil }, s.metrics.erasures, s.log), History: s.history, Announce: s.own.Announce,
		Wanted: func(tenant, eventType string) bool {
			return len(s.index.Candidates(&webhook.Event{Tenant: tenant, Type: eventType, PublishedAt: s.bus.Time(time.Now())})) > 0
		},
		Swept: s.metrics.Swept, Trimmed: s.metrics.Trimmed, Log: s.log,
		Worker: s.config.Worker, Every: s.config.HousekeepEvery, EventAge: s.config.EventAge, Payloads: s.config.KeepPayloads,
		Records: s.config.KeepRecords, Overdue: s.config.SweepAfter,
		Disable: housekeeper.Disable{After: s.config.DisableAfter, MinFailures: s.config.DisableFailures, MinSpan: s.config.DisableSpan},
	})
}

// operator notifies people and other programs about hooks and deliveries.
type operator struct{ s *Service }

// OnDead implements deliver's operator.
func (o operator) OnDead(due *webhook.Due, reason webhook.Reason, attempts int, result webhook.Result) {
	o.s.own.tryAnnounce(context.Background(), due.Event.Tenant, typeDead, fmt.Sprintf("dead:%s:%d", due.ID, attempts), due.Event.Entity, map[string]any{
		"delivery_id": due.ID, "hook_id": due.Hook.ID, "event_id": due.Event.ID, "event_type": due.Event.Type,
		"reason": reason, "attempts": attempts, "last_status": result.Status, "last_error": result.Class,
	})
}

// typeDead is the type of the operational event for a delivery that is not retried any more.
const typeDead = "delivery.dead"

// Disable implements deliver's operator. The database decides whether the hook is disabled, because it may have a newer version
// of the hook. Until the index is updated, this worker parks the hook's deliveries. The hook that carries callbacks cannot be
// disabled.
func (o operator) Disable(h *webhook.Hook, reason string) {
	if h.Carrier() {
		return
	}
	if known := o.s.index.Get(h.ID); known != nil && known.Version == h.Version { // unless the hook was edited since the attempt
		parking := *h
		parking.Status = webhook.Paused
		o.s.index.Put(parking)
	}
	go o.disable(h, reason)
}

func (o operator) disable(h *webhook.Hook, reason string) {
	log := o.s.log.With(zap.Stringer("hook_id", h.ID), zap.String("reason", reason))
	var disabled bool
	err := daemon.Await(context.Background(), log, "postgres", func(ctx context.Context) (err error) {
		disabled, err = o.s.db.Hooks.Disable(ctx, "delivery-worker", h.ID, store.IfVersion{h.Version}, reason)
		return err
	}, context.Canceled)
	switch {
	case err != nil: // cannot happen: the context does not end
		return
	case !disabled:
		log.Info("hook not disabled: it was changed, disabled or deleted since the attempt")
		return
	}
	log.Warn("hook disabled")
	o.s.own.tryAnnounce(context.Background(), h.Tenant, "hook.disabled", fmt.Sprintf("disabled:%s:%d", h.ID, h.Version),
		"hook:"+h.ID.String(), map[string]any{"hook_id": h.ID, "name": h.Name, "target_url": h.TargetURL, "reason": reason})
}
