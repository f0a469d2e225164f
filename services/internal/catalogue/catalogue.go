// Package catalogue lists the built-in event types, each with a description, a JSON Schema for its data, and an
// example event that can be sent to test a hook.
//
// There is one file per type in types/. Definitions that schemas share are in defs.json. Each schema gets a copy of
// those it refers to, so that it is complete by itself.
package catalogue

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"sync"
)

// Type is a built-in event type with an example event.
type Type struct {
	// Name is the dotted name, such as package.status.packed.
	Name string `json:"name"`
	// Description says in one plain sentence what happened when such an event is sent.
	Description string `json:"description"`
	// Entity is the example's entity, such as package:61. The part after the colon is the id in Example.
	Entity string `json:"entity"`
	// Context is the example's current_context, a JSON object.
	Context json.RawMessage `json:"context"`
	// Schema is the JSON Schema (draft 2020-12) of the event's data. It is self-contained.
	Schema json.RawMessage `json:"schema"`
	// Example is the example's data, valid against Schema.
	Example json.RawMessage `json:"example"`
}

// All returns the built-in event types in the order of the documentation. The caller owns the slice, but must not
// change the documents in it.
func All() []Type { return slices.Clone(loaded()) }

// Find returns the event type with the dotted name, or false if it is not built in. It does not accept the dashed
// spelling.
func Find(name string) (Type, bool) {
	types := loaded()
	i := slices.IndexFunc(types, func(t Type) bool { return t.Name == name })
	if i < 0 {
		return Type{}, false
	}
	return types[i], true
}

// SchemaOf returns the JSON Schema of a built-in event type, or nil for others.
func SchemaOf(name string) json.RawMessage {
	t, _ := Find(name)
	return t.Schema
}

func names() []string {
	return []string{
		"package.created",
		"package.status.transitioned",
		"package.status.packed",
		"package.status.cancelled",
		"package.status.shipped",
		"package.status.packed_for_refund",
		"package.shipment.awb_number",
		"shipment.created",
		"shipment.status.updated",
		"shipment.cancelled",
		"transfer.status.created",
		"transfer.status.transitioned",
		"transfer.status.in_transit",
		"transfer.status.transferred",
		"transfer.status.cancelled",
		"transfer.status.ready_to_shipment",
		"stock_location.created",
		"stock_location.updated",
		"order.created",
		"order.updated",
		"order.status.updated",
		"order.cancelled",
	}
}

//go:embed defs.json types/*.json
var files embed.FS

// loaded panics if an embedded file is malformed, which the tests of this package would find.
var loaded = sync.OnceValue(func() []Type {
	types, err := load()
	if err != nil {
		panic(err)
	}
	return types
})

func load() ([]Type, error) {
	var defs map[string]json.RawMessage
	if err := decode("defs.json", &defs); err != nil {
		return nil, err
	}
	types := make([]Type, 0, len(names()))
	for _, name := range names() {
		var t Type
		if err := decode("types/"+name+".json", &t); err != nil {
			return nil, err
		}
		if t.Name != name {
			return nil, fmt.Errorf("load event type %s: its file names it %q", name, t.Name)
		}
		var err error
		if t.Schema, err = complete(t.Schema, defs); err != nil {
			return nil, fmt.Errorf("load event type %s: %w", name, err)
		}
		if t.Context, err = compact(t.Context); err != nil {
			return nil, fmt.Errorf("load event type %s: %w", name, err)
		}
		if t.Example, err = compact(t.Example); err != nil {
			return nil, fmt.Errorf("load event type %s: %w", name, err)
		}
		types = append(types, t)
	}
	return types, nil
}

func decode(path string, into any) error {
	text, err := files.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	return nil
}

func compact(document json.RawMessage) (json.RawMessage, error) {
	var out bytes.Buffer
	if err := json.Compact(&out, document); err != nil {
		return nil, fmt.Errorf("compact document: %w", err)
	}
	return out.Bytes(), nil
}

// schema fixes the order in which people read a type's schema: its own parts first, the shared ones last.
type schema struct {
	Dialect    string                     `json:"$schema"`
	Type       string                     `json:"type"`
	Ref        string                     `json:"$ref"`
	Required   []string                   `json:"required,omitempty"`
	Properties json.RawMessage            `json:"properties,omitempty"`
	Defs       map[string]json.RawMessage `json:"$defs"`
}

// complete adds the shared definitions that own refers to, directly or indirectly.
func complete(own json.RawMessage, defs map[string]json.RawMessage) (json.RawMessage, error) {
	s := schema{Dialect: "https://json-schema.org/draft/2020-12/schema", Defs: map[string]json.RawMessage{}}
	d := json.NewDecoder(bytes.NewReader(own))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return nil, fmt.Errorf("decode schema: %w", err)
	}
	reference := regexp.MustCompile(`"\$ref":\s*"#/\$defs/(\w+)"`)
	for open := []json.RawMessage{own}; len(open) > 0; open = open[1:] {
		for _, match := range reference.FindAllSubmatch(open[0], -1) {
			name := string(match[1])
			if _, done := s.Defs[name]; done {
				continue
			}
			def, ok := defs[name]
			if !ok {
				return nil, fmt.Errorf("complete schema: no shared part %q", name)
			}
			s.Defs[name] = def
			open = append(open, def)
		}
	}
	out, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode schema: %w", err)
	}
	return out, nil
}
