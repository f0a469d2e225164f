package simulation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// recording is the part of a database that recorders write with.
type recording interface {
	WriteFacts(ctx context.Context, batches []*whispererv1.LedgerBatch) error
	WriteEvents(ctx context.Context, events []webhook.Event) error
}

// gaps is the part of a database that closes gaps.
type gaps interface {
	KnownGaps(ctx context.Context, others []string) (*store.Gaps, error)
	GapHooks(ctx context.Context, g *store.Gaps) ([]*webhook.Hook, error)
	GapEvents(ctx context.Context, g *store.Gaps, after store.Place, upTo []webhook.Sequence, payloads bool) ([]webhook.Event, error)
	ParkMissed(ctx context.Context, missed []store.Missed) (parked int, err error)
	CloseGaps(ctx context.Context, g *store.Gaps) error
}

// side is a database, simulated or real, with the drainers and leases that the test has in it.
type side struct {
	*testing.T
	recording

	store interface {
		gaps
		Recorded(ctx context.Context, keys []store.DeliveryKey) (map[uuid.UUID]store.Recorded, error)
		Interrupted(ctx context.Context, events []store.Published) ([]store.InterruptedDelivery, error)
		SeenEvents(ctx context.Context, events []store.Published) (map[store.EventKey]store.SeenEvent, error)
	}
	queue interface {
		OpenDrainer(ctx context.Context, worker string, ttl time.Duration) (uuid.UUID, error)
		CloseDrainer(ctx context.Context, drainer uuid.UUID) error
		LeaseHooks(ctx context.Context, drainer uuid.UUID, worker string, wanted []store.DrainLease, ttl time.Duration) ([]store.DrainLease, error)
		ReleaseHooks(ctx context.Context, drainer uuid.UUID, leases []store.DrainLease) error
		Take(ctx context.Context, drainer uuid.UUID, wants []store.Want, places []store.Places) ([]*store.ParkedDelivery, error)
	}
	hooks interface {
		EndDeliveries(ctx context.Context, hook uuid.UUID, limit int) (store.Ended, error)
		ListBacklogs(ctx context.Context) ([]uuid.UUID, error)
	}
	supersede func(ctx context.Context, drainer uuid.UUID, lease store.DrainLease) (n int, more bool, err error)
	setBatch  func(ctx context.Context, drainer uuid.UUID, list []*store.ParkedDelivery, batches []uuid.UUID) (ok bool, err error)
	settle    func(ctx context.Context, drainer uuid.UUID, list []store.Drained) error
	moving    func(ctx context.Context, hooks []uuid.UUID, places []store.Places) ([]uuid.UUID, error)
	change    func(id uuid.UUID, edit func(*webhook.Hook)) // nil deletes the hook
	// snapshot returns the snapshot up to which all changes are known. age moves the beginning of all gaps back.
	snapshot func() string
	age      func(by time.Duration)

	drainers [2]uuid.UUID
	leases   [2][]store.DrainLease
	taken    [2][]*store.ParkedDelivery
	stale    []string // earlier snapshots
}

func ok[T any](t *testing.T, value T, err error) T {
	t.Helper()
	require.NoError(t, err)
	return value
}

// hookAt returns one of the test's hooks, and eventAt one of its events.
func hookAt(i int) uuid.UUID { return uuid.NewSHA1(uuid.Nil, []byte{byte(i)}) }

func eventAt(at time.Time, i int) webhook.Event {
	return webhook.Event{
		ID: fmt.Sprint("e", i), Tenant: tenant, Type: "order.created", Entity: []string{"x", "y", ""}[i%3], Seq: webhook.Sequence(1 + i),
		PublishedAt: at.Add(time.Duration(i) * time.Second), Data: json.RawMessage(`{}`),
	}
}

// one performs one random step and returns a description of its result.
func (s *side) one(r *rand.Rand, began time.Time) string {
	ctx, d := s.Context(), r.IntN(2)
	hook := hookAt(r.IntN(4))
	switch r.IntN(15) {
	case 11:
		s.stale = append(s.stale, s.snapshot())
		if n := len(s.stale); n%8 == 0 {
			s.age(time.Hour)
		}
		told := &whispererv1.StaleFanout{Tenant: tenant, Snapshot: s.stale[r.IntN(len(s.stale))], Since: eventAt(began, r.IntN(5)).PublishedAt.UnixNano()}
		require.NoError(s, s.WriteFacts(ctx, []*whispererv1.LedgerBatch{{Worker: "w", Stale: []*whispererv1.StaleFanout{told}}}))
		return "stale"
	case 12:
		return s.closeGaps(webhook.Sequence(r.IntN(6)))
	case 0, 1, 2, 3:
		var facts []*whispererv1.DeliveryFact
		for range 1 + r.IntN(3) {
			facts = append(facts, someFact(r, began, hookAt(r.IntN(4))))
		}
		require.NoError(s, s.WriteFacts(ctx, []*whispererv1.LedgerBatch{{Worker: "w", Facts: facts}}))
		return fmt.Sprint("facts ", facts)
	case 4:
		if s.drainers[d] != uuid.Nil {
			require.NoError(s, s.queue.CloseDrainer(ctx, s.drainers[d]))
			require.NoError(s, s.queue.ReleaseHooks(ctx, s.drainers[d], s.leases[d]))
			s.leases[d], s.taken[d] = nil, nil
		}
		s.drainers[d] = ok(s.T, uuid.UUID{}, nil)
		id, err := s.queue.OpenDrainer(ctx, fmt.Sprint("w", d), time.Hour)
		s.drainers[d] = ok(s.T, id, err)
		return fmt.Sprint("a new drainer ", d)
	case 5, 6:
		list, err := s.queue.LeaseHooks(ctx, s.drainers[d], fmt.Sprint("w", d), []store.DrainLease{{Hook: hook, Alone: hook == hookAt(1) || hook == hookAt(2)}}, time.Hour)
		require.NoError(s, err)
		for i := range list {
			list[i].LastAttemptAt = time.Time{} // it comes from the hooks' health, which is not simulated
			l := list[i]
			s.leases[d] = append(slices.DeleteFunc(s.leases[d], func(o store.DrainLease) bool { return o.Hook == l.Hook }), l)
		}
		return fmt.Sprint("leases ", d, list)
	case 7, 8:
		return s.take(r, d)
	case 14:
		list, batches := s.taken[d], make([]uuid.UUID, len(s.taken[d]))
		for i := range batches {
			batches[i] = hookAt(r.IntN(2))
		}
		all, err := s.setBatch(ctx, s.drainers[d], list, batches)
		return fmt.Sprint("batches ", ok(s.T, all, err))
	case 13:
		at := slices.IndexFunc(s.leases[d], func(l store.DrainLease) bool { return l.Hook == hook })
		if at < 0 {
			return ""
		}
		n, _, err := s.supersede(ctx, s.drainers[d], s.leases[d][at])
		return fmt.Sprint("superseded ", ok(s.T, n, err))
	case 9:
		var list []store.Drained
		for _, p := range s.taken[d] {
			list = append(list, store.Drained{ParkedDelivery: p, As: []store.DrainedAs{store.Gone, store.KeepsBack, store.Back}[r.IntN(3)]})
		}
		s.taken[d] = nil
		require.NoError(s, s.settle(ctx, s.drainers[d], list))
		return fmt.Sprint("settled ", len(list))
	default:
		if r.IntN(3) > 0 {
			return "hook " + s.edit(r, hook)
		}
		ended, err := s.hooks.EndDeliveries(ctx, hook, 100)
		return fmt.Sprint("ended ", ok(s.T, ended, err))
	}
}

// closeGaps closes the open gaps, for all hooks alike.
func (s *side) closeGaps(upTo webhook.Sequence) string {
	ctx, parked, seen := s.Context(), 0, 0
	gaps, err := s.store.KnownGaps(ctx, nil)
	if require.NoError(s, err); gaps == nil {
		return "no gaps"
	}
	hooks, err := s.store.GapHooks(ctx, gaps)
	require.NoError(s, err)
	for place := (store.Place{}); ; {
		events, err := s.store.GapEvents(ctx, gaps, place, []webhook.Sequence{upTo}, false)
		if require.NoError(s, err); len(events) == 0 {
			break
		}
		var missed []store.Missed
		for i := range events {
			for _, h := range hooks {
				if !events[i].PublishedAt.Before(gaps.Since[h.ID]) {
					missed = append(missed, store.Missed{Hook: h.ID, Event: &events[i]})
				}
			}
			place = store.After(&events[i])
		}
		n, err := s.store.ParkMissed(ctx, missed)
		require.NoError(s, err)
		parked, seen = parked+n, seen+len(events)
	}
	require.NoError(s, s.store.CloseGaps(ctx, gaps))
	return fmt.Sprintf("closed after %d events, %d parked", seen, parked)
}

func (s *side) edit(r *rand.Rand, hook uuid.UUID) string {
	switch r.IntN(6) {
	case 0:
		s.change(hook, nil)
		return "deleted"
	case 1:
		s.change(hook, func(h *webhook.Hook) { h.Status = webhook.Disabled })
		return "disabled"
	case 2:
		s.change(hook, func(h *webhook.Hook) { h.Config = parsed(map[string]any{"ordering": "hook"}) })
		return "ordered"
	default:
		s.change(hook, func(h *webhook.Hook) { h.Status = webhook.Active })
		return "active"
	}
}

func (s *side) take(r *rand.Rand, d int) string {
	var wants []store.Want
	orders := []webhook.Ordering{webhook.OrderNone, webhook.OrderHook, webhook.OrderEntity, webhook.OrderNone}
	for i, o := range orders {
		for _, l := range s.leases[d] {
			if l.Hook == hookAt(i) {
				w := store.Want{Lease: l, Limit: 1 + r.IntN(3), Ordering: o}
				if l.Alone && r.IntN(2) == 0 {
					w.Batch = &webhook.Batch{MaxEvents: 2, MaxWait: []time.Duration{-24 * time.Hour, 24 * time.Hour}[r.IntN(2)]}
				}
				wants = append(wants, w)
			}
		}
	}
	places := []store.Places{{UpTo: webhook.Sequence(1 + r.IntN(6))}}
	list, err := s.queue.Take(s.Context(), s.drainers[d], wants, places)
	require.NoError(s, err)
	out := fmt.Sprint("taken by ", d, places[0].UpTo, ":")
	var got []string
	for _, p := range list {
		got = append(got, fmt.Sprint(" ", p.HookID, p.Event.ID, p.Attempts, p.Round.Retries, p.Replay, p.ParkedAt.UTC()))
	}
	slices.Sort(got)
	s.taken[d] = append(s.taken[d], list...)
	slices.SortFunc(s.taken[d], func(a, b *store.ParkedDelivery) int { return compareIDs(a.ID, b.ID) })
	beyond, err := s.moving(s.Context(), []uuid.UUID{hookAt(1), hookAt(2)}, places)
	slices.SortFunc(beyond, compareIDs)
	return fmt.Sprint(out, got, ok(s.T, beyond, err))
}

func someFact(r *rand.Rand, began time.Time, hook uuid.UUID) *whispererv1.DeliveryFact {
	e := eventAt(began, r.IntN(5))
	id := webhook.DeliveryID(hook, e.ID)
	f := &whispererv1.DeliveryFact{
		DeliveryId: id[:], HookId: hook[:], Tenant: tenant, EventId: e.ID, EventSeq: uint64(e.Seq), EventType: e.Type, Entity: e.Entity, PublishedAt: e.PublishedAt.UnixNano(),
		Attempts: uint32(r.IntN(3)), At: began.Add(time.Duration(r.IntN(4)) * time.Minute).UnixNano(), RoundAttempts: uint32(r.IntN(3)), First: r.IntN(3) == 0, Replay: r.IntN(8) == 0,
	}
	states := []webhook.DeliveryState{webhook.Parked, webhook.Parked, webhook.Waiting, webhook.Waiting, webhook.Delivered, webhook.Dead}
	f.State = string(states[r.IntN(len(states))])
	if f.GetState() == string(webhook.Waiting) && r.IntN(4) > 0 {
		f.NextAt = f.GetAt() + int64(time.Minute)
	}
	if f.GetAttempts() > 0 && f.GetState() != string(webhook.Parked) {
		f.Attempt = &whispererv1.AttemptFact{Number: f.GetAttempts(), StartedAt: f.GetAt(), Outcome: string(webhook.Failed), Method: "POST", Url: "https://x.example"}
	}
	return f
}

// looks returns a description of everything in the database.
func (s *side) looks(began time.Time) string {
	var keys []store.DeliveryKey
	var events, published []store.Published
	for i := range 4 {
		for n := range 5 {
			e := eventAt(began, n)
			keys = append(keys, store.DeliveryKey{ID: webhook.DeliveryID(hookAt(i), e.ID), PublishedAt: e.PublishedAt})
			events = append(events, store.Published{EventKey: store.EventKey{Tenant: tenant, ID: e.ID}, At: began.Add(time.Hour)})
		}
	}
	recorded, err := s.store.Recorded(s.Context(), keys)
	require.NoError(s, err)
	out := ""
	for _, k := range keys {
		if r, there := recorded[k.ID]; there {
			out += fmt.Sprintln(k.ID, r.State, r.Attempts, r.NextAt.UTC())
		}
	}
	for n := range 5 {
		e := eventAt(began, n)
		published = append(published, store.Published{EventKey: store.EventKey{Tenant: tenant, ID: e.ID}, At: e.PublishedAt})
	}
	interrupted, err := s.store.Interrupted(s.Context(), published)
	slices.SortFunc(interrupted, func(a, b store.InterruptedDelivery) int { return compareKeys(a.DeliveryKey, b.DeliveryKey) })
	out += fmt.Sprintln(ok(s.T, interrupted, err))
	backlogs, err := s.hooks.ListBacklogs(s.Context())
	slices.SortFunc(backlogs, compareIDs)
	seen, seenErr := s.store.SeenEvents(s.Context(), events)
	return out + fmt.Sprint(ok(s.T, backlogs, err), len(ok(s.T, seen, seenErr)))
}

func simulated(t *testing.T) *side {
	w := newWorld(1)
	w.chance = chance{}
	d := newDatabase()
	x := &rows{w: &worker{world: w, name: "w", throws: map[string]uint64{}}, d: d}
	return &side{T: t, recording: x, store: x, queue: x, hooks: x, supersede: x.Supersede, setBatch: x.SetBatch, settle: x.Settle, moving: x.FindMoving, change: func(id uuid.UUID, edit func(*webhook.Hook)) {
		if edit == nil {
			if d.hooks[id] != nil {
				d.setHook(id, nil)
			}
			return
		}
		next := hookOf(id)
		if h := d.hooks[id]; h != nil {
			next = *h
		}
		edit(&next)
		d.setHook(id, &next)
	}, snapshot: func() string { return strconv.Itoa(d.xid) }, age: func(by time.Duration) {
		for _, g := range d.gaps {
			g.since = g.since.Add(-by)
		}
	}}
}

func hookOf(id uuid.UUID) webhook.Hook {
	return webhook.Hook{
		ID: id, Tenant: tenant, EventTypes: []string{"*"}, TargetURL: "https://x.example/" + id.String(), NotificationType: webhook.NotificationREST,
		Config: parsed(map[string]any{}), Status: webhook.Active,
	}
}

func live(t *testing.T) *side {
	db := testenv.OpenStore(t)
	db.MakeTenant(t, tenant)
	r := db.Ledger.NewRecorder()
	t.Cleanup(r.Close)
	plain := testenv.Plain(t, db.URL)
	return &side{T: t, recording: r, store: db.Ledger, queue: db.Queue, hooks: db.Queue, supersede: db.Queue.Supersede, setBatch: db.Queue.SetBatch, settle: db.Queue.Settle, moving: db.Queue.FindMoving, change: func(id uuid.UUID, edit func(*webhook.Hook)) {
		ctx := t.Context()
		if edit == nil {
			if err := db.Hooks.Delete(ctx, "test", tenant, id, nil); !errors.Is(err, webhook.ErrNotFound) {
				require.NoError(t, err)
			}
			return
		}
		_, err := db.Hooks.Update(ctx, "test", tenant, id, nil, func(h *webhook.Hook) error { edit(h); return nil })
		if errors.Is(err, webhook.ErrNotFound) {
			h := hookOf(id)
			edit(&h)
			stored, err := db.Hooks.Create(ctx, "test", h, 1000, store.IdempotencyKey{})
			require.NoError(t, err)
			_, err = plain.ExecContext(ctx, `UPDATE hooks SET id = $1 WHERE id = $2`, id, stored.ID)
			require.NoError(t, err)
			return
		}
		require.NoError(t, err)
	}, snapshot: func() (now string) {
		require.NoError(t, plain.QueryRowContext(t.Context(), `SELECT pg_current_snapshot()::text`).Scan(&now))
		return now
	}, age: func(by time.Duration) {
		_, err := plain.ExecContext(t.Context(), `UPDATE hook_gaps SET since = since - $1 * interval '1 second'`, by.Seconds())
		require.NoError(t, err)
	}}
}

// The simulated database behaves like a real one at each step.
func TestDatabaseIsLikePostgres(t *testing.T) { //nolint:paralleltest // the histories want the processor alone
	const steps = 400
	began := time.Now().UTC().Add(-2 * time.Hour).Truncate(time.Second)
	a, b := simulated(t), live(t)
	first, second := rand.New(rand.NewPCG(*first, 1)), rand.New(rand.NewPCG(*first, 1))
	for _, s := range []*side{a, b} {
		for i := range 3 { // the fourth hook is deleted
			s.change(hookAt(i), func(h *webhook.Hook) {
				if i > 0 {
					h.Config = parsed(map[string]any{"ordering": []string{"hook", "entity"}[i-1]})
				}
			})
		}
		for d := range s.drainers {
			id, err := s.queue.OpenDrainer(t.Context(), fmt.Sprint("w", d), time.Hour)
			s.drainers[d] = ok(t, id, err)
		}
		events := []webhook.Event{eventAt(began, 0), eventAt(began, 1), eventAt(began.Add(time.Minute), 0)}
		require.NoError(t, s.WriteEvents(t.Context(), events))
		require.Equal(t, "closed after 0 events, 0 parked", s.closeGaps(10), "events from before the hooks")
	}
	for i := range steps {
		said, must := a.one(first, began), b.one(second, began)
		require.Equal(t, must, said, "step %d", i)
		require.Equal(t, b.looks(began), a.looks(began), "after step %d: %s", i, said)
	}
}

// The simulated JetStream behaves like a real one.
func TestServerIsLikeJetStream(t *testing.T) { //nolint:paralleltest // the histories want the processor alone
	served, err := bus.Connect(t.Context(), bus.Options{URL: testenv.NATS(t), Name: t.Name(), Log: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(served.Close)
	require.NoError(t, served.Streams().Ensure(t.Context()))
	w := newWorld(1)
	w.chance, w.server.stored, w.server.spread = chance{}, func(*stream, *message) {}, true
	x := &worker{world: w, name: "w", throws: map[string]uint64{}}
	made := bus.Over(client{w: x, s: w.server}, link{x}, 1, zap.NewNop())
	t.Cleanup(func() { x.dead.Store(true) })
	require.Equal(t, onBus(t, served), onBus(t, made))
}

// onBus performs steps on a bus and returns descriptions of their results.
func onBus(t *testing.T, b *bus.Bus) (said []string) {
	ctx := t.Context()
	say := func(format string, args ...any) { said = append(said, fmt.Sprintf(format, args...)) }
	lag := func(c bus.Consumer, done func(bus.Lag) bool) {
		var l bus.Lag
		require.Eventually(t, func() bool {
			var err error
			l, err = b.Lag(ctx, c)
			return err == nil && done(l)
		}, time.Minute, 10*time.Millisecond)
		say("%s: %+v", c, l)
	}
	next := func(s *bus.Subscription) bus.Message {
		list, more := s.TakeBatch(ctx, nil, 1)
		require.True(t, more)
		say("%s %d, handed out %d times: %s", list[0].Subject, list[0].Seq, list[0].Deliveries, list[0].Data)
		return list[0]
	}
	for _, id := range []string{"1", "2", "2", "3"} {
		require.NoError(t, b.PublishMsg(ctx, b.Message(&bus.Outgoing{Tenant: tenant, Type: "order.created", ID: id, Body: []byte(id)})))
	}
	lag(bus.Fanout, func(l bus.Lag) bool { return l.Pending == 3 })
	sub, err := b.Subscribe(ctx, bus.Fanout, bus.Room{Messages: 8})
	require.NoError(t, err)
	one, two, three := next(sub), next(sub), next(sub)
	lag(bus.Fanout, func(l bus.Lag) bool { return l.InFlight == 3 })
	require.NoError(t, two.Ack())
	lag(bus.Fanout, func(l bus.Lag) bool { return l.InFlight == 2 })
	require.NoError(t, one.HandBack(0))
	one = next(sub)
	require.NoError(t, three.HandBack(300*time.Millisecond))
	require.NoError(t, one.Ack())
	lag(bus.Fanout, func(l bus.Lag) bool { return l.Settled == 2 })
	three = next(sub)
	require.NoError(t, three.Ack())
	lag(bus.Fanout, func(l bus.Lag) bool { return l.Settled == 3 })
	sub.Stop()
	retriesOn(t, b, say, next)
	return said
}

func retriesOn(t *testing.T, b *bus.Bus, say func(string, ...any), next func(*bus.Subscription) bus.Message) {
	ctx, hook, delivery, other := t.Context(), hookAt(1), hookAt(2), hookAt(3)
	at := time.Unix(1_700_000_000, 0)
	retry := func(id uuid.UUID, attempts uint32) *whispererv1.Retry {
		return &whispererv1.Retry{HookId: hook[:], DeliveryId: id[:], Attempts: attempts, PublishedAt: at.UnixNano()}
	}
	scheduled := func(id uuid.UUID) {
		there, err := b.Retries().Scheduled(ctx, hook, id, at)
		require.NoError(t, err)
		n, err := b.Retries().Due(ctx, hook)
		require.NoError(t, err)
		say("scheduled: %t, due: %d", there, n)
	}
	scheduled(delivery)
	require.NoError(t, b.Retries().Schedule(ctx, time.Now().Add(time.Hour), retry(delivery, 1)))
	require.NoError(t, b.Retries().Schedule(ctx, time.Now().Add(time.Hour), retry(other, 1)))
	scheduled(other)
	require.NoError(t, b.Retries().Purge(ctx, hook))
	scheduled(other)
	require.NoError(t, b.Retries().Schedule(ctx, time.Now().Add(time.Hour), retry(delivery, 1)))
	require.NoError(t, b.Retries().Schedule(ctx, time.Now().Add(3*time.Second), retry(delivery, 2))) // replaces the previous one
	scheduled(delivery)
	sub, err := b.Subscribe(ctx, bus.Retry, bus.Room{Messages: 8})
	require.NoError(t, err)
	due := next(sub)
	scheduled(delivery)
	require.NoError(t, due.Ack())
	require.Eventually(t, func() bool {
		n, err := b.Retries().Due(ctx, hook)
		return err == nil && n == 0
	}, time.Minute, 10*time.Millisecond)
	for _, put := range []bool{false, true} {
		if put {
			require.NoError(t, b.Retries().PutOff(ctx, time.Now().Add(time.Hour), &webhook.Event{ID: "1", Tenant: tenant, Seq: 1, PublishedAt: at}))
		}
		there, err := b.Retries().HasPutOff(ctx, tenant)
		require.NoError(t, err)
		say("put off: %t", there)
	}
	sub.Stop()
}
