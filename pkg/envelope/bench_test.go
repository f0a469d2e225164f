package envelope_test

import (
	"strings"
	"testing"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func BenchmarkDecodeAnEnvelopeOf1KiB(b *testing.B) {
	body := []byte(`{"event_id":"e-1","entity":"package:61","data":{"lines":[` + strings.Repeat(`{"sku":"A-1","quantity":2},`, 36) + `{}]}}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		_, err := envelope.Decode(envelope.Published{Tenant: "default", Type: "package.created", Body: body, Seq: 1, PublishedAt: time.Unix(1, 0)})
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode1KiB(b *testing.B) {
	e := &webhook.Event{ID: "e-1", Tenant: "default", Type: "package.created", Data: []byte(`{"x":"` + strings.Repeat("y", 1000) + `"}`)}
	b.SetBytes(int64(len(e.Data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := envelope.Encode(webhook.FormatOMS, e); err != nil {
			b.Fatal(err)
		}
	}
}
