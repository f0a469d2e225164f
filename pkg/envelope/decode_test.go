package envelope_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

var storedAt = time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)

// published returns a message on oms.acme.package.created.
func published(body string, headers ...string) envelope.Published {
	p := envelope.Published{Tenant: "acme", Type: "package.created", Body: []byte(body), Seq: 7, PublishedAt: storedAt}
	if len(headers) > 0 {
		p.Headers = map[string][]string{}
	}
	for i := 0; i < len(headers); i += 2 {
		p.Headers[headers[i]] = append(p.Headers[headers[i]], headers[i+1])
	}
	return p
}

// event returns what a message without any parts of its own becomes.
func event(edit func(e *webhook.Event)) webhook.Event {
	e := webhook.Event{
		ID: webhook.EventIDFromStream(7, storedAt), Tenant: "acme", Type: "package.created", Time: storedAt, PublishedAt: storedAt, Seq: 7,
	}
	edit(&e)
	return e
}

func TestBodiesAreReadInAnyOfTheFormsOfTheContract(t *testing.T) {
	t.Parallel()
	const full = `{"event_id":"e-1","event_type":"package-created","event_time":"2026-02-28T23:59:59.5+02:00","entity":"package:61",
		"current_context":{"user": 5},"config_filter":{"channel_id":12},"data":{"id":61}}`
	at := time.Date(2026, 2, 28, 21, 59, 59, 500000000, time.UTC)
	whole := func(e *webhook.Event) {
		e.ID, e.Time, e.Entity = "e-1", at, "package:61"
		e.Context, e.ConfigFilter, e.Data = json.RawMessage(`{"user": 5}`), json.RawMessage(`{"channel_id":12}`), json.RawMessage(`{"id":61}`)
	}
	cloud := func(e *webhook.Event) {
		e.ID, e.Time, e.Entity, e.Traceparent, e.Data = "e-1|/oms", at, "package:61", trace, json.RawMessage(`{"id":61}`)
	}
	data := func(text string) func(e *webhook.Event) {
		return func(e *webhook.Event) { e.Data = json.RawMessage(text) }
	}
	tests := map[string]struct {
		in   envelope.Published
		want func(e *webhook.Event)
	}{
		"the whole envelope":                     {published(full), whole},
		"the envelope with white space about it": {published("\r\n\t " + full + " \n"), whole},
		"an envelope of data alone":              {published(`{"data":[1]}`), data(`[1]`)},
		"an envelope with nulls":                 {published(`{"event_id":null,"event_type":null,"event_time":null,"entity":null,"current_context":null,"config_filter":null,"data":1}`), data(`1`)},
		"an envelope whose data is null":         {published(`{"data":null}`), data(`null`)},
		"a bare object":                          {published(` {"id": 61} `), data(`{"id": 61}`)},
		"a bare list":                            {published(`[1,2]`), data(`[1,2]`)},
		"a bare text":                            {published(`"x"`), data(`"x"`)},
		"a bare number that is out of range":     {published(`1e400`), data(`1e400`)},
		"a bare null":                            {published(`null`), data(`null`)},
		"an object without data is bare":         {published(`{"event_id":"e-1"}`), data(`{"event_id":"e-1"}`)},
		"an object with more than data is bare":  {published(`{"data":1,"more":2}`), data(`{"data":1,"more":2}`)},
		"a name in another case makes it bare":   {published(`{"Data":1}`), data(`{"Data":1}`)},
		"a JSON content type changes nothing":    {published(`{"data":1}`, "Content-Type", "application/json; charset=utf-8"), data(`1`)},
		"the id of the message": {published(`{"data":1}`, "Nats-Msg-Id", "m-1"), func(e *webhook.Event) {
			e.ID, e.Data = "m-1", json.RawMessage(`1`)
		}},
		"the body's id before the message's": {published(`{"event_id":"e-1","data":1}`, "Nats-Msg-Id", "m-1"), func(e *webhook.Event) {
			e.ID, e.Data = "e-1", json.RawMessage(`1`)
		}},
		"a trace in the header": {published(`1`, "Traceparent", trace), func(e *webhook.Event) {
			e.Traceparent, e.Data = trace, json.RawMessage(`1`)
		}},
		"a trace with what others keep in it": {published(`1`, "traceparent", trace, "Tracestate", " a=1, b@c=2"), func(e *webhook.Event) {
			e.Traceparent, e.Tracestate, e.Data = trace, "a=1, b@c=2", json.RawMessage(`1`)
		}},
		"state that cannot be a header": {published(`1`, "traceparent", trace, "tracestate", "a=ü"), func(e *webhook.Event) {
			e.Traceparent, e.Data = trace, json.RawMessage(`1`)
		}},
		"a trace that is none is left out": {published(`1`, "traceparent", "00-abc", "tracestate", "a=1"), data(`1`)},
		"a trace of zeroes is left out":    {published(`1`, "traceparent", "00-"+strings.Repeat("0", 32)+"-00f067aa0ba902b7-01"), data(`1`)},
		"CloudEvents in one JSON object": {published(`{"specversion":"1.0","id":"e-1","source":"/oms","type":"package.created","subject":"package:61",
			"time":"2026-02-28T23:59:59.5+02:00","datacontenttype":"application/json","data":{"id":61},"traceparent":"`+trace+`","extension":1}`,
			"content-type", "Application/CloudEvents+JSON; charset=utf-8"), cloud},
		"CloudEvents in headers": {published(` {"id":61} `, "ce-specversion", "1.0", "ce-id", "e-1", "ce-source", "/oms", "ce-type", "package.created",
			"ce-subject", "package:61", "ce-time", "2026-02-28T23:59:59.5+02:00", "ce-traceparent", trace, "Content-Type", "application/json"), cloud},
		"CloudEvents in headers of another spelling": {published(`{"id":61}`, "Ce-Specversion", "1.0", "CE-ID", "e-1", "Ce-Source", "/oms", "Ce-Type", "package.created",
			"Ce-Subject", "package:61", "Ce-Time", "2026-02-28T23:59:59.5+02:00", "Traceparent", trace), cloud},
		"CloudEvents whose data looks like our envelope": {
			published(`{"event_id":"x","data":1}`, "ce-specversion", "1.0", "ce-id", "e-1", "ce-source", "/", "ce-type", "package.created"),
			func(e *webhook.Event) { e.ID, e.Data = "e-1|/", json.RawMessage(`{"event_id":"x","data":1}`) },
		},
		"protobuf": {published(protobuf(t, &whispererv1.Event{
			Id: "e-1", Type: "package.created", Time: timestamppb.New(at), Entity: "package:61", Context: []byte(`{"user": 5}`),
			ConfigFilter: []byte(`{"channel_id":12}`), Data: []byte(`{"id":61}`), Traceparent: trace,
		}), "Content-Type", "application/protobuf"), func(e *webhook.Event) {
			whole(e)
			e.Traceparent = trace
		}},
		"protobuf of data alone": {published(protobuf(t, &whispererv1.Event{Data: []byte(`1`)}), "Content-Type", "application/x-protobuf"), data(`1`)},
		"a time finer than Postgres keeps is cut": {published(`{"event_time":"2026-02-28T21:59:59.123456789Z","data":1}`), func(e *webhook.Event) {
			e.Time, e.Data = time.Date(2026, 2, 28, 21, 59, 59, 123456000, time.UTC), json.RawMessage(`1`)
		}},
		"64 levels":                       {published(nested(64)), data(nested(64))},
		"brackets in texts are no levels": {published(`"` + strings.Repeat(`[\"`, 100) + `"`), data(`"` + strings.Repeat(`[\"`, 100) + `"`)},
		"exactly a mebibyte":              {published(`"` + strings.Repeat("x", 1<<20-2) + `"`), data(`"` + strings.Repeat("x", 1<<20-2) + `"`)},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := envelope.Decode(test.in)
			require.NoError(t, err)
			got.CloudEvent = nil // has a test of its own
			require.Equal(t, event(test.want), got)
		})
	}
}

func protobuf(t *testing.T, e *whispererv1.Event) string {
	t.Helper()
	b, err := proto.Marshal(e)
	require.NoError(t, err)
	return string(b)
}

func nested(levels int) string { return strings.Repeat("[", levels) + strings.Repeat("]", levels) }

func TestDataIsCarriedAsTheBytesThatCame(t *testing.T) {
	t.Parallel()
	for name, data := range map[string]string{
		"odd white space":          "{ \t\"b\" :1 ,\r\n \"a\":2 }",
		"keys twice":               `{"a":1,"a":2}`,
		"numbers as written":       `[1.0,1e2,-0,0.10,1E+2,12345678901234567890]`,
		"a number out of range":    `1e400`,
		"line separators":          "\"\u2028\u2029\"",
		"escapes":                  `"\u2028\/\u0041\ud83d\ude00\u0000"`,
		"a lone surrogate":         `"\ud800"`,
		"characters of HTML":       `"<script>&</script>"`,
		"right to left":            "\"\u202eabc\"",
		"an empty object":          `{}`,
		"an empty text":            `""`,
		"names of our envelope":    `{"event_id":"x","data":{"data":1}}`,
		"a text that looks closed": `"}]\"}"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.True(t, json.Valid([]byte(data)))
			for form, in := range map[string]envelope.Published{
				"bare":       published(data),
				"enveloped":  published(`{ "data" : ` + data + ` , "entity":"x"}`),
				"structured": published(`{"specversion":"1.0","id":"e","source":"/","type":"package.created","data":`+data+`}`, "Content-Type", "application/cloudevents+json"),
				"binary":     published(data, "ce-specversion", "1.0", "ce-id", "e", "ce-source", "/", "ce-type", "package.created"),
				"protobuf":   published(protobuf(t, &whispererv1.Event{Data: []byte(data)}), "Content-Type", "application/protobuf"),
			} {
				if form == "bare" && name == "names of our envelope" {
					continue // that is an envelope
				}
				e, err := envelope.Decode(in)
				require.NoError(t, err, form)
				require.Equal(t, []byte(data), []byte(e.Data), form)
				body, err := envelope.Encode(webhook.FormatRaw, &e)
				require.NoError(t, err)
				require.Equal(t, []byte(data), body.Bytes, form)
			}
		})
	}
}

func TestWhatIsNoEventIsRejectedWithItsReason(t *testing.T) {
	t.Parallel()
	structured := func(body string) envelope.Published {
		return published(body, "Content-Type", "application/cloudevents+json")
	}
	binary := func(headers ...string) envelope.Published {
		return published(`{"id":61}`, append([]string{"ce-specversion", "1.0", "ce-source", "/oms"}, headers...)...)
	}
	inProtobuf := func(e *whispererv1.Event) envelope.Published {
		return published(protobuf(t, e), "Content-Type", "application/protobuf")
	}
	id := func(id string) envelope.Published {
		return published(fmt.Sprintf(`{"event_id":%q,"data":1}`, id))
	}
	with := func(name, value string) envelope.Published {
		return published(fmt.Sprintf(`{%q:%s,"data":1}`, name, value))
	}
	badType := published(`1`)
	badType.Type = "package created"
	tests := map[string]struct {
		in     envelope.Published
		reason envelope.Reason
		field  string
	}{
		"nothing":                                 {published(``), envelope.Unreadable, ""},
		"white space":                             {published("  \n"), envelope.Unreadable, ""},
		"invalid JSON":                            {published(`{"data":`), envelope.Unreadable, ""},
		"two documents":                           {published(`{}{}`), envelope.Unreadable, ""},
		"single quotes":                           {published(`{'data':1}`), envelope.Unreadable, ""},
		"NaN":                                     {published(`NaN`), envelope.Unreadable, ""},
		"a byte more than a mebibyte":             {published(strings.Repeat(" ", 1<<20+1)), envelope.TooLarge, ""},
		"ten megabytes":                           {published(strings.Repeat("1", 10<<20)), envelope.TooLarge, ""},
		"invalid UTF-8":                           {published("\"\xff\""), envelope.Unreadable, ""},
		"UTF-16":                                  {published("\xff\xfe1\x00"), envelope.Unreadable, ""},
		"a byte order mark":                       {published("\xef\xbb\xbf{\"data\":1}"), envelope.Unreadable, ""},
		"a NUL":                                   {published("\"\x00\""), envelope.Unreadable, ""},
		"65 levels":                               {published(nested(65)), envelope.Unreadable, ""},
		"10,000 levels":                           {published(nested(10_000)), envelope.Unreadable, ""},
		"500,000 levels without an end":           {published(strings.Repeat(`{"a":`, 100_000)), envelope.Unreadable, ""},
		"a name of the envelope twice":            {published(`{"event_id":"a","data":1,"event_id":"b"}`), envelope.BadField, "event_id"},
		"data twice":                              {published(`{"data":1,"data":2}`), envelope.BadField, "data"},
		"an id that is a number":                  {with("event_id", `5`), envelope.BadField, "event_id"},
		"a type that is a list":                   {with("event_type", `[]`), envelope.BadField, "event_type"},
		"a time that is a number":                 {with("event_time", `5`), envelope.BadField, "event_time"},
		"a time without a zone":                   {with("event_time", `"2026-02-28T23:59:59"`), envelope.BadField, "event_time"},
		"a time that is none":                     {with("event_time", `"yesterday"`), envelope.BadField, "event_time"},
		"a time before 1970":                      {with("event_time", `"1969-12-31T23:59:59Z"`), envelope.BadField, "event_time"},
		"a time that is before 1970 in UTC":       {with("event_time", `"1970-01-01T00:30:00+01:00"`), envelope.BadField, "event_time"},
		"a time that is after 9999 in UTC":        {with("event_time", `"9999-12-31T23:30:00-01:00"`), envelope.BadField, "event_time"},
		"a time in the year 99999":                {with("event_time", `"99999-01-01T00:00:00Z"`), envelope.BadField, "event_time"},
		"an entity that is an object":             {with("entity", `{}`), envelope.BadField, "entity"},
		"an entity with a line feed":              {with("entity", `"a\nb"`), envelope.BadField, "entity"},
		"an entity with NUL":                      {with("entity", `"a\u0000"`), envelope.BadField, "entity"},
		"an entity with a lone surrogate":         {with("entity", `"\ud800"`), envelope.BadField, "entity"},
		"an entity too long":                      {with("entity", `"`+strings.Repeat("e", 257)+`"`), envelope.BadField, "entity"},
		"a context that is a list":                {with("current_context", `[]`), envelope.BadField, "current_context"},
		"a context that is a text":                {with("current_context", `"x"`), envelope.BadField, "current_context"},
		"a filter that is a number":               {with("config_filter", `1`), envelope.BadField, "config_filter"},
		"an id with a line feed":                  {id("a\nb"), envelope.BadField, "event_id"},
		"an id with CRLF":                         {id("a\r\nX-Evil: 1"), envelope.BadField, "event_id"},
		"an id of 256 bytes":                      {id(strings.Repeat("ü", 128)), envelope.BadField, "event_id"},
		"a huge id":                               {id(strings.Repeat("a", 100_000)), envelope.BadField, "event_id"},
		"a message id with a control character":   {published(`1`, "Nats-Msg-Id", "a\x01b"), envelope.BadField, "event_id"},
		"a type that contradicts the subject":     {with("event_type", `"package.updated"`), envelope.TypeMismatch, "event_type"},
		"a type that is none":                     {with("event_type", `"Package Created"`), envelope.TypeMismatch, "event_type"},
		"a subject that names no type":            {badType, envelope.BadField, "event_type"},
		"CloudEvents that are a list":             {structured(`[]`), envelope.Unreadable, ""},
		"CloudEvents that are no JSON":            {structured(`{`), envelope.Unreadable, ""},
		"CloudEvents of another version":          {structured(`{"specversion":"0.3"}`), envelope.BadField, "specversion"},
		"CloudEvents without an id":               {structured(`{"specversion":"1.0","source":"/","type":"package.created","data":1}`), envelope.BadField, "id"},
		"CloudEvents without data":                {structured(`{"specversion":"1.0","id":"e","source":"/","type":"package.created"}`), envelope.BadField, "data"},
		"CloudEvents with bytes":                  {structured(`{"specversion":"1.0","id":"e","source":"/","type":"package.created","data_base64":"AA=="}`), envelope.BadField, "data"},
		"CloudEvents with XML":                    {structured(`{"specversion":"1.0","id":"e","source":"/","type":"package.created","datacontenttype":"text/xml","data":"<a/>"}`), envelope.BadField, "data"},
		"CloudEvents with a name twice":           {structured(`{"specversion":"1.0","id":"e","id":"f","source":"/","type":"package.created","data":1}`), envelope.BadField, "id"},
		"CloudEvents with a name in two cases":    {structured(`{"specversion":"1.0","id":"e","source":"/","type":"package.created","data":1,"DATA":2}`), envelope.BadField, "data"},
		"CloudEvents with an id that is a number": {structured(`{"specversion":"1.0","id":5,"source":"/","type":"package.created","data":1}`), envelope.BadField, "id"},
		"CloudEvents of another type":             {structured(`{"specversion":"1.0","id":"e","source":"/","type":"order.created","data":1}`), envelope.TypeMismatch, "event_type"},
		"binary CloudEvents without an id":        {binary("ce-type", "package.created"), envelope.BadField, "ce-id"},
		"binary CloudEvents of another version":   {published(`1`, "ce-specversion", "0.3"), envelope.BadField, "ce-specversion"},
		"binary CloudEvents with XML":             {binary("ce-id", "e", "ce-type", "package.created", "Content-Type", "application/xml"), envelope.BadField, "data"},
		"binary CloudEvents of another type":      {binary("ce-id", "e", "ce-type", "order.created"), envelope.TypeMismatch, "event_type"},
		"binary CloudEvents without a body":       {published(``, "ce-specversion", "1.0", "ce-id", "e", "ce-source", "/", "ce-type", "package.created"), envelope.Unreadable, ""},
		"protobuf that is none":                   {published(`{"data":1}`, "Content-Type", "application/protobuf"), envelope.Unreadable, ""},
		"protobuf that is empty":                  {published(``, "Content-Type", "application/protobuf"), envelope.BadField, "data"},
		"protobuf without data":                   {inProtobuf(&whispererv1.Event{Id: "e"}), envelope.BadField, "data"},
		"protobuf with data that is no JSON":      {inProtobuf(&whispererv1.Event{Data: []byte(`{`)}), envelope.BadField, "data"},
		"protobuf with deep data":                 {inProtobuf(&whispererv1.Event{Data: []byte(nested(65))}), envelope.BadField, "data"},
		"protobuf with a context that is no JSON": {inProtobuf(&whispererv1.Event{Data: []byte(`1`), Context: []byte("\xff")}), envelope.BadField, "context"},
		"protobuf with a time out of range":       {inProtobuf(&whispererv1.Event{Data: []byte(`1`), Time: &timestamppb.Timestamp{Seconds: 1 << 60}}), envelope.BadField, "time"},
		"protobuf with an id with a line feed":    {inProtobuf(&whispererv1.Event{Data: []byte(`1`), Id: "a\nb"}), envelope.BadField, "event_id"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := envelope.Decode(test.in)
			var rejected *envelope.RejectedError
			require.ErrorAs(t, err, &rejected)
			require.Equal(t, test.reason, rejected.Reason, err)
			require.Equal(t, test.field, rejected.Field, err)
			require.NotEmpty(t, rejected.Detail)
			require.Less(t, len(err.Error()), 300)
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("", "", "", `{"event_id":"e","data":{"a":1e400}}`)
	f.Add("application/cloudevents+json", "", "", `{"specversion":"1.0","id":"e","source":"/","type":"package.created","data":[ 1 ]}`)
	f.Add("application/json", "1.0", "m", ` {"a":1} `)
	f.Add("application/protobuf", "", "", "\x3a\x011")
	f.Add("", "", "a.b", "[[[[")
	f.Add("", "", "", `{"event\u005fid":"\"\\","data":"\\\""}`)
	f.Fuzz(func(t *testing.T, contentType, specVersion, messageID, body string) {
		in := published(body, "Content-Type", contentType, "ce-specversion", specVersion, "ce-id", messageID, "ce-source", "/",
			"ce-type", "package.created", "Nats-Msg-Id", messageID)
		e, err := envelope.Decode(in)
		if err != nil {
			var rejected *envelope.RejectedError
			require.ErrorAs(t, err, &rejected)
			require.NotEmpty(t, rejected.Reason)
			if rejected.Detail == "the body is not JSON" {
				require.False(t, json.Valid([]byte(body)))
			}
			return
		}
		require.NoError(t, webhook.ValidateEventID(e.ID))
		require.True(t, json.Valid(e.Data))
		require.Contains(t, body, string(e.Data), "data is a part of the body")
		require.True(t, json.Valid(envelope.Thin(&e, "https://example.com").Bytes))
		for _, format := range webhook.Formats() {
			if format == webhook.FormatThin {
				continue
			}
			encoded, err := envelope.Encode(format, &e)
			require.NoError(t, err)
			require.True(t, json.Valid(encoded.Bytes), "%s: %s", format, encoded.Bytes)
			tail := string(e.Data)
			if format != webhook.FormatRaw {
				tail = `,"data":` + tail + `}`
			}
			require.True(t, strings.HasSuffix(string(encoded.Bytes), tail), "%s: %s", format, encoded.Bytes)
		}
	})
}

// FuzzCloudEvent decodes events in the JSON format and in binary mode. Whatever is accepted must be passed on as an
// equivalent CloudEvent.
func FuzzCloudEvent(f *testing.F) {
	f.Add(`{"specversion":"1.0","id":"e","source":"/","type":"package.created","subject":"a:1","time":"2026-03-01T12:00:00.123456789Z","x":1,"data":[1.50,"\u0000"]}`, "", "")
	f.Add(`{"specversion":"1.0","id":"\ud800","source":"","type":"a","datacontenttype":"text/plain"}`, "e%20%C3%BC", "a%")
	f.Add(`{"a":1}`, "id", `"/so\"urce"`)
	f.Fuzz(func(t *testing.T, body, id, source string) {
		for _, in := range []envelope.Published{
			published(body, "Content-Type", "application/cloudevents+json"),
			published(body, "Content-Type", "application/json", "ce-specversion", "1.0", "ce-id", id, "ce-source", source, "ce-type", "package.created", "ce-x", source),
		} {
			e, err := envelope.Decode(in)
			if err != nil {
				var rejected *envelope.RejectedError
				require.ErrorAs(t, err, &rejected)
				require.NotEmpty(t, rejected.Reason)
				continue
			}
			passed, err := envelope.Encode(webhook.FormatCloudEvents, &e)
			require.NoError(t, err)
			again, err := envelope.Decode(published(string(passed.Bytes), "Content-Type", "application/cloudevents+json"))
			require.NoError(t, err, "%s", passed.Bytes)
			require.Equal(t, e.ID, again.ID)
			require.Equal(t, e.Type, again.Type)
			require.True(t, e.Time.Equal(again.Time))
			require.Equal(t, string(e.Data), string(again.Data))
		}
	})
}
