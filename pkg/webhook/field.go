package webhook

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
)

// Kind is what JSON a field of a hook, or a key of its config, takes.
type Kind string

// The kinds.
const (
	KindText       Kind = "text"
	KindTexts      Kind = "texts"        // a list of strings
	KindTextOrMany Kind = "text or many" // a string, or a list of strings
	KindTextMap    Kind = "text map"     // an object of strings
	KindFlag       Kind = "flag"         // true or false; in quotes, too
	KindTime       Kind = "time"
	KindID         Kind = "id"
	KindNumber     Kind = "number"  // a whole number
	KindReal       Kind = "real"    // a number, whole or not
	KindNumbers    Kind = "numbers" // a list of numbers
	KindSeconds    Kind = "seconds"
	KindObject     Kind = "object" // an object or null, whose rules the field knows
	KindOutcome    Kind = "outcome"
	KindList       Kind = "list"     // a list of objects
	KindStatuses   Kind = "statuses" // a list of HTTP statuses and ranges of them
)

// kindWords say what the kinds take that Accepts judges.
var kindWords = map[Kind]string{
	KindText: "a string", KindTexts: "a list of strings", KindTextOrMany: "a string or a list of strings",
	KindTextMap: "an object of strings", KindFlag: "true or false", KindObject: "an object or null",
	KindOutcome: "an object, the path of a function, or null",
}

// Expects says in words what the kind takes.
func (k Kind) Expects() string { return kindWords[k] }

// Accepts reports whether a value that is not null is of the kind, as far as the kind alone says.
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
		var members map[string]*string // null is no string, and encoding/json would make "" of it
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

// Field describes one field of a hook, or one key of its config. What reads, checks, stores, shows or documents hooks goes by
// these descriptions: the API and its reference, the console's form, the CLI's flags, the manifest of sync, the audit log.
type Field struct {
	// Name is that of the member in the JSON form of the hook, or of its config.
	Name string
	Kind Kind
	// Help says what the field is for, without a full stop, and Shown what a hook's shows where that differs.
	Help, Shown string
	// Short is Help for the CLI and the console where that is too long; a whole sentence. Label names the field in the console.
	Short, Label string
	// Example is shown where nothing was entered.
	Example string
	// MaxLength bounds a text, in characters; 0 for no bound that is documented. MaxItems bounds a list or an object of strings.
	MaxLength, MaxItems int
	// Low and High bound a number, and each of a list of numbers; High is 0 where there are no bounds.
	Low, High float64
	// Choices are the words that a text may be, the default first.
	Choices []string
	// Default is the JSON that an absent value means; empty for nothing, and for the first of Choices.
	Default string
	// Needed members have to be there.
	Needed bool
	// Members are those of an object, or of each object of a list; Variants the forms that differ in some of them.
	Members  []Field
	Variants Variants
	// ReadOnly fields are only shown. Hidden ones are only taken: nobody is shown them again.
	ReadOnly, Hidden bool
	// AsWritten numbers come back as they were sent, in quotes or null too: the predecessor answered so.
	AsWritten bool
	// Nullable says of a read-only field that it may be null.
	Nullable bool
	// Flag is the CLI's for it; the zero Flag for none.
	Flag Flag
	// Kept says that the manifest leaves the field as it is where it is absent; others get their default.
	Kept bool

	// at is where the hook has it: a pointer. nil for what is made of other fields.
	at func(*Hook) any
	// set reads what was sent, null included; nil for what json.Unmarshal does.
	set func(*Hook, json.RawMessage) error
	// check adds what is wrong with the hook's value.
	check func(*Hook, *ValidationError)
	// searched fields have a column of their own, and sealed ones are stored encrypted; all others are in the stored document.
	searched, sealed bool
	// key reads a key of a config.
	key func(*Config, json.RawMessage, *ValidationError)
}

// Flag is a flag of hook create and hook update.
type Flag struct{ Name, Short, Placeholder string }

// Sentence is what the field is for, in one sentence.
func (f *Field) Sentence() string { return cmp.Or(f.Short, f.Help+".") }

// Plain reports whether the field can be set by Set alone, whatever else was sent with it.
func (f *Field) Plain() bool { return f.at != nil && !f.ReadOnly && !f.special() }

// special fields are more than their value: of two spellings one may be sent, the status has a history, and a secret is kept
// where it is not sent.
func (f *Field) special() bool {
	return slices.Contains([]string{"event_types", "target_url", "secret_key", "api_key", "config", "status"}, f.Name)
}

// Set gives the hook what was sent for a plain field; null, and nothing, are its default. A *ValidationError has pointers relative
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

// Text is the field's value of the hook as JSON: null where it has none.
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

// plainJSON writes a value that can be written, without the escapes that HTML needs.
func plainJSON(v any) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return json.RawMessage("null")
	}
	return bytes.TrimSpace(b.Bytes())
}

// Document is what of the hook is stored as one JSON object: what is neither searched by nor secret. Members that would be null
// are left out.
func (h *Hook) Document() json.RawMessage { return h.document(false) }

// Shown is Document as the API shows it: canonical, and with the members that would be null.
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
		if all && f.Name != "config" { // which Config.Shown shows
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

// ReadDocument fills in what Document has written, and keeps what a newer program has: Document writes it again. The error says which
// field cannot be read; the others are filled in.
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

// Changed names the fields in which two hooks differ, as the API spells them. The order of keys, and how numbers and words are written,
// do not matter.
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
