package envelope_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func decodeCloud(t *testing.T, attributes string) webhook.Event {
	t.Helper()
	e, err := envelope.Decode(envelope.Published{
		Tenant: "acme", Type: "order.created", Headers: map[string][]string{"Content-Type": {envelope.TypeCloudEvents}},
		Body: []byte(`{"specversion":"1.0","type":"order.created","data":{"n":1.50}` + attributes + `}`), Seq: 1, PublishedAt: time.Now(),
	})
	require.NoError(t, err, attributes)
	return e
}

func TestACloudEventIsItsSourceAndID(t *testing.T) {
	t.Parallel()
	id := func(attributes string) string { return decodeCloud(t, attributes).ID }
	require.Equal(t, "1|/shop-a", id(`,"id":"1","source":"/shop-a"`))
	require.Equal(t, "1|/shop-b", id(`,"id":"1","source":"/shop-b"`))
	require.NotEqual(t, id(`,"id":"1|a","source":"b"`), id(`,"id":"1","source":"a|b"`))
	require.Equal(t, "1", id(`,"id":"1","source":"/whisperer/acme"`), "it was ours before")
	long := strings.Repeat("x", 300)
	require.LessOrEqual(t, len(id(`,"id":"`+long[:255]+`","source":"/`+long+`"`)), 2*webhook.MaxEventIDLength+1)
	require.NotEqual(t, id(`,"id":"1","source":"/`+long+`"`), id(`,"id":"1","source":"/`+long+`y"`))
}

func TestACloudEventFromBeforeSourcesCountedKeepsItsID(t *testing.T) {
	t.Parallel()
	now := time.Now()
	in := envelope.Published{
		Tenant: "acme", Type: "order.created", Seq: 1, PublishedAt: now.Add(-time.Second), SourcesSince: now, Body: []byte(`{}`),
		Headers: map[string][]string{"ce-specversion": {"1.0"}, "ce-id": {"1"}, "ce-source": {"/shop-a"}, "ce-type": {"order.created"}},
	}
	e, err := envelope.Decode(in)
	require.NoError(t, err)
	require.Equal(t, "1", e.ID)
	in.PublishedAt = now
	e, err = envelope.Decode(in)
	require.NoError(t, err)
	require.Equal(t, "1|/shop-a", e.ID)
}

func TestACloudEventIsPassedOnAsItCame(t *testing.T) {
	t.Parallel()
	const attributes = `"id":"1","source":"/shop-a","type":"Order-Created","subject":"order:1","time":"2026-01-31T12:00:00.123456789+01:00",` +
		`"dataschema":"https://a.example/s","datacontenttype":"application/vnd.shop+json","partitionkey":"p","retries":3,"sampled":true`
	e, err := envelope.Decode(envelope.Published{
		Tenant: "acme", Type: "order.created", Headers: map[string][]string{"content-type": {envelope.TypeCloudEvents}},
		Body: []byte(`{"data":{"n":1.50},` + attributes + `,"specversion":"1.0","data_base64":null}`), Seq: 1, PublishedAt: time.Now(),
	})
	require.NoError(t, err)
	body, err := envelope.Encode(webhook.FormatCloudEvents, &e)
	require.NoError(t, err)
	require.Equal(t, `{"specversion":"1.0",`+attributes+`,"sequence":"0000000000000001","data":{"n":1.50}}`, string(body.Bytes)) //nolint:testifylint // byte for byte
	retried := envelope.FromProto(envelope.ToProto(&e), e.Tenant, e.Seq, e.PublishedAt)
	again, err := envelope.Encode(webhook.FormatCloudEvents, &retried)
	require.NoError(t, err)
	require.Equal(t, string(body.Bytes), string(again.Bytes))

	binary, err := envelope.Decode(envelope.Published{
		Tenant: "acme", Type: "order.created", Body: []byte(` {"n":1.50} `), Seq: 1, PublishedAt: time.Now(),
		Headers: map[string][]string{
			"CE-SpecVersion": {"1.0"}, "Ce-Id": {"1"}, "ce-source": {"/shop-a"}, "ce-type": {"order.created"}, "ce-partitionkey": {`"p"`},
			"Nats-Msg-Id": {"other"},
		},
	})
	require.NoError(t, err)
	body, err = envelope.Encode(webhook.FormatCloudEvents, &binary)
	require.NoError(t, err)
	require.JSONEq(t, `{"specversion":"1.0","id":"1","source":"/shop-a","type":"order.created","partitionkey":"p",
		"datacontenttype":"application/json","sequence":"0000000000000001","data":{"n":1.50}}`, string(body.Bytes))
}

func TestTheSequenceOfAPublisherStays(t *testing.T) {
	t.Parallel()
	const event = `{"specversion":"1.0","id":"1","source":"/shop-a","type":"order.created","datacontenttype":"application/json","sequence":"a7","data":1}`
	e, err := envelope.Decode(envelope.Published{
		Tenant: "acme", Type: "order.created", Headers: map[string][]string{"content-type": {envelope.TypeCloudEvents}},
		Body: []byte(event), Seq: 1, PublishedAt: time.Now(),
	})
	require.NoError(t, err)
	body, err := envelope.Encode(webhook.FormatCloudEvents, &e)
	require.NoError(t, err)
	require.JSONEq(t, event, string(body.Bytes))
}

func TestForeignIDsAndTypesAreTaken(t *testing.T) {
	t.Parallel()
	decode := func(subjectType, ceType, id string) (webhook.Event, error) {
		body, err := json.Marshal(map[string]any{"specversion": "1.0", "id": id, "source": "/db", "type": ceType, "data": 1})
		require.NoError(t, err)
		return envelope.Decode(envelope.Published{
			Tenant: "acme", Type: subjectType, Body: body, Seq: 1, PublishedAt: time.Now(),
			Headers: map[string][]string{"Content-Type": {envelope.TypeCloudEvents}},
		})
	}
	for ceType, want := range map[string]string{
		"io.debezium.connector.postgresql.DataChangeEvent": "io.debezium.connector.postgresql.datachangeevent",
		"Microsoft.Storage/BlobCreated":                    "microsoft.storage.blobcreated",
		"package-created":                                  "package.created",
		"com.github.pull_request.opened":                   "com.github.pull_request.opened",
	} {
		for _, id := range []string{"name:shop.eu;lsn:1", "a b", `"quoted"`, `back\slash`, "ä,ö", "%2F", "/", ".", strings.Repeat("x", 255)} {
			e, err := decode(want, ceType, id)
			require.NoError(t, err, id)
			require.Equal(t, want, e.Type)
			require.Equal(t, id+"|/db", e.ID)
		}
	}
	_, err := decode("other.type", "io.debezium.Change", "1")
	require.ErrorContains(t, err, "contradicts the subject")
	for _, id := range []string{strings.Repeat("x", 256), "a\nb", "a\u0000b"} {
		_, err := decode("a.b", "a.b", id)
		require.ErrorContains(t, err, "event_id", "%q", id)
	}
	e, err := envelope.Decode(envelope.Published{
		Tenant: "acme", Type: "Order.Created", Body: []byte(`{"n":1}`), Seq: 1, Headers: map[string][]string{"Nats-Msg-Id": {"acme.order-1"}},
	})
	require.NoError(t, err)
	require.Equal(t, "acme.order-1", e.ID)
	require.Equal(t, "order.created", e.Type)
}

func TestWhatIsOddButJSONIsCarriedAsItCame(t *testing.T) {
	t.Parallel()
	for _, data := range []string{`{"note":"a\u0000b"}`, `{"a":1,"a":2}`, `"\ud800"`, `{"\ud800":"\udc00"}`} {
		e, err := envelope.Decode(envelope.Published{Tenant: "acme", Type: "a.b", Body: []byte(`{"event_id":"1","data":` + data + `}`)})
		require.NoError(t, err, data)
		require.Equal(t, data, string(e.Data))
	}
}

// TestHeadersOfABinaryCloudEventAreDecoded has the examples of section 3.1.3.2 of the HTTP binding, and unusual ones.
func TestHeadersOfABinaryCloudEventAreDecoded(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"plain":                           "plain",
		"Euro%20%E2%82%AC%20%F0%9F%98%80": "Euro € 😀",
		"%25":                             "%",
		"%2525":                           "%25",
		"100%":                            "100%",
		"%zz%4":                           "%zz%4",
		`"a b"`:                           "a b",
		`"a\"b\\%22"`:                     `a"b\"`,
		`"`:                               `"`,
		`"a`:                              `"a`,
		`"\"`:                             `\`,
	} {
		e, err := envelope.Decode(published(`{}`, "Content-Type", "application/json", "ce-specversion", "1.0", "ce-id", "e", "ce-source", "/",
			"ce-type", "package.created", "ce-note", header))
		require.NoError(t, err)
		var attributes map[string]string
		require.NoError(t, json.Unmarshal(e.CloudEvent, &attributes))
		require.Equal(t, want, attributes["note"])
	}
}

func TestWhatIsNoTextInACloudEventIsRejected(t *testing.T) {
	t.Parallel()
	for _, in := range []envelope.Published{
		published(`{"specversion":"1.0","id":"e","source":"/\u0000","type":"package.created","data":1}`, "Content-Type", "application/cloudevents+json"),
		published(`1`, "Content-Type", "application/json", "ce-specversion", "1.0", "ce-id", "e", "ce-source", "/%00", "ce-type", "package.created"),
		published(`1`, "Content-Type", "application/json", "ce-specversion", "1.0", "ce-id", "e", "ce-source", "/\x80", "ce-type", "package.created"),
		published(`1`, "Content-Type", "application/json", "ce-specversion", "1.0", "ce-id", "e", "ce-source", "/", "ce-type", "package.created", "ce-x", "%80"),
	} {
		_, err := envelope.Decode(in)
		var rejected *envelope.RejectedError
		require.ErrorAs(t, err, &rejected)
		require.Equal(t, envelope.BadField, rejected.Reason)
	}
	require.NoError(t, webhook.ValidateSource("https://example.com/é"))
}

func TestCloudEventsInOtherFormatsAreRejected(t *testing.T) {
	t.Parallel()
	for _, contentType := range []string{"application/cloudevents-batch+json", "application/cloudevents+avro", "Application/CloudEvents; charset=utf-8"} {
		_, err := envelope.Decode(published(`[{"specversion":"1.0","id":"e","source":"/","type":"package.created","data":1}]`, "Content-Type", contentType))
		var rejected *envelope.RejectedError
		require.ErrorAs(t, err, &rejected, contentType)
		require.Equal(t, envelope.Unreadable, rejected.Reason)
	}
}

func TestATraceparentIsReadInTheVersionThatWeKnow(t *testing.T) {
	t.Parallel()
	const rest = "-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for header, want := range map[string]string{
		"00" + rest: "00" + rest, "01" + rest: "00" + rest, "cc" + rest + "-what-comes": "00" + rest,
		"00" + rest + "-more": "", "cc" + rest + "more": "", "ff" + rest: "", "00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01": "", "": "",
	} {
		e, err := envelope.Decode(published(`{"data":1}`, "traceparent", header))
		require.NoError(t, err)
		require.Equal(t, want, e.Traceparent, header)
	}
}
