package webhook

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
)

// Kind is the kind of JSON value that a field of a hook, or a key of its config, takes.
type Kind string

// The kinds.
const (
	KindText       Kind = "text"
	KindTexts      Kind = "texts"        // a list of strings
	KindTextOrMany Kind = "text or many" // a string, or a list of strings
	KindTextMap    Kind = "text map"     // an object of strings
	KindFlag       Kind = "flag"         // true or false, possibly in quotes
	KindTime       Kind = "time"
	KindID         Kind = "id"
	KindNumber     Kind = "number"  // a whole number
	KindReal       Kind = "real"    // a number, whole or not
	KindNumbers    Kind = "numbers" // a list of numbers
	KindSeconds    Kind = "seconds"
	KindObject     Kind = "object" // an object or null; the field has its rules
	KindOutcome    Kind = "outcome"
	KindList       Kind = "list"     // a list of objects
	KindStatuses   Kind = "statuses" // a list of HTTP statuses and ranges of them
)

// kindWords describe the kinds that Accepts checks.
var kindWords = map[Kind]string{
	KindText: "a string", KindTexts: "a list of strings", KindTextOrMany: "a string or a list of strings",
	KindTextMap: "an object of strings", KindFlag: "true or false", KindObject: "an object or null",
	KindOutcome: "an object, the path of a function, or null",
}

// Expects describes in words what the kind takes.
func (k Kind) Expects() string { return kindWords[k] }

// Accepts reports whether a value that is not null is of the kind, as far as that depends on the kind alone.
func (k Kind) Accepts(raw json.RawMessage) bool {
	var text string
	switch k {
	case KindText:
		return json.Unmarshal(raw, &text) == nil
	case KindTexts:
		return isTexts(raw)
	case KindTextOrMany:
		return isTexts(raw) || json.Unmarshal(raw, &text) == nil
	case KindTextMap:
		var members map[string]*string // null is not a string, but encoding/json would turn it into ""
		return json.Unmarshal(raw, &members) == nil && !hasNil(members)
	default:
		return true
	}
}

func isTexts(raw json.RawMessage) bool {
	var items []*string
	return json.Unmarshal(raw, &items) == nil && !slices.Contains(items, nil)
}

func hasNil(members map[string]*string) bool {
	for _, value := range members {
		if value == nil {
			return true
		}
	}
	return false
}

// Field describes one field of a hook, or one key of its config. Everything that reads, checks, stores, shows or
// documents hooks uses these descriptions: the API and its reference, the console's form, the CLI's flags, the
// manifest of sync, the audit log.
type Field struct {
	// Name is the member's name in the JSON form of the hook, or of its config.
	Name string
	Kind Kind
	// Help describes the field, without a full stop. Shown describes it in responses if that differs.
	Help, Shown string
	// Short replaces Help in the CLI and the console if Help is too long; it is a whole sentence. Label is the
	// console's label.
	Short, Label string
	// Example is shown in an empty input.
	Example string
	// MaxLength bounds a text, in characters; 0 means no documented limit. MaxItems bounds a list or an object of
	// strings.
	MaxLength, MaxItems int
	// Low and High bound a number, or each number of a list; if High is 0 there are no bounds.
	Low, High float64
	// Choices are the allowed words of a text, the default first.
	Choices []string
	// Default is the JSON value that is assumed if the field is absent. It is empty if there is none, or if it is the
	// first of Choices.
	Default string
	// Needed members are required.
	Needed bool
	// Members describes the members of an object, or of each object of a list. Variants are forms that differ in some
	// members.
	Members  []Field
	Variants Variants
	// ReadOnly fields are only shown. Hidden fields can only be set, and are never shown again.
	ReadOnly, Hidden bool
	// AsWritten numbers are returned exactly as they were sent, even in quotes or as null, because the predecessor
	// did so.
	AsWritten bool
	// Nullable says that a read-only field may be null.
	Nullable bool
	// Flag is its flag in the CLI; zero for none.
	Flag Flag
	// Kept says that the manifest leaves the field unchanged if it is absent; other fields get their default.
	Kept bool

	// at returns a pointer to the field's value in the hook; nil for fields that are derived from others.
	at func(*Hook) any
	// set parses what was sent, including null; nil means json.Unmarshal.
	set func(*Hook, json.RawMessage) error
	// check adds errors about the hook's value.
	check func(*Hook, *ValidationError)
	// searched fields have a column of their own, and sealed ones are stored encrypted. All others are in the stored
	// document.
	searched, sealed bool
	// key parses a key of a config.
	key func(*Config, json.RawMessage, *ValidationError)
}

// Flag is a flag of hook create and hook update.
type Flag struct{ Name, Short, Placeholder string }

// Sentence describes the field in one sentence.
func (f *Field) Sentence() string { return cmp.Or(f.Short, f.Help+".") }

// Plain reports whether Set alone can set the field, whatever else was sent with it.
func (f *Field) Plain() bool { return f.at != nil && !f.ReadOnly && !f.special() }

// special reports whether setting the field takes more than its value: there are two spellings of it, the status has
// a history, or a secret is kept if it is not sent.
func (f *Field) special() bool {
	return slices.Contains([]string{"event_types", "target_url", "secret_key", "api_key", "config", "status"}, f.Name)
}

// Set sets a plain field to what was sent; null or nothing sets the default. A *ValidationError has pointers relative
// to the field.
func (f *Field) Set(h *Hook, raw json.RawMessage) error {
	into := f.at(h)
	reflect.ValueOf(into).Elem().SetZero()
	switch {
	case f.set != nil:
		return f.set(h, raw)
	case isNull(raw):
		return nil
	case !f.Kind.Accepts(raw):
		return invalid("", "must be "+f.Kind.Expects())
	}
	if err := json.Unmarshal(raw, into); err != nil {
		return invalid("", "must be "+f.Kind.Expects())
	}
	return nil
}

// Text returns the field's value in the hook as JSON, or null if it has none.
func (f *Field) Text(h *Hook) json.RawMessage {
	switch v := f.at(h).(type) {
	case *json.RawMessage:
		if isNull(*v) {
			return json.RawMessage("null")
		}
		return *v
	case *Config:
		return v.Raw
	default:
		return plainJSON(v)
	}
}

// plainJSON encodes a value, which cannot fail, without escaping for HTML.
func plainJSON(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return json.RawMessage("null")
	}
	return bytes.TrimSpace(b.Bytes())
}

// Document returns the part of the hook that is stored as one JSON object: what is neither searched nor secret. It
// leaves out members that would be null.
func (h *Hook) Document() json.RawMessage { return h.document(false) }

// Shown returns the document as the API shows it: canonical, and including members that are null.
func (h *Hook) Shown() json.RawMessage { return h.document(true) }

func (h *Hook) document(all bool) json.RawMessage {
	var b bytes.Buffer
	b.WriteByte('{')
	for i := range fields {
		f := &fields[i]
		if f.at == nil || f.searched || f.sealed {
			continue
		}
		text := f.Text(h)
		if all && f.Name != "config" { // Config.Shown handles config
			text = f.Canonical(text)
		}
		switch {
		case isNull(text) && !all:
			continue
		case isNull(text) && f.Kind == KindTextMap:
			text = json.RawMessage("{}")
		case isNull(text):
			text = json.RawMessage("null")
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%q:%s", f.Name, text)
	}
	for _, name := range sortedKeys(h.unknown) {
		if !all {
			fmt.Fprintf(&b, ",%s:%s", plainJSON(name), h.unknown[name])
		}
	}
	b.WriteByte('}')
	return b.Bytes()
}

// ReadDocument sets the fields that Document wrote. It keeps what a newer program has stored, and Document writes
// that again. The error says which field cannot be read; the others are set.
func (h *Hook) ReadDocument(document json.RawMessage) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(document, &members); err != nil {
		return fmt.Errorf("read stored document: %w", err)
	}
	var first error
	for i := range fields {
		f := &fields[i]
		if f.at == nil || f.searched || f.sealed {
			continue
		}
		raw := members[f.Name]
		delete(members, f.Name)
		if f.Name != "config" && isNull(raw) {
			continue
		}
		var err error
		if f.Name == "config" {
			h.Config, err = ParseConfig(raw)
		} else {
			err = json.Unmarshal(raw, f.at(h))
		}
		if err != nil && first == nil {
			first = fmt.Errorf("read %s: %w", f.Name, err)
		}
	}
	if len(members) > 0 {
		h.unknown = members
	}
	return first
}

// Changed returns the names of the fields in which two hooks differ, as the API spells them. It ignores the order of
// keys and the notation of numbers and words.
func Changed(before, after *Hook) []string {
	var changed []string
	for i := range fields {
		f := &fields[i]
		if f.at == nil {
			continue
		}
		a, b := reflect.ValueOf(f.at(before)).Elem(), reflect.ValueOf(f.at(after)).Elem()
		bothEmpty := (a.Kind() == reflect.Map || a.Kind() == reflect.Slice) && a.Len()+b.Len() == 0
		if !bothEmpty && !SameJSON(f.Canonical(f.Text(before)), f.Canonical(f.Text(after))) {
			changed = append(changed, f.Name)
		}
		if f.Name == "config" {
			if !reflect.DeepEqual(before.Config.Auth, after.Config.Auth) {
				changed = append(changed, "config.auth")
			}
			if !reflect.DeepEqual(before.Config.TLS, after.Config.TLS) {
				changed = append(changed, "config.tls")
			}
		}
	}
	return changed
}
