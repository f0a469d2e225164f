package store_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// backlog is a hook with deliveries in the parked queue, with the means to drain it.
type backlog struct {
	t     *testing.T
	db    *store.DB
	plain *sqlx.DB
	hook  uuid.UUID
	book  *store.Recorder
}

// newBacklog parks deliveries of a new hook with the given sequences, each with an entity of its own.
func newBacklog(t *testing.T, db *store.DB, plain *sqlx.DB, seqs ...uint64) backlog {
	t.Helper()
	b := backlog{t, db, plain, uuid.New(), recorder(t, db)}
	for _, seq := range seqs {
		b.tell(seq, webhook.Parked, 0)
	}
	return b
}

func (b backlog) delivery(seq uint64) delivery {
	return delivery{id: webhook.DeliveryID(b.hook, fmt.Sprintf("e-%d", seq)), hook: b.hook}
}

// tell records a state of the delivery with the sequence.
func (b backlog) tell(seq uint64, state webhook.DeliveryState, attempts uint32, edit ...func(*whispererv1.DeliveryFact)) {
	b.t.Helper()
	edit = append([]func(*whispererv1.DeliveryFact){func(f *whispererv1.DeliveryFact) {
		f.EventSeq, f.EventId, f.Entity = seq, fmt.Sprintf("e-%d", seq), fmt.Sprintf("order:%d", seq%10)
	}}, edit...)
	write(b.t, b.book, batchOf(b.delivery(seq).fact(state, attempts, int(attempts), edit...)))
}

// later moves a fact some seconds after another with the same number of attempts.
func later(seconds int) func(*whispererv1.DeliveryFact) {
	return func(f *whispererv1.DeliveryFact) { f.At += int64(seconds) * int64(time.Second) }
}

func (b backlog) drainer(ttl time.Duration) uuid.UUID {
	b.t.Helper()
	id, err := b.db.Queue.OpenDrainer(b.t.Context(), "w", ttl)
	require.NoError(b.t, err)
	return id
}

// lease takes the hook's lease. It returns false if another drainer holds it.
func (b backlog) lease(drainer uuid.UUID, alone bool, ttl time.Duration) (store.DrainLease, bool) {
	b.t.Helper()
	got, err := b.db.Queue.LeaseHooks(b.t.Context(), drainer, "w", []store.DrainLease{{Hook: b.hook, Alone: alone}}, ttl)
	require.NoError(b.t, err)
	if len(got) == 0 {
		return store.DrainLease{}, false
	}
	return got[0], true
}

// take returns the deliveries that a drainer takes, and their sequences.
func (b backlog) take(drainer uuid.UUID, w store.Want) (list []*store.ParkedDelivery, seqs []uint64) {
	b.t.Helper()
	list, err := b.db.Queue.Take(b.t.Context(), drainer, []store.Want{w}, []store.Places{{UpTo: 1 << 40}})
	require.NoError(b.t, err)
	for _, p := range list {
		seqs = append(seqs, uint64(p.Event.Seq))
	}
	return list, seqs
}

func (b backlog) settle(drainer uuid.UUID, as store.DrainedAs, list ...*store.ParkedDelivery) {
	b.t.Helper()
	told := make([]store.Drained, len(list))
	for i, p := range list {
		told[i] = store.Drained{ParkedDelivery: p, As: as}
	}
	require.NoError(b.t, b.db.Queue.Settle(b.t.Context(), drainer, told))
}

// queued returns the sequences in the queue. Those that keep others back are negative.
func (b backlog) queued() []int64 {
	b.t.Helper()
	seqs := []int64{}
	require.NoError(b.t, b.plain.SelectContext(b.t.Context(), &seqs, `
		SELECT CASE WHEN waiting THEN -event_seq ELSE event_seq END FROM parked p WHERE hook_id = $1 ORDER BY p.event_seq`, b.hook))
	return seqs
}

func TestTheQueueHasWhatTheLedgerSaysIsParked(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	b := newBacklog(t, db, plain, 1, 2, 3)
	b.tell(1, webhook.Parked, 0) // the same fact again
	require.Equal(t, []int64{1, 2, 3}, b.queued())
	b.tell(1, webhook.Delivered, 1, answered(200))
	b.tell(1, webhook.Parked, 0)
	b.tell(2, webhook.Waiting, 1, answered(500))
	require.Equal(t, []int64{3}, b.queued())
	b.tell(2, webhook.Parked, 1, later(1))
	require.Equal(t, []int64{2, 3}, b.queued())

	// a delivery that was tried leaves the queue before the ledger records the outcome, and an older fact does not put it back
	me := b.drainer(time.Minute)
	l, _ := b.lease(me, false, time.Minute)
	list, seqs := b.take(me, store.Want{Lease: l, Limit: 1})
	require.Equal(t, []uint64{2}, seqs)
	b.settle(me, store.Gone, list...)
	b.tell(2, webhook.Parked, 1, later(1))
	require.Equal(t, []int64{3}, b.queued())
	// a later fact does, although the ledger never got the one about the attempt
	b.tell(2, webhook.Parked, 2)
	require.Equal(t, []int64{2, 3}, b.queued())
	// the outcome of an earlier taking does not remove it
	list, _ = b.take(me, store.Want{Lease: l, Limit: 1})
	b.tell(2, webhook.Parked, 3)
	b.settle(me, store.Gone, list...)
	require.Equal(t, []int64{2, 3}, b.queued())

	// a reused id belongs to another delivery
	b.tell(3, webhook.Parked, 0, func(f *whispererv1.DeliveryFact) { f.PublishedAt += int64(48 * time.Hour); f.EventSeq = 30 })
	require.Equal(t, []int64{2, 3, 30}, b.queued())
	b.tell(3, webhook.Delivered, 1, answered(200))
	require.Equal(t, []int64{2, 30}, b.queued())
}

func TestWhatAnExpiredDrainerSaysDoesNotCount(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	b := newBacklog(t, db, plain, 1, 2, 3)
	stuck := b.drainer(10 * time.Second)
	l, ok := b.lease(stuck, true, 10*time.Second)
	require.True(t, ok)
	list, seqs := b.take(stuck, store.Want{Lease: l, Limit: 2, Ordering: webhook.OrderHook})
	require.Equal(t, []uint64{1, 2}, seqs)

	next := b.drainer(time.Minute)
	var again store.DrainLease
	require.Eventually(t, func() bool { again, ok = b.lease(next, true, time.Minute); return ok }, time.Minute, 10*time.Millisecond)
	_, seqs = b.take(next, store.Want{Lease: again, Limit: 1, Ordering: webhook.OrderHook})
	require.Equal(t, []uint64{1}, seqs)
	b.settle(stuck, store.Gone, list[0])
	require.Equal(t, []int64{1, 2, 3}, b.queued(), "it is the next one's")
	_, seqs = b.take(stuck, store.Want{Lease: l, Limit: 3})
	require.Empty(t, seqs)
	require.ErrorIs(t, db.Queue.RenewDrainer(t.Context(), stuck, []store.DrainLease{l}, time.Minute), store.ErrExpired)
	b.settle(stuck, store.Gone, list[1])
	require.Equal(t, []int64{1, 3}, b.queued(), "nobody else has it: it was made")
}

func TestDrainersTakeSideBySideOrAlone(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	b := newBacklog(t, db, plain, 1, 2, 3, 4, 5)
	one, two := b.drainer(time.Minute), b.drainer(time.Minute)
	l1, ok := b.lease(one, false, time.Minute)
	require.True(t, ok)
	l2, ok := b.lease(two, false, time.Minute)
	require.True(t, ok)
	_, ok = b.lease(uuid.New(), true, time.Minute)
	require.False(t, ok, "others have it")
	first, seqs := b.take(one, store.Want{Lease: l1, Limit: 2})
	require.Equal(t, []uint64{1, 2}, seqs)
	_, seqs = b.take(two, store.Want{Lease: l2, Limit: 9})
	require.Equal(t, []uint64{3, 4, 5}, seqs)
	_, seqs = b.take(one, store.Want{Lease: l1, Limit: 9})
	require.Empty(t, seqs)
	b.settle(one, store.Back, first...)
	require.NoError(t, db.Queue.CloseDrainer(t.Context(), two))
	_, seqs = b.take(one, store.Want{Lease: l1, Limit: 9})
	require.Equal(t, []uint64{1, 2, 3, 4, 5}, seqs, "those of one that is gone, too")

	require.NoError(t, db.Queue.ReleaseHooks(t.Context(), one, []store.DrainLease{l1}))
	_, ok = b.lease(one, true, time.Minute)
	require.False(t, ok, "the other one has not released it")
	require.NoError(t, db.Queue.ReleaseHooks(t.Context(), two, []store.DrainLease{l2}))
	l3, ok := b.lease(one, true, time.Minute)
	require.True(t, ok)
	require.Greater(t, l3.Fence, l2.Fence)
	_, ok = b.lease(two, false, time.Minute)
	require.False(t, ok)

	// a program that does not know the queue takes leases by name
	_, ok, err := db.Leases.Acquire(t.Context(), "drain:"+b.hook.String(), "old", time.Minute)
	require.NoError(t, err)
	require.False(t, ok)
	require.NoError(t, db.Queue.ReleaseHooks(t.Context(), one, []store.DrainLease{l3}))
	old, ok, err := db.Leases.Acquire(t.Context(), "drain:"+b.hook.String(), "old", time.Minute)
	require.NoError(t, err)
	require.True(t, ok)
	_, ok = b.lease(one, false, time.Minute)
	require.False(t, ok)
	require.NoError(t, db.Leases.Release(t.Context(), old))
	l4, ok := b.lease(one, false, time.Minute)
	require.True(t, ok)
	require.True(t, l4.Foreign, "what it did may be on its way")
	require.False(t, l3.Foreign)
}

func TestALeaseSaysThatTheOneBeforeWasNotReleased(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	b := newBacklog(t, db, plain, 1)
	one, two := b.drainer(time.Minute), b.drainer(time.Minute)
	l, ok := b.lease(one, true, time.Minute)
	require.True(t, ok)
	require.False(t, l.Expired, "the first one")
	require.NoError(t, db.Queue.ReleaseHooks(t.Context(), one, []store.DrainLease{l}))
	l, ok = b.lease(two, true, 0)
	require.True(t, ok)
	require.False(t, l.Expired, "after one that was released")
	l, ok = b.lease(one, true, time.Minute)
	require.True(t, ok)
	require.True(t, l.Expired, "after one that was not")
}

// ordered stores a hook row that gives the backlog's hook an order.
func (b backlog) ordered(ordering string) {
	b.t.Helper()
	_, err := b.plain.ExecContext(b.t.Context(), `
		INSERT INTO hooks (id, tenant, name, notification_type, target_url, event_types, config, status)
		VALUES ($1::uuid, 'default', '', 'rest', 'https://erp.example/' || $1::uuid::text, '{order.*}', $2, 'active')
		ON CONFLICT (id) DO UPDATE SET config = excluded.config`, b.hook, `{"ordering":"`+ordering+`"}`)
	require.NoError(b.t, err)
}

func TestARetryKeepsBackWhatComesAfterItUntilItIsOver(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	for _, ordering := range []webhook.Ordering{webhook.OrderHook, webhook.OrderEntity} {
		b := newBacklog(t, db, plain, 1, 2, 11, 12)
		b.ordered(string(ordering))
		me := b.drainer(time.Minute)
		l, _ := b.lease(me, true, time.Minute)
		w := store.Want{Lease: l, Limit: 1, Ordering: ordering}
		list, _ := b.take(me, w)
		b.settle(me, store.KeepsBack, list...)
		require.Equal(t, []int64{-1, 2, 11, 12}, b.queued())
		w.Limit = 9
		list, seqs := b.take(me, w)
		if ordering == webhook.OrderHook {
			require.Empty(t, seqs)
		} else {
			require.Equal(t, []uint64{2, 12}, seqs, "of another entity")
		}
		b.settle(me, store.Back, list...)
		b.tell(1, webhook.Waiting, 1, answered(500))
		b.tell(1, webhook.Waiting, 2, answered(500))
		require.Equal(t, []int64{-1, 2, 11, 12}, b.queued())
		b.tell(1, webhook.Delivered, 3, answered(200))
		_, seqs = b.take(me, w)
		require.Equal(t, []uint64{2, 11, 12}, seqs)
	}
}

func TestAHookThatIsToKeepAnOrderHasItsRetriesKeepOthersBack(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	b := newBacklog(t, db, plain, 2)
	b.ordered("none")
	b.tell(1, webhook.Waiting, 1, answered(500))
	require.Equal(t, []int64{2}, b.queued())
	b.ordered("hook")
	require.Equal(t, []int64{-1, 2}, b.queued())
	b.tell(3, webhook.Waiting, 1, answered(500))
	require.Equal(t, []int64{-1, 2, -3}, b.queued())
	b.tell(1, webhook.Dead, 2, answered(500))
	b.tell(3, webhook.Delivered, 2, answered(200))
	require.Equal(t, []int64{2}, b.queued())
}

func TestRetentionLeavesTheQueueAlone(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	b := newBacklog(t, db, plain, 1, 2)
	require.Eventually(t, func() bool {
		_, busy, err := db.Ledger.DropDays(t.Context(), noon.AddDate(0, 0, 1), noon.AddDate(0, 0, 1))
		require.NoError(t, err)
		return busy == 0
	}, time.Minute, 10*time.Millisecond)
	require.Equal(t, []int64{1, 2}, b.queued())
	ended, err := db.Queue.EndDeliveries(t.Context(), b.hook, 10) // the hook does not exist
	require.NoError(t, err)
	require.Equal(t, webhook.ReasonHookDeleted, ended.Reason)
	require.Empty(t, b.queued())
	list, err := db.Queue.ListBacklogs(t.Context())
	require.NoError(t, err)
	require.Empty(t, list)
}

// locks waits until a session waits for a lock, and returns the number of relations that it has locked.
func locks(t *testing.T, plain *sqlx.DB) (n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		require.NoError(t, plain.GetContext(t.Context(), &n, `
			SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
			WHERE l.locktype = 'relation' AND a.wait_event_type = 'Lock' AND a.datname = current_database()`))
		return n > 0
	}, time.Minute, 10*time.Millisecond, "nobody waits")
	return n
}

func TestALookAtABacklogLocksFewRelationsHoweverManyDaysAreKept(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	last := noon.AddDate(0, 0, 400)
	for day := 0; day <= 400; day += 10 { // each day takes some locks until its transaction ends
		_, err := plain.ExecContext(t.Context(), `
			SELECT whisperer_ensure_day($1::date + n) FROM generate_series(0, least(9, 400 - $2)) n`, noon.AddDate(0, 0, day).Format(time.DateOnly), day)
		require.NoError(t, err)
	}
	b := newBacklog(t, db, plain)
	for seq, at := range map[uint64]time.Time{1: noon, 2: last} {
		b.tell(seq, webhook.Parked, 0, func(f *whispererv1.DeliveryFact) { f.PublishedAt = at.UnixNano() })
	}
	me := b.drainer(time.Minute)
	l, _ := b.lease(me, true, time.Minute)
	blocked := func(block string, do func() error) {
		t.Helper()
		tx, err := plain.BeginTxx(t.Context(), nil)
		require.NoError(t, err)
		defer tx.Rollback()
		_, err = tx.ExecContext(t.Context(), block)
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- do() }()
		n := locks(t, plain)
		require.Less(t, n, 30)
		require.NoError(t, tx.Rollback())
		require.NoError(t, <-done)
	}
	var list []*store.ParkedDelivery
	blocked(`SELECT FROM parked FOR UPDATE`, func() (err error) {
		list, err = db.Queue.Take(t.Context(), me, []store.Want{{Lease: l, Limit: 9, Ordering: webhook.OrderHook}}, []store.Places{{UpTo: 1 << 40}})
		return err
	})
	require.Len(t, list, 2)
	blocked(`LOCK TABLE events_`+last.Format("20060102"), func() error { return db.Queue.Load(t.Context(), list, 1<<20) })
	require.True(t, list[1].Loaded)
	blocked(`SELECT FROM parked FOR UPDATE`, func() error {
		return db.Queue.Settle(t.Context(), me, []store.Drained{{ParkedDelivery: list[0], As: store.Gone}, {ParkedDelivery: list[1], As: store.Back}})
	})
	require.Equal(t, []int64{2}, b.queued())
}

func TestRowsAreTakenWithoutCircles(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	for name, batch := range map[string]*webhook.Batch{"alone": nil, "in batches": {MaxEvents: 2, MaxWait: time.Second}} {
		b := newBacklog(t, db, plain, 1, 2, 3, 4, 5, 6, 7, 8)
		me := b.drainer(time.Minute)
		l, _ := b.lease(me, true, time.Minute)
		var last []uuid.UUID // recorders write in the order of the ids
		require.NoError(t, plain.SelectContext(t.Context(), &last, `SELECT id FROM parked WHERE hook_id = $1 ORDER BY id`, b.hook))
		recorder, err := plain.BeginTxx(t.Context(), nil)
		require.NoError(t, err)
		_, err = recorder.ExecContext(t.Context(), `SELECT FROM parked WHERE id = $1 FOR UPDATE`, last[0])
		require.NoError(t, err)
		type taken struct {
			list []*store.ParkedDelivery
			err  error
		}
		done := make(chan taken, 1)
		go func() {
			want := store.Want{Lease: l, Limit: 9, Ordering: webhook.OrderHook, Batch: batch}
			list, err := db.Queue.Take(t.Context(), me, []store.Want{want}, []store.Places{{UpTo: 1 << 40}})
			done <- taken{list, err}
		}()
		locks(t, plain)
		for _, id := range last[1:] {
			_, err = recorder.ExecContext(t.Context(), `SELECT FROM parked WHERE id = $1 FOR UPDATE NOWAIT`, id)
			require.NoError(t, err, "%s: who waits for the first has no other", name)
		}
		require.NoError(t, recorder.Rollback())
		got := <-done
		require.NoError(t, got.err)
		require.Len(t, got.list, 8)
		for i, p := range got.list {
			require.EqualValues(t, i+1, p.Event.Seq)
		}
	}
}

func TestRowsAreSettledWithoutCircles(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	b := newBacklog(t, db, plain, 1, 2)
	me := b.drainer(time.Minute)
	l, _ := b.lease(me, true, time.Minute)
	list, err := db.Queue.Take(t.Context(), me, []store.Want{{Lease: l, Limit: 9, Ordering: webhook.OrderHook}}, []store.Places{{UpTo: 1 << 40}})
	require.NoError(t, err)
	require.Len(t, list, 2)
	slices.SortFunc(list, func(a, b *store.ParkedDelivery) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	recorder, err := plain.BeginTxx(t.Context(), nil) // it writes in the order of the ids
	require.NoError(t, err)
	defer recorder.Rollback()
	_, err = recorder.ExecContext(t.Context(), `SELECT FROM parked WHERE id = $1 FOR UPDATE`, list[0].ID)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		done <- db.Queue.Settle(t.Context(), me, []store.Drained{{ParkedDelivery: list[1], As: store.Back}, {ParkedDelivery: list[0], As: store.Gone}})
	}()
	locks(t, plain)
	_, err = recorder.ExecContext(t.Context(), `SELECT FROM parked WHERE id = $1 FOR UPDATE NOWAIT`, list[1].ID)
	require.NoError(t, err, "who waits for the first has no other")
	require.NoError(t, recorder.Rollback())
	require.NoError(t, <-done)
	require.Len(t, b.queued(), 1)
}

func TestWhatIsMissingFromTheQueueIsPutBack(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	b := newBacklog(t, db, plain, 1, 2)
	b.tell(3, webhook.Delivered, 1, answered(200))
	_, err := plain.ExecContext(t.Context(), `DELETE FROM parked WHERE event_seq = 2`)
	require.NoError(t, err)
	list, err := db.Queue.ListUnqueued(t.Context(), noon.Add(-time.Second), 10)
	require.NoError(t, err)
	require.Empty(t, list, "it may be on its way")
	list, err = db.Queue.ListUnqueued(t.Context(), noon.Add(time.Second), 10)
	require.NoError(t, err)
	require.Len(t, list, 1)
	missing, err := db.Queue.Requeue(t.Context(), list[0])
	require.NoError(t, err)
	require.True(t, missing)
	require.Equal(t, []int64{1, 2}, b.queued())
	b.tell(2, webhook.Delivered, 1, answered(200))
	missing, err = db.Queue.Requeue(t.Context(), list[0])
	require.NoError(t, err)
	require.False(t, missing, "it is recorded by now")
}
