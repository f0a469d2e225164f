package postgres_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

// claims are several workers that share one hook.
type claims struct {
	t    *testing.T
	db   *postgres.DB
	hook uuid.UUID
}

// newClaims parks deliveries of a new hook with the given sequences.
func newClaims(t *testing.T, db *postgres.DB, seqs ...uint64) claims {
	t.Helper()
	hook := uuid.New()
	parkSeqs(t, db, hook, webhook.Parked, seqs...)
	return claims{t, db, hook}
}

// parkSeqs records deliveries of the hook, one for each sequence, in a state.
func parkSeqs(t *testing.T, db *postgres.DB, hook uuid.UUID, state webhook.DeliveryState, seqs ...uint64) {
	t.Helper()
	var facts []*whispererv1.DeliveryFact
	for _, seq := range seqs {
		d := delivery{id: webhook.DeliveryID(hook, string(rune('a'+seq))), hook: hook}
		attempts := uint32(0)
		if state != webhook.Parked {
			attempts = 1
		}
		facts = append(facts, d.fact(state, attempts, int(attempts), func(f *whispererv1.DeliveryFact) { f.EventSeq = seq }))
	}
	write(t, recorder(t, db), batchOf(facts...))
}

func (c claims) lease() string { return "drain:" + c.hook.String() }

func (c claims) claim(holder uuid.UUID, ttl time.Duration, limit int) (*postgres.Claim, postgres.Unclaimed) {
	c.t.Helper()
	got, why, err := c.db.ClaimParked(c.t.Context(), c.lease(), c.hook, holder, ttl, limit)
	require.NoError(c.t, err)
	return got, why
}

func (c claims) end(holder uuid.UUID, claim *postgres.Claim, again bool) {
	c.t.Helper()
	require.NoError(c.t, c.db.EndClaim(c.t.Context(), *claim, holder, again))
}

func TestWorkersClaimRangesInOrderAndEachOnceInARound(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	c := newClaims(t, db, 3, 5, 8, 9, 12)
	one, two := uuid.New(), uuid.New()
	first, _ := c.claim(one, time.Minute, 2)
	require.Equal(t, &postgres.Claim{HookID: c.hook, After: 0, UpTo: 5}, first)
	second, _ := c.claim(two, time.Minute, 2)
	require.Equal(t, &postgres.Claim{HookID: c.hook, After: 5, UpTo: 9}, second)
	c.end(one, first, false) // what is recorded of it is not waited for
	third, _ := c.claim(one, time.Minute, 2)
	require.Equal(t, &postgres.Claim{HookID: c.hook, After: 9, UpTo: 12}, third)

	none, why := c.claim(one, time.Minute, 2)
	require.Nil(t, none)
	require.Equal(t, postgres.Unclaimed{Claims: 2, TakenTo: 12}, why)
	ok, err := db.NextRound(t.Context(), c.hook, why)
	require.NoError(t, err)
	require.False(t, ok, "there are claims left")

	c.end(two, second, false)
	c.end(one, third, false)
	parkSeqs(t, db, c.hook, webhook.Delivered, 3, 5, 8, 12)
	_, why = c.claim(one, time.Minute, 2)
	require.Equal(t, postgres.Unclaimed{TakenTo: 12}, why)
	ok, err = db.NextRound(t.Context(), c.hook, why)
	require.NoError(t, err)
	require.True(t, ok)
	ok, err = db.NextRound(t.Context(), c.hook, why)
	require.NoError(t, err)
	require.False(t, ok, "another has begun it")
	again, _ := c.claim(two, time.Minute, 2)
	require.Equal(t, &postgres.Claim{HookID: c.hook, After: 0, UpTo: 9}, again)
}

func TestAClaimThatWasGivenUpOrHasExpiredIsTakenOverBeforeAllElse(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	c := newClaims(t, db, 3, 5, 8)
	one, two := uuid.New(), uuid.New()
	first, _ := c.claim(one, time.Minute, 1)
	_, _ = c.claim(one, time.Minute, 1)
	c.end(one, first, true)
	over, _ := c.claim(two, time.Minute, 1)
	require.Equal(t, &postgres.Claim{HookID: c.hook, After: 0, UpTo: 3, TakenOver: true}, over)

	n, err := db.RenewClaims(t.Context(), c.lease(), c.hook, one, time.Microsecond)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	require.Eventually(t, func() bool {
		expired, _ := c.claim(two, time.Minute, 1)
		return expired != nil && expired.TakenOver && expired.UpTo == 5
	}, time.Second, time.Millisecond)
	n, err = db.RenewClaims(t.Context(), c.lease(), c.hook, one, time.Minute)
	require.NoError(t, err)
	require.Zero(t, n, "it belongs to another now")
	c.end(one, &postgres.Claim{HookID: c.hook, After: 3}, false)
	n, err = db.RenewClaims(t.Context(), c.lease(), c.hook, two, time.Minute)
	require.NoError(t, err)
	require.Equal(t, 2, n, "the one who lost it cannot end it")
}

func TestALeaseIsSharedOrHeldAloneAndNotBoth(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	c := newClaims(t, db, 3)
	ok, err := db.ShareLease(t.Context(), c.lease(), time.Minute)
	require.NoError(t, err)
	require.True(t, ok)
	ok, err = db.ShareLease(t.Context(), c.lease(), time.Minute)
	require.NoError(t, err)
	require.True(t, ok, "by another")
	_, alone, err := db.AcquireLease(t.Context(), c.lease(), "w-1", time.Minute)
	require.NoError(t, err)
	require.False(t, alone)

	one := uuid.New()
	claim, _ := c.claim(one, time.Minute, 1)
	require.NoError(t, db.UnshareLease(t.Context(), c.lease(), c.hook))
	_, alone, err = db.AcquireLease(t.Context(), c.lease(), "w-1", time.Minute)
	require.NoError(t, err)
	require.False(t, alone, "there is a claim")
	c.end(one, claim, false)
	require.NoError(t, db.UnshareLease(t.Context(), c.lease(), c.hook))
	_, alone, err = db.AcquireLease(t.Context(), c.lease(), "w-1", time.Minute)
	require.NoError(t, err)
	require.True(t, alone)
	ok, err = db.ShareLease(t.Context(), c.lease(), time.Minute)
	require.NoError(t, err)
	require.False(t, ok)
	none, why := c.claim(one, time.Minute, 1)
	require.Nil(t, none)
	require.True(t, why.Alone)
}

func TestABacklogIsNotForgottenWhileAClaimIsLeft(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	c := newClaims(t, db, 3)
	one := uuid.New()
	claim, _ := c.claim(one, time.Minute, 1)
	parkSeqs(t, db, c.hook, webhook.Delivered, 3)
	backlogs := func() []postgres.Backlog {
		list, err := db.Backlogs(t.Context())
		require.NoError(t, err)
		return list
	}
	require.NoError(t, db.ForgetBacklog(t.Context(), backlogs()[0]))
	require.Len(t, backlogs(), 1)
	c.end(one, claim, false)
	require.NoError(t, db.ForgetBacklog(t.Context(), backlogs()[0]))
	require.Empty(t, backlogs())
	var drains int
	require.NoError(t, plain.GetContext(t.Context(), &drains, `SELECT count(*) FROM drains`))
	require.Zero(t, drains)
}

func TestAPageOfParkedDeliveriesEndsWhereItsEventsAreLarge(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	hook := uuid.New()
	var facts []*whispererv1.DeliveryFact
	var events []webhook.Event
	for i := range uint64(8) {
		id := string(rune('a' + i))
		d := delivery{id: webhook.DeliveryID(hook, id), hook: hook}
		facts = append(facts, d.fact(webhook.Parked, 0, 0, func(f *whispererv1.DeliveryFact) { f.EventSeq, f.EventId = i+1, id }))
		events = append(events, webhook.Event{
			ID: id, Tenant: "default", Type: "order.created", Time: noon, PublishedAt: noon, Seq: webhook.Sequence(i + 1), Data: make([]byte, 1<<20),
		})
		for n := range events[i].Data {
			events[i].Data[n] = '1'
		}
	}
	r := recorder(t, db)
	write(t, r, batchOf(facts...))
	require.NoError(t, r.WriteEvents(t.Context(), events[:7])) // the last one is not recorded yet
	seqs := func(after uint64) (got []uint64) {
		list, err := db.Parked(t.Context(), hook, after, 100, 100)
		require.NoError(t, err)
		for _, d := range list {
			got = append(got, uint64(d.Event.Seq))
			require.Equal(t, d.Event.Seq == 8, d.EventMissing)
		}
		return got
	}
	require.Equal(t, []uint64{1, 2, 3, 4}, seqs(0))
	require.Equal(t, []uint64{5, 6, 7, 8}, seqs(4))
}

func TestAttemptsThatAreToldOfAgainCountOnceTowardsDisabling(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	r := recorder(t, db)
	d := newDelivery()
	first := batchOf(d.fact(webhook.Waiting, 1, 10, answered(500)), d.fact(webhook.Waiting, 2, 20, answered(500)))
	begun := batchOf(d.fact(webhook.Waiting, 3, 30, unknown))
	known := batchOf(d.fact(webhook.Waiting, 3, 31, answered(503)))
	write(t, r, first, first, begun, begun, known, first, known)
	health := func() (failures int) {
		require.NoError(t, plain.GetContext(t.Context(), &failures, `SELECT failures FROM hook_health WHERE hook_id = $1`, d.hook))
		return failures
	}
	require.Equal(t, 3, health())
	late := batchOf(d.fact(webhook.Delivered, 4, 40, answered(200)))
	write(t, r, late, first, late)
	require.Zero(t, health(), "the success counts, however often older failures are told of")
}
