package envelope

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// readCloudEvent parses a CloudEvents 1.0 event in the JSON format.
func readCloudEvent(body []byte) (fields, error) {
	if err := CheckJSON(body, MaxDepth); err != nil {
		return fields{}, err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil || members == nil {
		return fields{}, reject(Unreadable, "", "the body is not an object")
	}
	if twice := repeatedName(body); twice != "" {
		return fields{}, reject(BadField, twice, "is there twice")
	}
	attributes := map[string]string{}
	for name, raw := range members {
		if name == "data" || name == "data_base64" || string(raw) == "null" {
			continue
		}
		value, ok := text(raw)
		if !ok && knownAttribute(name) {
			return fields{}, reject(BadField, name, "must be a string")
		}
		attributes[name] = value
	}
	f, err := cloudEvent(attributes, "")
	if err != nil {
		return f, err
	}
	if raw, there := members["data_base64"]; there && string(raw) != "null" {
		return f, reject(BadField, "data", "must be JSON")
	}
	f.data = members["data"]
	f.attributes = attributesOf(members)
	return f, nil
}

func readBinaryCloudEvent(in Published) (fields, error) {
	attributes := map[string]string{}
	for name, values := range in.Headers {
		if name = strings.ToLower(name); len(values) == 0 || !strings.HasPrefix(name, "ce-") {
			continue
		}
		value := attributeOf(values[0])
		if !utf8.ValidString(value) {
			return fields{}, reject(BadField, name, "is broken UTF-8")
		}
		attributes[strings.TrimPrefix(name, "ce-")] = value
	}
	if contentType := header(in.Headers, "Content-Type"); contentType != "" {
		attributes["datacontenttype"] = contentType
	}
	f, err := cloudEvent(attributes, "ce-")
	if err != nil {
		return f, err
	}
	if err := CheckJSON(in.Body, MaxDepth); err != nil {
		return f, err
	}
	if f.traceparent == "" {
		f.traceparent, f.tracestate = header(in.Headers, "traceparent"), header(in.Headers, "tracestate")
	}
	f.data = bytes.TrimSpace(in.Body)
	members := make(map[string]json.RawMessage, len(attributes))
	for name, value := range attributes {
		members[name] = appendString(nil, value)
	}
	f.attributes = attributesOf(members)
	return f, nil
}

// attributeOf decodes an attribute from a header's value (CloudEvents HTTP binding section 3.1.3.2, which also
// applies to NATS). It removes the quotes of a quoted string and percent-decodes once. A % that begins no escape
// stands for itself.
func attributeOf(value string) string {
	if n := len(value); n >= 2 && value[0] == '"' && value[n-1] == '"' {
		var plain strings.Builder
		for i := 1; i < n-1; i++ {
			if value[i] == '\\' && i < n-2 {
				i++
			}
			plain.WriteByte(value[i])
		}
		value = plain.String()
	}
	var decoded strings.Builder
	for {
		before, after, found := strings.Cut(value, "%")
		decoded.WriteString(before)
		if !found {
			return decoded.String()
		}
		if raw, err := hex.DecodeString(after[:min(2, len(after))]); err == nil && len(raw) == 1 {
			decoded.WriteByte(raw[0])
			value = after[2:]
			continue
		}
		decoded.WriteByte('%')
		value = after
	}
}

// cloudEvent returns the parts of an event from its attributes. prefix is the prefix of the attributes' names at
// their source.
func cloudEvent(attributes map[string]string, prefix string) (fields, error) {
	if attributes["specversion"] != "1.0" {
		return fields{}, reject(BadField, prefix+"specversion", "must be 1.0")
	}
	for _, name := range []string{"id", "source", "type"} {
		if attributes[name] == "" {
			return fields{}, reject(BadField, prefix+name, "is required by CloudEvents 1.0")
		}
	}
	if !isJSONType(attributes["datacontenttype"]) {
		return fields{}, reject(BadField, "data", "must be JSON")
	}
	return fields{
		id: attributes["id"], typ: webhook.ForeignEventType(attributes["type"]), time: attributes["time"], entity: attributes["subject"],
		source: attributes["source"], traceparent: attributes["traceparent"], tracestate: attributes["tracestate"],
	}, nil
}

func knownAttribute(name string) bool {
	switch name {
	case "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "traceparent":
		return true
	default:
		return false
	}
}

// attributesOf returns the attributes that are passed on unchanged, CloudEvents' own first.
func attributesOf(members map[string]json.RawMessage) json.RawMessage {
	first := []string{"id", "source", "type", "subject", "time", "dataschema", "datacontenttype"}
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(members)), func(name string) bool {
		return name == "specversion" || name == "data" || name == "data_base64" || slices.Contains(first, name)
	})
	out := []byte{'{'}
	for _, name := range append(first, names...) {
		raw := members[name]
		if len(raw) == 0 || string(raw) == "null" {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(appendString(out, name), ':'), raw...)
	}
	return append(out, '}')
}

// appendCloudEvent appends the event in the JSON format without its data. A published CloudEvent keeps its
// attributes; those of other events are derived.
func appendCloudEvent(b []byte, e *webhook.Event) []byte {
	b = append(b, `{"specversion":"1.0",`...)
	if len(e.CloudEvent) > 2 {
		b = append(b, e.CloudEvent[1:len(e.CloudEvent)-1]...)
		if !bytes.Contains(e.CloudEvent, []byte(`"datacontenttype":`)) {
			b = append(b, `,"datacontenttype":"application/json"`...)
		}
		if !bytes.Contains(e.CloudEvent, []byte(`"sequence":`)) {
			b = appendSequence(b, e.Seq)
		}
		return b
	}
	b = appendString(append(b, `"id":`...), e.ID)
	b = appendString(append(b, `,"source":`...), webhook.DefaultSource(e.Tenant))
	b = appendString(append(b, `,"type":`...), e.Type)
	if e.Entity != "" {
		b = appendString(append(b, `,"subject":`...), e.Entity)
	}
	b = appendTime(append(b, `,"time":`...), e.Time)
	return appendSequence(append(b, `,"datacontenttype":"application/json"`...), e.Seq)
}

// appendSequence appends CloudEvents' extension for the order of events. Its text has to sort in the order of
// publication.
func appendSequence(b []byte, seq webhook.Sequence) []byte {
	if seq == 0 {
		return b
	}
	return fmt.Appendf(b, `,"sequence":"%016d"`, seq.Number())
}
