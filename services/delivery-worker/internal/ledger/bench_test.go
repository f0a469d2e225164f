package ledger_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

// One operation encodes a batch of 1,000 facts with their attempts, as it is published to the LEDGER stream.
func BenchmarkEncodeFacts(b *testing.B) {
	batch := &whispererv1.LedgerBatch{Worker: "w-1"}
	for n := range 1000 {
		f := numbered(n)
		f.Attempt = &whispererv1.AttemptFact{
			Number: 1, Status: 200, Outcome: "succeeded", Method: "POST", Url: "https://erp.example/hooks/orders",
			RequestHeaders:  strings.Repeat("X-Whisperer-Delivery: 8a7b6c5d-1111-2222-3333-444455556666\n", 12),
			ResponseHeaders: "Content-Length: 2\nContent-Type: text/plain\nDate: Sat, 21 Nov 2026 07:00:00 GMT", ResponseBody: []byte("ok"),
		}
		batch.Facts = append(batch.Facts, f)
	}
	b.ReportAllocs()
	for b.Loop() {
		data, err := proto.Marshal(batch)
		require.NoError(b, err)
		b.SetBytes(int64(len(data)))
	}
}
