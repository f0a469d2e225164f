package envelope_test

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

func TestReceiversGetTheBodyOfTheirFormat(t *testing.T) {
	t.Parallel()
	const data = "{ \"b\":1.0,\r\n\t\"b\":12345678901234567890, \"a\":\"\u2028</script>\\u0041\" }"
	e := webhook.Event{
		ID: `e/1`, Tenant: "acme", Type: "package.created", Time: time.Date(2026, 3, 1, 12, 0, 0, 120000000, time.FixedZone("", 3600)),
		Entity: `package:"61" ü`, Context: []byte(`{ "user":5 }`), Data: []byte(data), PublishedAt: storedAt, Seq: 7,
	}
	bare := webhook.Event{ID: "e", Tenant: "acme", Type: "order.created", Time: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), Data: []byte(`null`)}
	tests := map[string]struct {
		format webhook.Format
		event  webhook.Event
		typ    string
		want   string
	}{
		"oms": {
			webhook.FormatOMS, e, "application/json",
			`{"event_time":"2026-03-01T11:00:00.12Z","event_type":"package.created","current_context":{ "user":5 },"data":` + data + `}`,
		},
		"oms without a context": {
			webhook.FormatOMS, bare, "application/json",
			`{"event_time":"2026-03-01T00:00:00Z","event_type":"order.created","current_context":{},"data":null}`,
		},
		"whisperer": {
			webhook.FormatWhisperer, e, "application/json", `{"event":{"type":"package.created","uuid":"e/1"},"data":` + data + `}`,
		},
		"standard": {
			webhook.FormatStandard, e, "application/json",
			`{"type":"package.created","timestamp":"2026-03-01T11:00:00.12Z","data":` + data + `}`,
		},
		"cloudevents": {
			webhook.FormatCloudEvents, e, "application/cloudevents+json",
			`{"specversion":"1.0","id":"e/1","source":"/whisperer/acme","type":"package.created","subject":"package:\"61\" ü",` +
				`"time":"2026-03-01T11:00:00.12Z","datacontenttype":"application/json","sequence":"0000000000000007","data":` + data + `}`,
		},
		"cloudevents without an entity": {
			webhook.FormatCloudEvents, bare, "application/cloudevents+json",
			`{"specversion":"1.0","id":"e","source":"/whisperer/acme","type":"order.created","time":"2026-03-01T00:00:00Z",` +
				`"datacontenttype":"application/json","data":null}`,
		},
		"raw": {webhook.FormatRaw, e, "application/json", data},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body, err := envelope.Encode(test.format, &test.event)
			require.NoError(t, err)
			require.Equal(t, test.typ, body.ContentType)
			require.Equal(t, []byte(test.want), body.Bytes, "%s", body.Bytes)
		})
	}
}

func TestCloudEventsAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	want := event(func(e *webhook.Event) { e.ID, e.Entity, e.Data = "e-1", "package:61", []byte(`{ "id":61 }`) })
	body, err := envelope.Encode(webhook.FormatCloudEvents, &want)
	require.NoError(t, err)
	got, err := envelope.Decode(published(string(body.Bytes), "Content-Type", body.ContentType))
	require.NoError(t, err)
	got.CloudEvent = nil
	require.Equal(t, want, got)
}

func TestThereIsNoOtherFormat(t *testing.T) {
	t.Parallel()
	_, err := envelope.Encode("xml", &webhook.Event{ID: "e-1"})
	require.ErrorContains(t, err, `"xml"`)
	_, err = envelope.NewBodies(&webhook.Event{}).Get("xml", nil)
	require.Error(t, err)
}

func TestBodiesAreEncodedOnceForAllHooks(t *testing.T) {
	t.Parallel()
	bodies := envelope.NewBodies(&webhook.Event{ID: "e-1", Data: []byte(`{"id":61}`)})
	var wait sync.WaitGroup
	got := make([]envelope.Body, 32)
	for i := range got {
		wait.Go(func() { got[i], _ = bodies.Get(webhook.Formats()[i%2], nil) })
	}
	wait.Wait()
	for i := range got {
		require.Same(t, &got[i%2].Bytes[0], &got[i].Bytes[0])
	}
	require.NotSame(t, &got[0].Bytes[0], &got[1].Bytes[0])
}

func TestEventsTravelInRetriesWhole(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]webhook.Event{
		"with all parts": event(func(e *webhook.Event) {
			e.Entity, e.Traceparent, e.Time = "package:61", trace, storedAt.Add(-time.Hour)
			e.Context, e.ConfigFilter, e.Data = []byte(`{"a": 1}`), []byte(`{"b":1}`), []byte(`{ "c":1 }`)
		}),
		"with data alone": event(func(e *webhook.Event) { e.Data = []byte(`null`) }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := proto.Marshal(envelope.ToProto(&want))
			require.NoError(t, err)
			var p whispererv1.Event
			require.NoError(t, proto.Unmarshal(b, &p))
			require.Equal(t, want, envelope.FromProto(&p, want.Tenant, want.Seq, want.PublishedAt))
		})
	}
}
