package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

func TestWhatIsNoEventIsKeptWithItsReason(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	r := recorder(t, db)
	rejected := &whispererv1.RejectedEvent{
		Seq: 3, PublishedAt: noon.UnixNano(), Subject: "oms.default.order\xff", Tenant: "default", Reason: "unreadable", Detail: "is \x00 bad",
		Raw: []byte("\x00\xff{"), Size: 1 << 20, Headers: []*whispererv1.Header{{Name: "Nats-Msg-Id", Value: "a.b"}},
	}
	later := proto.CloneOf(rejected)
	later.Seq, later.PublishedAt = 4, noon.Add(time.Minute).UnixNano()
	foreign := proto.CloneOf(rejected)
	foreign.Seq, foreign.Tenant = 5, "acme"
	batch := &whispererv1.LedgerBatch{Rejected: []*whispererv1.RejectedEvent{rejected, later, foreign, rejected}}
	write(t, r, batch, batch)
	list, err := db.Ledger.RejectedEvents(t.Context(), "default", noon, 10)
	require.NoError(t, err)
	require.Len(t, list, 2, "newest first, each once, no other tenant's")
	require.EqualValues(t, 4, list[0].Seq)
	require.Equal(t, store.RejectedEvent{
		PublishedAt: list[1].PublishedAt, Seq: 3, Subject: "oms.default.order\uFFFD", Tenant: "default", Reason: "unreadable", Detail: "is \uFFFD bad",
		Raw: []byte("\x00\xff{"), Size: 1 << 20, Headers: "Nats-Msg-Id: a.b",
	}, list[1])
	require.True(t, list[1].PublishedAt.Equal(noon))
	list, err = db.Ledger.RejectedEvents(t.Context(), "default", noon.Add(time.Second), 1)
	require.NoError(t, err)
	require.Len(t, list, 1)
}

func anEvent(id string, seq uint64, after time.Duration) webhook.Event {
	at := noon.Add(after)
	return webhook.Event{
		ID: id, Tenant: "default", Type: "order.created", Time: at.Add(-time.Second), PublishedAt: at, Seq: webhook.Sequence(seq), Data: fmt.Appendf(nil, `{"seq": %d}`, seq),
	}
}

// Few events are written by another statement than many.
func fewAndMany(t *testing.T, test func(t *testing.T, batch func(...webhook.Event) []webhook.Event)) {
	t.Helper()
	t.Run("few", func(t *testing.T) {
		t.Parallel()
		test(t, func(events ...webhook.Event) []webhook.Event { return events })
	})
	t.Run("many", func(t *testing.T) {
		t.Parallel()
		n := uint64(1000)
		test(t, func(events ...webhook.Event) []webhook.Event {
			for range 20 {
				n++
				other := anEvent(fmt.Sprint("other-", n), n, 0)
				other.Tenant = "others"
				events = append(events, other)
			}
			return events
		})
	})
}

func TestEventsAreStoredAsTheyCame(t *testing.T) {
	t.Parallel()
	full := anEvent("e-1", 1, 0)
	full.Entity, full.Traceparent = "order:1 ü", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	full.Tracestate = "a=1, b=2"
	full.Context, full.ConfigFilter = []byte(`{ "a":1.0 }`), []byte(`{"channel_id": 12}`)
	full.Data = []byte("{ \"b\":1e400,\t\"b\":\"\\u0000\u2028\\ud800<\" }")
	full.CloudEvent = []byte(`{"specversion":"1.0"}`)
	full.SchemaProblems = []webhook.FieldError{{Pointer: "/b", Detail: "\"b\" <is> there twice."}}
	bare := anEvent("e-2", 2, 0)
	bare.Data = []byte(`null`)
	fewAndMany(t, func(t *testing.T, batch func(...webhook.Event) []webhook.Event) {
		db, _ := open(t)
		r := recorder(t, db)
		require.NoError(t, r.WriteEvents(t.Context(), batch(full, bare)))
		require.NoError(t, r.WriteEvents(t.Context(), batch(full, bare, full)), "again")
		for _, want := range []webhook.Event{full, bare} {
			got, err := db.History.GetEvent(t.Context(), "default", want.ID, noon)
			require.NoError(t, err)
			require.Equal(t, want, got)
			require.Equal(t, want.Digest(), got.Digest())
		}
		_, err := db.History.GetEvent(t.Context(), "acme", "e-1", noon)
		require.ErrorIs(t, err, webhook.ErrNotFound)
	})
}

func TestEventsWithTimesThatPostgreSQLRefusesAreRefused(t *testing.T) {
	t.Parallel()
	fewAndMany(t, func(t *testing.T, batch func(...webhook.Event) []webhook.Event) {
		db, _ := open(t)
		r := recorder(t, db)
		for _, year := range []int{-1, 10000} {
			e := anEvent("e-1", 1, 0)
			e.Time = time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
			require.True(t, store.Refused(r.WriteEvents(t.Context(), batch(e))), year)
		}
	})
}

func TestAnEventThatIsRecordedAfterItsErasureHasNoPayload(t *testing.T) {
	t.Parallel()
	fewAndMany(t, func(t *testing.T, batch func(...webhook.Event) []webhook.Event) {
		db, plain := open(t)
		_, err := plain.ExecContext(t.Context(), `
			INSERT INTO erased_events (tenant, event_id, erased_at, erased_by) VALUES ('default', 'e-1', $1, 'test')`, noon.Add(time.Hour))
		require.NoError(t, err)
		require.NoError(t, recorder(t, db).WriteEvents(t.Context(), batch(anEvent("e-1", 1, 0), anEvent("e-2", 2, 0))))
		for id, want := range map[string]string{"e-1": `null`, "e-2": `{"seq": 2}`} {
			got, err := db.History.GetEvent(t.Context(), "default", id, noon)
			require.NoError(t, err)
			require.Equal(t, want, string(got.Data))
		}
	})
}

func TestTextsThatPostgreSQLRefusesAreChanged(t *testing.T) {
	t.Parallel()
	e := anEvent("e-1", 1, 0)
	e.Entity, e.Tracestate = "a\x00b\xff\xfec", "\xff"
	fewAndMany(t, func(t *testing.T, batch func(...webhook.Event) []webhook.Event) {
		db, _ := open(t)
		require.NoError(t, recorder(t, db).WriteEvents(t.Context(), batch(e)))
		got, err := db.History.GetEvent(t.Context(), "default", "e-1", noon)
		require.NoError(t, err)
		require.Equal(t, "a\uFFFDb\uFFFDc", got.Entity)
	})
}

func TestOfEventsWithOneIDTheFirstWithinADayCounts(t *testing.T) {
	t.Parallel()
	foreign := anEvent("e-1", 9, time.Minute)
	foreign.Tenant = "acme"
	tests := map[string]struct {
		batches [][]webhook.Event
		want    []int64 // sequences of the recorded events
	}{
		"the second within a day is left out":    {[][]webhook.Event{{anEvent("e-1", 1, 0)}, {anEvent("e-1", 2, 23*time.Hour)}}, []int64{1}},
		"in one batch too":                       {[][]webhook.Event{{anEvent("e-1", 1, 0), anEvent("e-1", 2, time.Second)}}, []int64{1}},
		"in one batch in the wrong order":        {[][]webhook.Event{{anEvent("e-1", 2, time.Second), anEvent("e-1", 1, 0)}}, []int64{1}},
		"a day later it is another event":        {[][]webhook.Event{{anEvent("e-1", 1, 0)}, {anEvent("e-1", 2, 24*time.Hour)}}, []int64{1, 2}},
		"another id is another event":            {[][]webhook.Event{{anEvent("e-1", 1, 0), anEvent("e-2", 2, 0)}}, []int64{1, 2}},
		"another tenant's is another event":      {[][]webhook.Event{{anEvent("e-1", 1, 0)}, {foreign}}, []int64{1, 9}},
		"the same message again is no other":     {[][]webhook.Event{{anEvent("e-1", 1, 0)}, {anEvent("e-1", 1, 0), anEvent("e-1", 1, 0)}}, []int64{1}},
		"across midnight":                        {[][]webhook.Event{{anEvent("e-1", 1, 11*time.Hour)}, {anEvent("e-1", 2, 13*time.Hour)}}, []int64{1}},
		"told late, the first one is stored too": {[][]webhook.Event{{anEvent("e-1", 2, time.Second)}, {anEvent("e-1", 1, 0)}}, []int64{1, 2}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fewAndMany(t, func(t *testing.T, batch func(...webhook.Event) []webhook.Event) {
				db, plain := open(t)
				r := recorder(t, db)
				for _, events := range test.batches {
					require.NoError(t, r.WriteEvents(t.Context(), batch(events...)))
				}
				var got []int64
				require.NoError(t, plain.SelectContext(t.Context(), &got, `SELECT seq FROM events WHERE tenant <> 'others' ORDER BY seq`))
				require.Equal(t, test.want, got)
			})
		})
	}
}

func TestSeenEventsFindsTheFirstOfAnID(t *testing.T) {
	t.Parallel()
	db, _ := open(t)
	r := recorder(t, db)
	old, first, second := anEvent("e-1", 1, -48*time.Hour), anEvent("e-1", 5, 0), anEvent("e-1", 4, -time.Second)
	for _, e := range []webhook.Event{old, first, second} { // the last two arrive in the wrong order
		require.NoError(t, r.WriteEvents(t.Context(), []webhook.Event{e}))
	}
	digest := second.Digest()
	key := store.EventKey{Tenant: "default", ID: "e-1"}
	at := func(tenant, id string, after time.Duration) store.Published {
		return store.Published{EventKey: store.EventKey{Tenant: tenant, ID: id}, At: noon.Add(after)}
	}
	seen, err := db.Ledger.SeenEvents(t.Context(), []store.Published{
		at("default", "e-1", time.Hour), at("default", "e-2", 0), at("acme", "e-1", 0), at("default", "e-1", 23*time.Hour),
	})
	require.NoError(t, err)
	require.Equal(t, map[store.EventKey]store.SeenEvent{key: {Seq: 4, Digest: digest[:]}}, seen)
	for after, why := range map[time.Duration]string{
		-time.Second: "itself", -time.Minute: "those before were published longer ago", 25 * time.Hour: "it is too late",
	} {
		seen, err = db.Ledger.SeenEvents(t.Context(), []store.Published{at("default", "e-1", after)})
		require.NoError(t, err)
		require.Empty(t, seen, why)
	}
	seen, err = db.Ledger.SeenEvents(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, seen)
}
