package outbox_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/publisher"
	"github.com/whisperer-oms/whisperer/pkg/publisher/outbox"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
)

func TestCommittedEventsArePublishedInOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.relay()
	w.write(numbers(0, 3)...)
	w.drained()
	w.write(numbers(3, 1200)...)
	w.drained()
	events := w.stream()
	require.Equal(t, numbers(0, 1200), ids(events))
	require.Equal(t, "acme", events[0].Tenant, "the relay's")
	require.JSONEq(t, `{"id":"n0"}`, string(events[0].Data))
	require.Equal(t, "order:n0", events[0].Entity)
	r.stop()
	require.Equal(t, 1200, r.published)
	require.Empty(t, r.failures)
}

func TestARollbackPublishesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.relay()
	tx, err := w.db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	require.NoError(t, outbox.Write(t.Context(), tx, event("undone")))
	require.NoError(t, tx.Rollback())
	w.write("done")
	w.drained()
	require.Equal(t, []string{"done"}, ids(w.stream()))
}

func TestATransactionThatCommitsLateIsNotMissedAndHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.relay()
	late, err := w.db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	require.NoError(t, outbox.Write(t.Context(), late, event("late"))) // has the lower position
	w.write("soon")
	w.drained()
	require.Equal(t, []string{"soon"}, ids(w.stream()))
	require.NoError(t, late.Commit())
	require.Eventually(t, func() bool { return len(w.stream()) == 2 }, patience, 20*time.Millisecond)
	require.Equal(t, []string{"soon", "late"}, ids(w.stream()))
}

// Writers lock what they change, as usual, and then write to the outbox.
func TestEventsOfOneThingAreInOrderWithConcurrentWriters(t *testing.T) {
	t.Parallel()
	const writers, each, things = 8, 60, 5
	w := newWorld(t)
	w.db.SetMaxOpenConns(writers + 4)
	_, err := w.db.ExecContext(t.Context(), `CREATE TABLE things (id int PRIMARY KEY, version int NOT NULL);
		INSERT INTO things SELECT i, 0 FROM generate_series(0, 4) i`)
	require.NoError(t, err)
	w.relay()
	w.relay()
	change := func(ctx context.Context, thing int) error {
		tx, err := w.db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		var version int
		if err := tx.QueryRowContext(ctx, `UPDATE things SET version = version + 1 WHERE id = $1 RETURNING version`, thing).Scan(&version); err != nil {
			return err
		}
		e := publisher.Event{Type: "thing.changed", Entity: fmt.Sprint("thing:", thing), Data: version}
		if err := outbox.Write(ctx, tx, e); err != nil {
			return err
		}
		return tx.Commit()
	}
	var all sync.WaitGroup
	errs := make(chan error, writers*each)
	for i := range writers {
		all.Go(func() {
			for j := range each {
				errs <- change(t.Context(), (i+j)%things)
			}
		})
	}
	all.Wait()
	close(errs)
	for err := range errs {
		require.NoError(t, err)
	}
	w.drained()
	last := map[string]int{}
	for _, e := range w.stream() {
		last[e.Entity]++
		require.Equal(t, fmt.Sprint(last[e.Entity]), string(e.Data), e.Entity)
	}
	total := 0
	for _, n := range last {
		total += n
	}
	require.Equal(t, writers*each, total)
}

func TestAnOutageOfNATSOnlyDelays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.relay()
	w.write(numbers(0, 10)...)
	w.drained()
	w.stop()
	for i := 10; i < 1010; i += 10 {
		w.write(numbers(i, i+10)...)
	}
	require.Eventually(t, func() bool { return r.failed() > 1 }, patience, 20*time.Millisecond)
	b, err := r.Backlog(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1000, b.Events)
	require.Positive(t, b.Oldest)
	w.startNATS()
	w.drained()
	require.Eventually(t, func() bool { return w.bus.Ready(t.Context()) == nil }, patience, 20*time.Millisecond)
	require.Equal(t, numbers(0, 1010), ids(w.stream()))
}

func TestAFullLogDelaysAndDoesNotChangeTheOrder(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.limit(256 << 10)
	for i := range 6 {
		e := event(fmt.Sprint("n", i))
		if i == 3 {
			e.Data = strings.Repeat("x", 300<<10) // does not fit, although those behind it would
		}
		require.NoError(t, outbox.Write(t.Context(), w.db, e))
	}
	r := w.relay()
	require.Eventually(t, func() bool { return r.failed() > 2 }, patience, 20*time.Millisecond)
	require.Equal(t, numbers(0, 3), ids(w.stream()))
	require.Equal(t, 3, w.count("whisperer_outbox"))
	w.limit(16 << 20)
	w.drained()
	require.Equal(t, numbers(0, 6), ids(w.stream()))
}

func TestNATSCanBeStoppedInTheMiddleOfPublishing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.relay()
	const n = 3000
	written := make(chan error, 1)
	go func() {
		for i := range n {
			if err := outbox.Write(t.Context(), w.db, event(fmt.Sprint("n", i))); err != nil {
				written <- err
				return
			}
		}
		written <- nil
	}()
	for range 3 {
		before := 0
		r.note(func() { before = r.published })
		require.Eventually(t, func() bool {
			now := 0
			r.note(func() { now = r.published })
			return now > before || now == n
		}, patience, time.Millisecond)
		w.stop()
		w.startNATS()
	}
	require.NoError(t, <-written)
	w.drained()
	require.Eventually(t, func() bool { return w.bus.Ready(t.Context()) == nil }, patience, 20*time.Millisecond)
	require.Equal(t, numbers(0, n), ids(w.stream()))
}

func TestOneOfManyRelaysWorksAndAnotherTakesOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	relays := []*relaying{w.relay(), w.relay(), w.relay()}
	for i := 0; i < 900; i += 9 {
		w.write(numbers(i, i+9)...)
		if i == 450 {
			relays[0].stop()
			relays[1].stop()
		}
	}
	w.drained()
	require.Equal(t, numbers(0, 900), ids(w.stream()))
	for _, r := range relays {
		r.stop()
		require.Empty(t, r.failures)
	}
	require.Equal(t, 900, relays[0].published+relays[1].published+relays[2].published)
}

// forbidDelete keeps rows that a relay has published, as if the relay had died in between.
const forbidDelete = `CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not now'; END $$;
	CREATE TRIGGER forbid BEFORE DELETE ON whisperer_outbox EXECUTE FUNCTION forbid()`

func TestARelayThatDiesBetweenAckAndDeleteDoublesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := w.db.ExecContext(t.Context(), forbidDelete)
	require.NoError(t, err)
	r := w.relay()
	w.write(numbers(0, 100)...)
	require.Eventually(t, func() bool { return r.failed() > 0 }, patience, 20*time.Millisecond)
	require.Equal(t, numbers(0, 100), ids(w.stream()), "published, and not deleted")
	r.stop()
	_, err = w.db.ExecContext(t.Context(), `DROP TRIGGER forbid ON whisperer_outbox`)
	require.NoError(t, err)
	w.write(numbers(100, 150)...)
	w.relay()
	w.drained()
	require.Equal(t, numbers(0, 150), ids(w.stream()))
}

// JetStream forgets ids after two minutes; the test imitates that by publishing without the id.
func TestARepetitionAfterTheWindowHasTheSameIDAndContent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.write(numbers(0, 40)...)
	rows, err := w.db.QueryContext(t.Context(), `SELECT body FROM whisperer_outbox ORDER BY position`)
	require.NoError(t, err)
	defer rows.Close()
	var before []bus.Outgoing
	for rows.Next() {
		o := bus.Outgoing{Tenant: "acme", Type: "order.created"}
		require.NoError(t, rows.Scan(&o.Body))
		before = append(before, o)
	}
	require.NoError(t, rows.Err())
	_, err = w.bus.PublishInOrder(t.Context(), before)
	require.NoError(t, err)
	w.relay()
	w.drained()
	events := w.stream()
	require.Len(t, events, 80)
	first := map[string]webhook.Event{}
	for _, e := range events[:40] {
		first[e.ID] = e
	}
	for _, e := range events[40:] { // tenant, id and digest: by these a worker recognizes a duplicate
		original := first[e.ID]
		require.Equal(t, original.Tenant, e.Tenant)
		require.Equal(t, original.Digest(), e.Digest())
	}
}

func TestWhatCanNeverBePublishedIsMovedAsideAndHoldsNothingUp(t *testing.T) {
	t.Parallel()
	huge := `{"event_id":"x","data":"` + strings.Repeat("x", 9<<20) + `"}`
	cases := []struct {
		name, id, tenant, kind, body, headers string
		reason                                string
	}{
		{name: "too large", id: "x", kind: "order.created", body: huge, reason: "are allowed"},
		{name: "no JSON", id: "x", kind: "order.created", body: `{`, reason: "the body is not JSON"},
		{name: "empty", id: "x", kind: "order.created", body: ``, reason: "empty"},
		{name: "bad type", id: "x", kind: "Order Created", body: `{"event_id":"x","data":1}`, reason: "/event_type"},
		{name: "bad tenant", id: "x", tenant: "a.b", kind: "order.created", body: `{"event_id":"x","data":1}`, reason: "/tenant"},
		{name: "another id", id: "y", kind: "order.created", body: `{"event_id":"x","data":1}`, reason: "not the id of the row"},
		{name: "no id", id: "x", kind: "order.created", body: `{"data":1}`, reason: "/event_id"},
		{name: "headers of JetStream", id: "x", kind: "order.created", body: `{"event_id":"x","data":1}`, headers: `{"Nats-Rollup":"all"}`, reason: "/headers"},
		{name: "headers of no kind", id: "x", kind: "order.created", body: `{"event_id":"x","data":1}`, headers: `[1]`, reason: "object of strings"},
	}
	w := newWorld(t)
	w.write("first")
	for i, c := range cases {
		headers := c.headers
		if headers == "" {
			headers = "{}"
		}
		_, err := w.db.ExecContext(t.Context(), `INSERT INTO whisperer_outbox (id, tenant, type, body, headers) VALUES ($1, $2, $3, $4, $5::jsonb)`,
			c.id, c.tenant, c.kind, []byte(c.body), headers)
		require.NoError(t, err)
		w.write(fmt.Sprint("after", i))
	}
	r := w.relay()
	w.drained()
	r.stop()
	require.Empty(t, r.failures)
	require.Len(t, w.stream(), len(cases)+1)
	require.Equal(t, "first", w.stream()[0].ID)
	require.Len(t, r.rejected, len(cases))
	for i, c := range cases {
		require.Contains(t, r.rejected[i].Reason, c.reason, c.name)
		require.NotContains(t, r.rejected[i].Reason, "invalid:", c.name)
		var body []byte
		var reason string
		err := w.db.QueryRowContext(t.Context(), `SELECT body, reason FROM whisperer_outbox_rejected WHERE position = $1`, r.rejected[i].Position).Scan(&body, &reason)
		require.NoError(t, err)
		require.Equal(t, r.rejected[i].Reason, reason)
		require.True(t, bytes.Equal([]byte(c.body), body), c.name)
	}
}

func TestWhatIsMoreThanMemoryShouldHoldGoesInParts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	e := event("")
	e.Data = strings.Repeat("x", 900<<10)
	for i := range 24 {
		e.ID = fmt.Sprint("n", i)
		require.NoError(t, outbox.Write(t.Context(), w.db, e))
	}
	r := w.relay()
	w.drained()
	require.Equal(t, numbers(0, 24), ids(w.stream()))
	r.stop()
	require.Empty(t, r.failures)
}

func TestAnIdleRelayCanBeWoken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.relay(func(o *outbox.Options) { o.Idle = time.Hour })
	require.Eventually(t, func() bool { // the only sign that it is idle is that it leaves an event
		w.write(publisher.NewID())
		return !w.empties(300 * time.Millisecond)
	}, patience, 1500*time.Millisecond)
	r.Wake()
	w.drained()
}

func TestAnEventThatBreaksARuleIsNotWritten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	err := outbox.Write(t.Context(), w.db, publisher.Event{Type: "Order Created", Data: 1})
	require.ErrorIs(t, err, webhook.ErrInvalid)
	require.ErrorContains(t, err, "/event_type")
	require.Zero(t, w.count("whisperer_outbox"))
}
