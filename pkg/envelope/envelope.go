package envelope

import (
	"bytes"
	"encoding/json"
	"iter"
	"slices"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// The keys of our envelope.
const (
	keyID = iota
	keyType
	keyTime
	keyEntity
	keyContext
	keyFilter
	keyData
	keys
)

var envelopeKeys = [keys]string{"event_id", "event_type", "event_time", "entity", "current_context", "config_filter", "data"}

// firstOther is the first of the keys whose values are not strings.
const firstOther = keyContext

// Envelope is our envelope, split into the exact bytes of its values.
type Envelope struct {
	parts [keys]json.RawMessage
	// twice is a key that occurs twice, or "".
	twice string
}

// Open splits an object. others are the names of members that our envelope does not have. ok is false if the text is
// not an object. The text must be valid JSON, as CheckJSON checks.
func Open(text []byte) (e Envelope, others []string, ok bool) {
	if text[skipSpace(text, 0)] != '{' {
		return e, nil, false
	}
	for name, value := range Members(text) {
		if !e.take(name, value) {
			others = append(others, unquote(name))
		}
	}
	return e, others, true
}

// open is like Open for a text that may be a bare document: ok is true only for an object that has data and no
// members that our envelope does not have.
func open(text []byte) (e Envelope, ok bool) {
	if text[skipSpace(text, 0)] != '{' {
		return e, false
	}
	for name, value := range Members(text) {
		if !e.take(name, value) {
			return e, false
		}
	}
	return e, e.HasData()
}

// take stores a member, or returns false if our envelope has no such member.
func (e *Envelope) take(name []byte, value json.RawMessage) bool {
	key := keyOf(name)
	if key < 0 {
		return false
	}
	if e.parts[key] != nil {
		e.twice = envelopeKeys[key]
	}
	e.parts[key] = value
	return true
}

// HasData reports whether there is data, which may be null.
func (e *Envelope) HasData() bool { return e.parts[keyData] != nil }

// ID returns the event's id as it is written. ok is false if it is missing, null, or not a string.
func (e *Envelope) ID() (id string, ok bool) { return e.string(keyID) }

// Type returns the event's type in the same way.
func (e *Envelope) Type() (eventType string, ok bool) { return e.string(keyType) }

func (e *Envelope) string(key int) (s string, ok bool) {
	if len(e.parts[key]) == 0 || e.parts[key][0] != '"' {
		return "", false
	}
	return text(e.parts[key])
}

// NoStrings returns the names of members that must be strings and are not.
func (e *Envelope) NoStrings() (names []string) {
	for key, value := range e.parts[:firstOther] {
		if value != nil && value[0] != '"' && value[0] != 'n' {
			names = append(names, envelopeKeys[key])
		}
	}
	return names
}

// Event is Decode for the body that this envelope was opened from.
func (e *Envelope) Event(in Published) (webhook.Event, error) {
	if err := checkSize(in.Body); err != nil {
		return webhook.Event{}, err
	}
	if err := checkDepth(in.Body, MaxDepth); err != nil {
		return webhook.Event{}, err
	}
	f, err := e.fields()
	if err != nil {
		return webhook.Event{}, err
	}
	return f.event(in)
}

func (e *Envelope) fields() (f fields, err error) {
	if e.twice != "" {
		return f, reject(BadField, e.twice, "is there twice")
	}
	for key, into := range [firstOther]*string{keyID: &f.id, keyType: &f.typ, keyTime: &f.time, keyEntity: &f.entity} {
		if e.parts[key] == nil {
			continue
		}
		var ok bool
		if *into, ok = text(e.parts[key]); !ok {
			return f, reject(BadField, envelopeKeys[key], "must be a string")
		}
	}
	f.context, f.filter, f.data = e.parts[keyContext], e.parts[keyFilter], e.parts[keyData]
	return f, nil
}

// keyOf returns the index of the key with this name, which is a valid JSON string, or -1.
func keyOf(name []byte) int {
	if bytes.IndexByte(name, '\\') >= 0 {
		return slices.Index(envelopeKeys[:], unquote(name))
	}
	name = name[1 : len(name)-1]
	return slices.IndexFunc(envelopeKeys[:], func(key string) bool { return key == string(name) })
}

func unquote(name []byte) string {
	plain, _ := text(name)
	return plain
}

// Members iterates over the members of an object, which must be valid JSON: the names including their quotes, and the
// exact bytes of the values.
func Members(object []byte) iter.Seq2[[]byte, json.RawMessage] {
	return func(yield func([]byte, json.RawMessage) bool) {
		for i := skipSpace(object, skipSpace(object, 0)+1); object[i] != '}'; {
			end := skipString(object, i)
			name := object[i:end]
			i = skipSpace(object, skipSpace(object, end)+1) // skip the colon
			end = skipValue(object, i)
			if !yield(name, object[i:end:end]) {
				return
			}
			i = skipComma(object, end)
		}
	}
}

// Elements iterates over the elements of an array, which must be valid JSON, as exact bytes.
func Elements(list []byte) iter.Seq[json.RawMessage] {
	return func(yield func(json.RawMessage) bool) {
		for i := skipSpace(list, skipSpace(list, 0)+1); list[i] != ']'; {
			end := skipValue(list, i)
			if !yield(list[i:end:end]) {
				return
			}
			i = skipComma(list, end)
		}
	}
}

func skipComma(body []byte, i int) int {
	if i = skipSpace(body, i); body[i] == ',' {
		i = skipSpace(body, i+1)
	}
	return i
}

func skipSpace(body []byte, i int) int {
	for i < len(body) && (body[i] == ' ' || body[i] == '\n' || body[i] == '\t' || body[i] == '\r') {
		i++
	}
	return i
}

// skipValue returns the end of the value that begins at i; the text must be valid JSON.
func skipValue(body []byte, i int) int {
	level := 0
	for i < len(body) {
		switch body[i] {
		case '"':
			if i = skipString(body, i); level == 0 {
				return i
			}
			continue
		case '{', '[':
			level++
		case '}', ']':
			if level == 0 { // the end of the array or object that contains a number or a word
				return i
			}
			if level--; level == 0 {
				return i + 1
			}
		case ',', ' ', '\n', '\t', '\r':
			if level == 0 {
				return i
			}
		}
		i++
	}
	return i
}
