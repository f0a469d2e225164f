package store_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// noon is when the events of these tests were published.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// delivery makes facts about one delivery.
type delivery struct{ id, hook uuid.UUID }

func newDelivery() delivery {
	hook := uuid.New()
	return delivery{id: webhook.DeliveryID(hook, "e-1"), hook: hook}
}

// fact returns the fact that the delivery got into the state, seconds after noon, after this many attempts.
func (d delivery) fact(state webhook.DeliveryState, attempts uint32, second int, edit ...func(f *whispererv1.DeliveryFact)) *whispererv1.DeliveryFact {
	at := noon.Add(time.Duration(second) * time.Second)
	f := &whispererv1.DeliveryFact{
		DeliveryId: d.id[:], HookId: d.hook[:], Tenant: "default", EventId: "e-1", EventType: "order.created", Entity: "order:1",
		PublishedAt: noon.UnixNano(), EventSeq: 7, State: string(state), Attempts: attempts, At: at.UnixNano(), RoundAttempts: attempts,
	}
	if state == webhook.Waiting {
		f.NextAt = at.Add(time.Minute).UnixNano()
	}
	for _, e := range edit {
		e(f)
	}
	return f
}

// answered adds the attempt that led to the state.
func answered(status uint32) func(f *whispererv1.DeliveryFact) {
	return func(f *whispererv1.DeliveryFact) {
		f.Attempt = &whispererv1.AttemptFact{
			Number: f.GetAttempts(), StartedAt: f.GetAt() - int64(time.Second), Duration: int64(20 * time.Millisecond), Status: status,
			Outcome: string(webhook.Failed), ErrorClass: string(webhook.ClassStatus), Method: "POST", Url: "https://erp.example/hooks",
		}
		if status >= 200 && status <= 299 {
			f.Attempt.Outcome, f.Attempt.ErrorClass = string(webhook.Succeeded), ""
		}
	}
}

func unknown(f *whispererv1.DeliveryFact) {
	f.Attempt = &whispererv1.AttemptFact{Number: f.GetAttempts(), StartedAt: f.GetAt(), Outcome: string(webhook.Unknown), Error: "the worker ended"}
}

func replay(f *whispererv1.DeliveryFact) { f.Replay = true }

// first marks the fact as the delivery's first.
func first(f *whispererv1.DeliveryFact) { f.First = true }

func batchOf(facts ...*whispererv1.DeliveryFact) *whispererv1.LedgerBatch {
	return &whispererv1.LedgerBatch{Worker: "w-1", Facts: facts}
}

// write writes each batch in a transaction of its own.
func write(t *testing.T, r *store.Recorder, batches ...*whispererv1.LedgerBatch) {
	t.Helper()
	for _, b := range batches {
		require.NoError(t, r.WriteFacts(t.Context(), []*whispererv1.LedgerBatch{b}))
	}
}

func recorder(t *testing.T, db *store.DB) *store.Recorder {
	t.Helper()
	r := db.Ledger.NewRecorder()
	t.Cleanup(r.Close)
	return r
}

// row is a delivery as stored.
type row struct {
	State      string
	Attempts   int
	LastStatus int    `db:"last_status"`
	LastError  string `db:"last_error"`
	Replay     bool
	Waits      bool
	First      *float64 // seconds after noon
}

func stored(t *testing.T, plain *sqlx.DB, d delivery) row {
	t.Helper()
	var r row
	require.NoError(t, plain.GetContext(t.Context(), &r, `
		SELECT state, attempts, last_status, last_error, replay, next_at IS NOT NULL AS waits,
			extract(epoch FROM first_attempt_at - $2)::float8 AS first
		FROM deliveries WHERE id = $1`, d.id, noon))
	return r
}

// dump returns all recorded deliveries and attempts.
func dump(t *testing.T, plain *sqlx.DB) string {
	t.Helper()
	var text string
	require.NoError(t, plain.GetContext(t.Context(), &text, `
		SELECT coalesce((SELECT string_agg(d::text, E'\n' ORDER BY id) FROM deliveries d), '') || E'\n' ||
			coalesce((SELECT string_agg(a::text, E'\n' ORDER BY delivery_id, number) FROM attempts a), '')`))
	return text
}

func TestFactsMergeInWhateverOrderTheyCome(t *testing.T) {
	t.Parallel()
	d := newDelivery()
	first := 0.0
	failed := d.fact(webhook.Waiting, 1, 1, answered(500))
	again := d.fact(webhook.Waiting, 2, 100, answered(503))
	delivered := d.fact(webhook.Delivered, 3, 200, answered(200))
	tests := map[string]struct {
		facts []*whispererv1.DeliveryFact
		want  row
	}{
		"a failure and the next one": {[]*whispererv1.DeliveryFact{failed, again}, row{"waiting", 2, 503, "http_status", false, true, &first}},
		"two failures and a success": {[]*whispererv1.DeliveryFact{failed, again, delivered}, row{"delivered", 3, 200, "", false, false, &first}},
		"a failure and its parking": {
			[]*whispererv1.DeliveryFact{failed, d.fact(webhook.Parked, 1, 50)}, row{"parked", 1, 500, "http_status", false, false, &first},
		},
		"a failure, and its hook being deleted": {
			[]*whispererv1.DeliveryFact{failed, d.fact(webhook.Cancelled, 1, 50)}, row{"cancelled", 1, 500, "http_status", false, false, &first},
		},
		"an unknown attempt and the success after it": {
			[]*whispererv1.DeliveryFact{d.fact(webhook.Waiting, 1, 1, unknown), d.fact(webhook.Delivered, 2, 2, answered(204))},
			row{"delivered", 2, 204, "", false, false, new(1.0)},
		},
		"a parking that needed no attempt": {[]*whispererv1.DeliveryFact{d.fact(webhook.Parked, 0, 1)}, row{"parked", 0, 0, "", false, false, nil}},
		"death by exhaustion": {
			[]*whispererv1.DeliveryFact{failed, again, d.fact(webhook.Dead, 3, 200, answered(500))}, row{"dead", 3, 500, "http_status", false, false, &first},
		},
		"a success that a zombie's failure follows": {
			[]*whispererv1.DeliveryFact{d.fact(webhook.Delivered, 1, 1, answered(200)), d.fact(webhook.Waiting, 2, 300, answered(500))},
			row{"delivered", 2, 200, "", false, false, &first},
		},
		"a death that a zombie's success follows": {
			[]*whispererv1.DeliveryFact{d.fact(webhook.Dead, 2, 100, answered(400)), d.fact(webhook.Delivered, 1, 1, answered(200))},
			row{"delivered", 2, 200, "", false, false, &first},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.facts[0] = proto.CloneOf(test.facts[0])
			test.facts[0].First = true
			for order, facts := range permutations(test.facts) {
				db, plain := open(t)
				r := recorder(t, db)
				for _, f := range facts {
					write(t, r, batchOf(f))
				}
				require.Equal(t, test.want, stored(t, plain, d), "one by one, order %d", order)
				before := dump(t, plain)
				write(t, r, batchOf(facts...))
				require.Equal(t, before, dump(t, plain), "again, all at once")
			}
			db, plain := open(t)
			write(t, recorder(t, db), batchOf(test.facts...))
			require.Equal(t, test.want, stored(t, plain, d), "all at once")
		})
	}
}

func permutations[T any](list []T) [][]T {
	if len(list) < 2 {
		return [][]T{list}
	}
	var all [][]T
	for i := range list {
		rest := append(append([]T(nil), list[:i]...), list[i+1:]...)
		for _, p := range permutations(rest) {
			all = append(all, append([]T{list[i]}, p...))
		}
	}
	return all
}

func TestOnlyAReplayLeavesAFinalState(t *testing.T) {
	t.Parallel()
	d := newDelivery()
	tests := map[string]struct {
		before, after *whispererv1.DeliveryFact
		want          webhook.DeliveryState
	}{
		"dead stays when a retry is told late":         {d.fact(webhook.Dead, 3, 100, answered(500)), d.fact(webhook.Waiting, 2, 50, answered(500)), webhook.Dead},
		"dead stays even when the retry is later":      {d.fact(webhook.Dead, 3, 100, answered(500)), d.fact(webhook.Waiting, 4, 200, answered(500)), webhook.Dead},
		"dead stays when it is parked":                 {d.fact(webhook.Dead, 3, 100, answered(500)), d.fact(webhook.Parked, 3, 200), webhook.Dead},
		"dead becomes parked for a replay":             {d.fact(webhook.Dead, 3, 100, answered(500)), d.fact(webhook.Parked, 3, 200, replay), webhook.Parked},
		"dead becomes waiting by a replay's failure":   {d.fact(webhook.Dead, 3, 100, answered(500)), d.fact(webhook.Waiting, 4, 200, replay, answered(500)), webhook.Waiting},
		"dead stays when a replay is older":            {d.fact(webhook.Dead, 3, 100, replay, answered(500)), d.fact(webhook.Parked, 2, 50, replay), webhook.Dead},
		"delivered becomes waiting by a forced replay": {d.fact(webhook.Delivered, 1, 1, answered(200)), d.fact(webhook.Waiting, 2, 200, replay, answered(500)), webhook.Waiting},
		"delivered stays when a replay is older":       {d.fact(webhook.Delivered, 3, 100, replay, answered(200)), d.fact(webhook.Waiting, 2, 50, replay, answered(500)), webhook.Delivered},
		"cancelled stays when it is parked":            {d.fact(webhook.Cancelled, 1, 100), d.fact(webhook.Parked, 1, 200), webhook.Cancelled},
		"cancelled becomes delivered by what was sent": {d.fact(webhook.Cancelled, 1, 100), d.fact(webhook.Delivered, 2, 50, answered(200)), webhook.Delivered},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, plain := open(t)
			write(t, recorder(t, db), batchOf(test.before), batchOf(test.after), batchOf(test.before, test.after))
			require.Equal(t, string(test.want), stored(t, plain, d).State)
		})
	}
}

func TestAnUnknownAttemptBecomesKnownAndNotBack(t *testing.T) {
	t.Parallel()
	d := newDelivery()
	lost := d.fact(webhook.Waiting, 1, 5, unknown)
	told := d.fact(webhook.Waiting, 1, 1, answered(503), func(f *whispererv1.DeliveryFact) {
		f.Attempt.Dns, f.Attempt.Connect, f.Attempt.Tls, f.Attempt.FirstByte = 1000, 2000, 3000, 4000
		f.Attempt.ResponseBody = []byte("try later")
	})
	for name, facts := range map[string][]*whispererv1.DeliveryFact{
		"known last": {lost, told}, "known first": {told, lost},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, plain := open(t)
			r := recorder(t, db)
			write(t, r, batchOf(facts[0]), batchOf(facts[1]), batchOf(facts...))
			var got struct {
				Outcome                               string
				Status, DNS, Connect, TLS, First, All int
				Body                                  string
			}
			require.NoError(t, plain.GetContext(t.Context(), &got, `
				SELECT outcome, status, dns_us AS dns, connect_us AS connect, tls_us AS tls, first_byte_us AS first,
					convert_from(response_body, 'UTF8') AS body, (SELECT count(*) FROM attempts) AS all FROM attempts`))
			require.Equal(t, "failed", got.Outcome)
			require.Equal(t, []int{503, 1, 2, 3, 4, 1}, []int{got.Status, got.DNS, got.Connect, got.TLS, got.First, got.All})
			require.Equal(t, "try later", got.Body)
		})
	}
}

func TestAttemptsAreStoredWholeAndStrangersTextIsMadeSafe(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	d := newDelivery()
	write(t, recorder(t, db), batchOf(d.fact(webhook.Waiting, 1, 1, answered(500), func(f *whispererv1.DeliveryFact) {
		f.Attempt.Error = "a\x00b"
		f.Attempt.RequestHeaders = "Webhook-Id: x\nX-A: 1"
		f.Attempt.ResponseHeaders = "X-Evil: ok\x00"
		f.Attempt.ResponseBody = []byte("\x00\xff<script>")
		f.Attempt.Truncated, f.Attempt.RequestSize, f.Attempt.BodyDigest = true, 17, []byte("\x00\xffdigest")
	})))
	var got struct {
		Worker, Error, Request, Response, Method, URL string
		Body                                          []byte
		Size, Duration                                int
		Truncated                                     bool
	}
	require.NoError(t, plain.GetContext(t.Context(), &got, `
		SELECT worker, error, request_headers AS request, response_headers AS response, response_body AS body, truncated,
			request_size AS size, duration_us AS duration, method, url FROM attempts WHERE delivery_id = $1 AND number = 1`, d.id))
	require.Equal(t, "w-1", got.Worker)
	require.Equal(t, "a\uFFFDb", got.Error)
	require.Equal(t, "Webhook-Id: x\nX-A: 1", got.Request)
	require.Equal(t, "X-Evil: ok\uFFFD", got.Response)
	require.Equal(t, []byte("\x00\xff<script>"), got.Body)
	require.True(t, got.Truncated)
	require.Equal(t, 17, got.Size)
	require.Equal(t, 20_000, got.Duration)
	require.Equal(t, "POST https://erp.example/hooks", got.Method+" "+got.URL)
}

// Each round has some hundred deliveries. Their facts are distributed, shuffled and partly repeated, over recorders that write
// at the same time, each in its own order.
func TestRecordersThatWriteTheSameDeliveriesDoNotDisturbEachOther(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	const deliveries = 100
	recorders := []*store.Recorder{recorder(t, db), recorder(t, db), recorder(t, db), recorder(t, db)}
	for round := range 20 {
		list := make([]delivery, deliveries)
		var facts []*whispererv1.DeliveryFact
		for i := range list {
			list[i] = newDelivery()
			facts = append(facts, list[i].fact(webhook.Waiting, 1, 1, answered(500), first), list[i].fact(webhook.Waiting, 2, 50, answered(500)),
				list[i].fact(webhook.Parked, 2, 60), list[i].fact(webhook.Delivered, 3, 100, answered(200)))
		}
		errs := make(chan error, len(recorders))
		for n, r := range recorders {
			random := rand.New(rand.NewPCG(uint64(round), uint64(n)))
			mine := append([]*whispererv1.DeliveryFact(nil), facts...)
			random.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
			if n > 0 { // the first one gets all, so that nothing is missing
				mine = mine[:len(mine)/2]
			}
			go func() { errs <- writeInParts(t.Context(), r, mine) }()
		}
		for range recorders {
			require.NoError(t, <-errs, "round %d", round)
		}
		for _, d := range list {
			require.Equal(t, row{"delivered", 3, 200, "", false, false, new(0.0)}, stored(t, plain, d), "round %d", round)
		}
	}
	var attempts int
	require.NoError(t, plain.GetContext(t.Context(), &attempts, `SELECT count(*) FROM attempts`))
	require.Equal(t, 20*deliveries*3, attempts)
}

func writeInParts(ctx context.Context, r *store.Recorder, facts []*whispererv1.DeliveryFact) error {
	const part = 60
	for len(facts) > 0 {
		n := min(part, len(facts))
		if err := r.WriteFacts(ctx, []*whispererv1.LedgerBatch{batchOf(facts[:n/2]...), batchOf(facts[n/2 : n]...)}); err != nil {
			return err
		}
		facts = facts[n:]
	}
	return nil
}

func TestARecorderGoesOnAfterALostConnection(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	r := recorder(t, db)
	d := newDelivery()
	write(t, r, batchOf(d.fact(webhook.Waiting, 1, 1, answered(500))))
	_, err := plain.ExecContext(t.Context(), `
		SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
	require.NoError(t, err)
	next := []*whispererv1.LedgerBatch{batchOf(d.fact(webhook.Delivered, 2, 9, answered(200)))}
	require.ErrorIs(t, r.WriteFacts(t.Context(), next), store.ErrUnavailable)
	require.Eventually(t, func() bool { return r.WriteFacts(t.Context(), next) == nil }, time.Minute, 10*time.Millisecond)
	require.Equal(t, "delivered", stored(t, plain, d).State)
}

func TestAFactThatPostgresRefusesIsNotTakenForAnOutage(t *testing.T) {
	t.Parallel()
	db, plain := open(t)
	r := recorder(t, db)
	bad, good := newDelivery(), newDelivery()
	err := r.WriteFacts(t.Context(), []*whispererv1.LedgerBatch{batchOf(good.fact(webhook.Parked, 0, 1), bad.fact("flying", 0, 1))})
	require.Error(t, err)
	require.NotErrorIs(t, err, store.ErrUnavailable)
	write(t, r, batchOf(good.fact(webhook.Parked, 0, 1)))
	require.Equal(t, "parked", stored(t, plain, good).State)
}

func TestRecordedSaysWhatTheLedgerKnows(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	waiting, done, other := newDelivery(), newDelivery(), newDelivery()
	write(t, recorder(t, db), batchOf(waiting.fact(webhook.Waiting, 2, 5, answered(500)), done.fact(webhook.Delivered, 1, 5, answered(200))))
	key := func(d delivery) store.DeliveryKey { return store.DeliveryKey{ID: d.id, PublishedAt: noon} }
	got, err := db.Ledger.Recorded(t.Context(), []store.DeliveryKey{key(waiting), key(done), key(other), {ID: uuid.New(), PublishedAt: noon.AddDate(0, 0, -9)}})
	require.NoError(t, err)
	require.Equal(t, map[uuid.UUID]store.Recorded{
		waiting.id: {State: webhook.Waiting, Attempts: 2, NextAt: noon.Add(65 * time.Second)}, done.id: {State: webhook.Delivered, Attempts: 1},
	}, got)
	got, err = db.Ledger.Recorded(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, got)
}
