package store

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

// FuzzFacts decodes arbitrary messages from the LEDGER stream, and checks the COPY rows written for them: exactly one row for
// each fact and attempt, with the right columns, no characters that a text column refuses, and no hook twice in what is merged.
func FuzzFacts(f *testing.F) {
	id := bytes.Repeat([]byte{7}, 16)
	at := time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC).UnixNano()
	attempt := &whispererv1.AttemptFact{
		Number: 1, StartedAt: at, Duration: 5, Outcome: "succeeded", Status: 200, Method: "POST", Url: "https://erp.example/hooks",
		RequestHeaders: "A: b\nC: d", ResponseBody: []byte("o\tk\x00\xff"),
	}
	for _, b := range []*whispererv1.LedgerBatch{
		{},
		{Worker: "w", Facts: []*whispererv1.DeliveryFact{nil, {DeliveryId: id, HookId: id, Tenant: "a\tb", PublishedAt: at, State: "delivered", At: at, Attempt: attempt, First: true}}},
		{Worker: "w\n", Facts: []*whispererv1.DeliveryFact{{DeliveryId: id[:3], PublishedAt: -1 << 63, State: "\\.", EventSeq: 1<<64 - 1, NextAt: 1<<63 - 1, Attempt: attempt}}},
		{Rejected: []*whispererv1.RejectedEvent{{Subject: "\\N", Raw: []byte("x"), Headers: []*whispererv1.Header{{Name: "A\n", Value: "\xff"}}}}},
	} {
		data, err := proto.Marshal(b)
		if err == nil { // protobuf does not write invalid UTF-8, but may receive it
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var batch whispererv1.LedgerBatch
		if proto.Unmarshal(data, &batch) != nil {
			return
		}
		all := factsOf([]*whispererv1.LedgerBatch{&batch})
		require.Len(t, slices.Concat(all.first, all.later), len(batch.GetFacts()))
		require.Len(t, all.rejected, len(batch.GetRejected()))
		attempts := 0
		for _, list := range [][]fact{all.first, all.later} {
			requireRows(t, deliveryColumns, len(list), func(c *copyOut) {
				for _, f := range list {
					writeDelivery(c, f.DeliveryFact)
				}
			})
			for _, f := range list {
				if f.attempted() {
					attempts++
					requireRows(t, attemptColumns, 1, func(c *copyOut) { writeAttempt(c, f.worker, f.DeliveryFact) })
				}
			}
			hooks := healthOf(list)
			require.True(t, slices.IsSortedFunc(hooks, func(a, b *health) int { return bytes.Compare(a.hook[:], b.hook[:]) }))
			require.Len(t, slices.CompactFunc(hooks, func(a, b *health) bool { return a.hook == b.hook }), len(healthOf(list)))
		}
		require.LessOrEqual(t, attempts, len(batch.GetFacts()))
		requireRows(t, rejectedColumns, len(all.rejected), func(c *copyOut) {
			for _, e := range all.rejected {
				writeRejected(c, e)
			}
		})
	})
}

// requireRows requires that write writes this many rows with these columns.
func requireRows(t *testing.T, columns string, rows int, write func(*copyOut)) {
	t.Helper()
	var out strings.Builder
	c := copyOut{send: func(chunk string) error { out.WriteString(chunk + "\n"); return nil }}
	write(&c)
	c.flush()
	require.NoError(t, c.err)
	text := out.String()
	require.True(t, utf8.ValidString(text) && !strings.ContainsRune(text, 0), "PostgreSQL takes no such text: %q", text)
	lines := strings.SplitAfter(text, "\n")
	require.Empty(t, lines[len(lines)-1])
	lines = lines[:len(lines)-1]
	require.Len(t, lines, rows)
	for _, line := range lines {
		require.Equal(t, strings.Count(columns, ","), strings.Count(line, "\t"), "%q", line)
		require.NotEqual(t, "\\.\n", line, "that would end the COPY")
	}
}
