package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// optional is a field of a body: absent (the zero value), null, or a value.
type optional[T any] struct{ usecase.Optional[T] }

// UnmarshalJSON reads the field.
func (o *optional[T]) UnmarshalJSON(raw []byte) error {
	o.Set = true
	if o.Null = bytes.Equal(raw, []byte("null")); o.Null {
		return nil
	}
	return json.Unmarshal(raw, &o.Value)
}

// Schema returns the schema of the value, or null.
func (o *optional[T]) Schema(r huma.Registry) *huma.Schema {
	s := *huma.SchemaFromType(r, reflect.TypeFor[T]())
	switch {
	case s.Type != "":
		s.Nullable = true
		return &s
	}
	if !slices.ContainsFunc(s.AnyOf, func(a *huma.Schema) bool { return a.Type == "null" }) {
		s.AnyOf = append(slices.Clone(s.AnyOf), &huma.Schema{Type: "null"})
	}
	return &s
}

// expects describes in words what the field takes.
func (o *optional[T]) expects() string {
	var value any = &o.Value
	switch v := value.(type) {
	case interface{ expects() string }:
		return v.expects()
	case *string:
		return "a string"
	case *bool:
		return "true or false"
	case *int:
		return "a whole number"
	case *[]string:
		return "a list of strings"
	case *[]uint64:
		return "a list of whole numbers"
	case *time.Time:
		return "a time as RFC 3339 writes it, such as 2026-01-31T12:00:00Z"
	default:
		return "another type"
	}
}

// field is what decodeObject fills: an optional.
type field interface {
	json.Unmarshaler
	expects() string
}

// decodeObject decodes an object into a struct of optionals. A *webhook.ValidationError names every member that is
// unknown or of the wrong type; errNoObject says that raw is not an object.
func decodeObject(raw []byte, into any) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return errNoObject
	}
	invalid := &webhook.ValidationError{}
	v := reflect.ValueOf(into).Elem()
	for _, member := range reflect.VisibleFields(v.Type()) {
		if !member.IsExported() || member.Anonymous {
			continue
		}
		name, _, _ := strings.Cut(member.Tag.Get("json"), ",")
		value, there := members[name]
		delete(members, name)
		f, ok := reflect.TypeAssert[field](v.FieldByIndex(member.Index).Addr())
		if !there || !ok {
			continue
		}
		if err := f.UnmarshalJSON(value); err != nil {
			invalid.Fields = append(invalid.Fields, webhook.FieldError{Pointer: "/" + name, Detail: "must be " + f.expects()})
		}
	}
	described, _ := into.(interface {
		take(name string, raw json.RawMessage) (wrong string)
	})
	for name, raw := range members {
		wrong := unknownField
		if described != nil {
			wrong = described.take(name, raw)
		}
		if wrong != "" {
			invalid.Fields = append(invalid.Fields, webhook.FieldError{Pointer: "/" + escapePointer(webhook.Clip(name)), Detail: wrong})
		}
	}
	slices.SortFunc(invalid.Fields, func(a, b webhook.FieldError) int { return strings.Compare(a.Pointer, b.Pointer) })
	return invalid.OrNil()
}

// unknownField says that no field has the name.
const unknownField = "is not a known field"

var errNoObject = errors.New("is not an object")

// decodeBody is decodeObject for a whole body.
func decodeBody(body []byte, into any) error {
	err := decodeObject(body, into)
	if errors.Is(err, errNoObject) {
		return notAnObject()
	}
	return err
}

func notAnObject() *Problem { return badBody("", "the body must be a JSON object") }

// stringList is a list of strings. It refuses nulls, which encoding/json would convert to "".
type stringList []string

// UnmarshalJSON takes a list of strings.
func (l *stringList) UnmarshalJSON(raw []byte) error {
	var items []*string
	if err := json.Unmarshal(raw, &items); err != nil {
		return err
	}
	*l = make(stringList, len(items))
	for i, item := range items {
		if item == nil {
			return errNull
		}
		(*l)[i] = *item
	}
	return nil
}

func (l *stringList) expects() string { return "a list of strings" }

// idList is a list of ids.
type idList []uuid.UUID

// UnmarshalJSON accepts ids with or without dashes.
func (l *idList) UnmarshalJSON(raw []byte) error {
	var texts stringList
	if err := json.Unmarshal(raw, &texts); err != nil {
		return err
	}
	*l = make(idList, len(texts))
	for i, text := range texts {
		id, ok := usecase.ParseID(text)
		if !ok {
			return errNoID
		}
		(*l)[i] = id
	}
	return nil
}

// Schema describes the list.
func (l *idList) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeString, Format: "uuid"}}
}

func (l *idList) expects() string { return "a list of ids" }

// oneID is an id.
type oneID uuid.UUID

// UnmarshalJSON accepts an id with or without dashes.
func (i *oneID) UnmarshalJSON(raw []byte) error {
	var list idList
	err := list.UnmarshalJSON(slices.Concat([]byte("["), raw, []byte("]")))
	if err == nil {
		*i = oneID(list[0])
	}
	return err
}

// Schema describes the id.
func (i *oneID) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "uuid"}
}

func (i *oneID) expects() string { return "an id" }

var errNoID = errors.New("no id where one is needed")

var errNull = errors.New("null where a string is needed")

// typeList is event_type: one type, or a list of them.
type typeList []string

// UnmarshalJSON accepts a string or a list of strings.
func (l *typeList) UnmarshalJSON(raw []byte) error {
	if raw[0] != '"' {
		return (*stringList)(l).UnmarshalJSON(raw)
	}
	*l = typeList{""}
	return json.Unmarshal(raw, &(*l)[0])
}

func (l *typeList) expects() string { return "a string or a list of strings" }

// Schema describes the field.
func (l *typeList) Schema(huma.Registry) *huma.Schema {
	one := &huma.Schema{Type: huma.TypeString}
	return &huma.Schema{AnyOf: []*huma.Schema{one, {Type: huma.TypeArray, Items: one}}}
}

// stringMap is an object of strings. It refuses nulls.
type stringMap map[string]string

// UnmarshalJSON takes an object of strings.
func (m *stringMap) UnmarshalJSON(raw []byte) error {
	var members map[string]*string
	if err := json.Unmarshal(raw, &members); err != nil {
		return err
	}
	*m = make(stringMap, len(members))
	for name, value := range members {
		if value == nil {
			return errNull
		}
		(*m)[name] = *value
	}
	return nil
}

func (m *stringMap) expects() string { return "an object of strings" }

// flag is true or false. It also accepts the words in any case, 1 and 0, as Django's clients send them.
type flag bool

// UnmarshalJSON accepts what readBool accepts.
func (f *flag) UnmarshalJSON(raw []byte) error {
	value, set, err := readBool("", strings.Trim(string(raw), `"`))
	if err != nil || !set {
		return errNoFlag
	}
	*f = flag(value)
	return nil
}

var errNoFlag = errors.New("neither true nor false")

func (f *flag) expects() string { return "true or false" }

// Schema only describes the recommended form.
func (f *flag) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Type: huma.TypeBoolean} }

// rawJSON is a field of any JSON, which the domain checks.
type rawJSON json.RawMessage

// UnmarshalJSON keeps the text.
func (r *rawJSON) UnmarshalJSON(raw []byte) error {
	*r = slices.Clone(raw)
	return nil
}

// MarshalJSON writes the text, or null if there is none.
func (r rawJSON) MarshalJSON() ([]byte, error) { //nolint:recvcheck // encoding/json wants it so: values are written, pointers read
	if len(r) == 0 {
		return []byte("null"), nil
	}
	return r, nil
}

func (r *rawJSON) expects() string { return "JSON" }

// Schema allows everything without listing types. Client generators have a type for anything, but make a choice of
// six types if all are listed. Null is named because some validators take {} to exclude it.
func (r *rawJSON) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Title: "any JSON", AnyOf: []*huma.Schema{{}, {Type: "null"}}}
}

// object is a field that is an object or null. The domain has its rules.
type object json.RawMessage

// UnmarshalJSON keeps the text.
func (o *object) UnmarshalJSON(raw []byte) error { return (*rawJSON)(o).UnmarshalJSON(raw) }

func (o *object) expects() string { return "an object or null" }

// Schema describes the field.
func (o *object) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeObject, Nullable: true, AdditionalProperties: true}
}
