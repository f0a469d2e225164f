package simulation_test

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// rows is a worker's client of the simulated database. It has the methods of *store.DB and *store.Recorder that workers use.
type rows struct {
	w *worker
	d *database
}

func (s *rows) do(ctx context.Context, k kind, what string, effect func()) error {
	return s.w.call(ctx, k, what, func() error {
		effect()
		return nil
	})
}

func (s *rows) SeenEvents(ctx context.Context, events []store.Published) (out map[store.EventKey]store.SeenEvent, err error) {
	err = s.do(ctx, askDatabase, "look up ids", func() { out = s.d.seen(events) })
	return out, err
}

func (s *rows) EventIDs(ctx context.Context, since time.Time, _ int, take func(store.EventKey)) (bool, error) {
	err := s.do(ctx, askDatabase, "read ids", func() {
		for _, key := range s.d.eventIDs(since) {
			take(key)
		}
	})
	return true, err
}

func (s *rows) Acquire(ctx context.Context, name, holder string, ttl time.Duration) (l store.Lease, ok bool, err error) {
	err = s.do(ctx, toDatabase, "take lease "+s.w.short(name), func() { l, ok = s.d.acquire(name, holder, ttl) })
	return l, ok, err
}

func (s *rows) Renew(ctx context.Context, l store.Lease, ttl time.Duration) (ok bool, err error) {
	err = s.do(ctx, toDatabase, "renew lease "+s.w.short(l.Name), func() { ok = s.d.renew(l, ttl) })
	return ok, err
}

func (s *rows) Release(ctx context.Context, l store.Lease) error {
	return s.do(ctx, toDatabase, "release lease "+s.w.short(l.Name), func() { s.d.release(l) })
}

func (s *rows) GiveUp(ctx context.Context, at webhook.Sequence, publishedAt time.Time) error {
	return s.do(ctx, toDatabase, "give up", func() { s.d.giveUp(at, publishedAt) })
}

func (s *rows) Recorded(ctx context.Context, keys []store.DeliveryKey) (out map[uuid.UUID]store.Recorded, err error) {
	err = s.do(ctx, askDatabase, "look up deliveries", func() { out = s.d.recorded(keys) })
	return out, err
}

func (s *rows) Interrupted(ctx context.Context, events []store.Published) (out []store.InterruptedDelivery, err error) {
	err = s.do(ctx, askDatabase, "look up interrupted deliveries", func() { out = s.d.interrupted(events) })
	return out, err
}

func (s *rows) GetEvent(ctx context.Context, tenant, id string, publishedAt time.Time) (e webhook.Event, err error) {
	err = s.w.call(ctx, askDatabase, "read event", func() (err error) {
		e, err = s.d.event(tenant, id, publishedAt)
		return err
	})
	return e, err
}

func (s *rows) WriteFacts(ctx context.Context, batches []*whispererv1.LedgerBatch) error {
	return s.do(ctx, toDatabase, fmt.Sprintf("record %d batches", len(batches)), func() { s.d.writeFacts(batches) })
}

func (s *rows) WriteEvents(ctx context.Context, events []webhook.Event) error {
	return s.do(ctx, toDatabase, fmt.Sprintf("record %d events", len(events)), func() { s.d.writeEvents(events) })
}

func (s *rows) Probe(ctx context.Context) error { return s.do(ctx, askDatabase, "probe", func() {}) }

func (s *rows) ListBacklogs(ctx context.Context) (out []uuid.UUID, err error) {
	err = s.do(ctx, askDatabase, "list backlogs", func() { out = s.d.backlogsOf() })
	return out, err
}

func (s *rows) ForgetBacklogs(ctx context.Context, hooks ...uuid.UUID) error {
	return s.do(ctx, toDatabase, "forget backlogs", func() { s.d.forgetBacklogs(hooks) })
}

func (s *rows) EndDeliveries(ctx context.Context, hook uuid.UUID, limit int) (out store.Ended, err error) {
	err = s.do(ctx, toDatabase, "end deliveries of "+s.w.nameOf(hook), func() { out = s.d.end(hook, limit) })
	return out, err
}

func (s *rows) FindBackfills(ctx context.Context, _ []uuid.UUID) (map[uuid.UUID]uint64, error) {
	return nil, s.do(ctx, askDatabase, "look for backfills", func() {})
}

func (s *rows) OpenDrainer(ctx context.Context, _ string, ttl time.Duration) (id uuid.UUID, err error) {
	err = s.do(ctx, toDatabase, "open drainer", func() { id = s.d.openDrainer(ttl) })
	return id, err
}

func (s *rows) RenewDrainer(ctx context.Context, drainer uuid.UUID, leases []store.DrainLease, ttl time.Duration) error {
	return s.w.call(ctx, toDatabase, "renew drainer", func() error { return s.d.renewDrainer(drainer, leases, ttl) })
}

func (s *rows) CloseDrainer(ctx context.Context, drainer uuid.UUID) error {
	return s.do(ctx, toDatabase, "close drainer", func() { s.d.closeDrainer(drainer) })
}

func (s *rows) LeaseHooks(ctx context.Context, drainer uuid.UUID, worker string, wanted []store.DrainLease, ttl time.Duration) (out []store.DrainLease, err error) {
	err = s.do(ctx, toDatabase, fmt.Sprintf("take leases of %d hooks", len(wanted)), func() { out = s.d.leaseHooks(drainer, worker, wanted, ttl) })
	return out, err
}

func (s *rows) ReleaseHooks(ctx context.Context, drainer uuid.UUID, leases []store.DrainLease) error {
	return s.do(ctx, toDatabase, "release leases", func() { s.d.releaseHooks(drainer, leases) })
}

func (s *rows) NoteAttempts(ctx context.Context, leases []store.DrainLease) error {
	return s.do(ctx, toDatabase, "remember attempts", func() { s.d.attemptedNow(leases) })
}

func (s *rows) Take(ctx context.Context, drainer uuid.UUID, wants []store.Want, places []store.Places) (out []*store.ParkedDelivery, err error) {
	err = s.do(ctx, toDatabase, fmt.Sprintf("take parked of %d hooks", len(wants)), func() {
		out = s.d.take(drainer, wants, places)
		for _, p := range out {
			s.w.trace("%s takes %s for %s", s.w.name, s.w.events.name(p.Event.ID), s.w.nameOf(p.HookID))
		}
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

func (s *rows) Supersede(ctx context.Context, drainer uuid.UUID, lease store.DrainLease) (n int, more bool, err error) {
	err = s.do(ctx, toDatabase, "supersede deliveries of "+s.w.nameOf(lease.Hook), func() { n = s.d.supersede(drainer, lease) })
	return n, false, err
}

func (s *rows) FindMoving(ctx context.Context, hooks []uuid.UUID, places []store.Places) (out []uuid.UUID, err error) {
	err = s.do(ctx, askDatabase, "look beyond", func() { out = s.d.moving(hooks, places) })
	return out, err
}

func (s *rows) Load(ctx context.Context, list []*store.ParkedDelivery, _ int) error {
	err := s.do(ctx, askDatabase, "load parked", func() {})
	if err == nil {
		s.d.load(list)
	}
	return err
}

func (s *rows) SetBatch(ctx context.Context, drainer uuid.UUID, list []*store.ParkedDelivery, batches []uuid.UUID) (ok bool, err error) {
	err = s.do(ctx, toDatabase, fmt.Sprintf("remember a batch of %d", len(list)), func() { ok = s.d.setBatch(drainer, list, batches) })
	return ok, err
}

func (s *rows) Settle(ctx context.Context, drainer uuid.UUID, list []store.Drained) error {
	return s.do(ctx, toDatabase, fmt.Sprintf("settle %d parked", len(list)), func() { s.d.settle(drainer, list) })
}

func (s *rows) KnownGaps(ctx context.Context, others []string) (out *store.Gaps, err error) {
	err = s.do(ctx, askDatabase, "list gaps", func() { out = s.d.knownGaps(others) })
	return out, err
}

func (s *rows) GapHooks(ctx context.Context, g *store.Gaps) (out []*webhook.Hook, err error) {
	err = s.do(ctx, askDatabase, "list hooks of gaps", func() { out = s.d.gapHooks(g) })
	return out, err
}

func (s *rows) GapEvents(ctx context.Context, g *store.Gaps, after store.Place, upTo []webhook.Sequence, _ bool) (out []webhook.Event, err error) {
	err = s.do(ctx, askDatabase, "list events of gaps", func() { out = s.d.gapEvents(g, after, upTo, 2) })
	return out, err
}

func (s *rows) ParkMissed(ctx context.Context, missed []store.Missed) (n int, err error) {
	err = s.do(ctx, toDatabase, fmt.Sprintf("park %d missed", len(missed)), func() { n = s.d.parkMissed(missed) })
	return n, err
}

func (s *rows) CloseGaps(ctx context.Context, g *store.Gaps) error {
	return s.do(ctx, toDatabase, "close gaps", func() {
		for _, x := range s.d.known[g] {
			s.w.trace("%s closes the gap of %s since change %d", s.w.name, s.w.nameOf(x.hook), x.xid)
		}
		s.d.closeGaps(g)
	})
}

func (s *rows) ForgetChanges(context.Context) error { return nil }
