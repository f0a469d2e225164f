package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// hookFlags are the fields of a hook that both create and update accept: --file, and a flag for each field that has
// one.
type hookFlags struct {
	File string `help:"Take fields from a JSON file as the API has them (- for standard input); flags win over it." placeholder:"FILE"`

	// Described points to a struct that is generated from the fields' descriptions; its fields are in the order of
	// flagFields.
	Described kong.Plugins `embed:""`
}

// newHookFlags has a flag for each field of a hook that has one.
func newHookFlags() hookFlags {
	var members []reflect.StructField
	for i, f := range flagFields() {
		tag := fmt.Sprintf(`name:%q help:%q placeholder:%q`, f.Flag.Name, f.Sentence(), f.Flag.Placeholder)
		if f.Flag.Short != "" {
			tag += fmt.Sprintf(` short:%q`, f.Flag.Short)
		}
		if f.Name == "secret_key" {
			tag += ` xor:"secret"` // excludes --generate-secret
		}
		kind := reflect.TypeFor[*string]()
		switch f.Kind {
		case webhook.KindTexts:
			kind = reflect.TypeFor[[]string]()
		case webhook.KindTextMap:
			kind, tag = reflect.TypeFor[[]string](), tag+` sep:"none"`
		default: // a text, or JSON
		}
		members = append(members, reflect.StructField{Name: fmt.Sprintf("Field%d", i), Type: kind, Tag: reflect.StructTag(tag)})
	}
	return hookFlags{Described: kong.Plugins{reflect.New(reflect.StructOf(members)).Interface()}}
}

// flagFields returns the fields that have a flag.
func flagFields() []webhook.Field {
	return slices.DeleteFunc(slices.Clone(webhook.Fields()), func(f webhook.Field) bool { return f.Flag.Name == "" })
}

func (c *hookFlags) fields(a *app) (client.HookFields, error) {
	f := client.HookFields{}
	if err := c.fromFile(a, &f); err != nil {
		return f, err
	}
	given := reflect.ValueOf(c.Described[0]).Elem()
	for i, field := range flagFields() {
		value, err := flagValue(a, &field, given.Field(i))
		if err != nil || value == nil {
			if err != nil {
				return f, err
			}
			continue
		}
		if field.Name == "event_types" {
			f.EventType = client.Field[string]{}
		}
		raw, err := json.Marshal(map[string]any{field.Name: value})
		if err != nil {
			return f, fmt.Errorf("encode %s: %w", field.Name, err)
		}
		if json.Unmarshal(raw, &f) != nil {
			return f, usage("--%s: must be %s", field.Flag.Name, field.Kind.Expects())
		}
	}
	return f, nil
}

// flagValue returns the value of a flag for its field, or nil if the flag was not given.
func flagValue(a *app, f *webhook.Field, given reflect.Value) (any, error) {
	if given.IsNil() {
		return nil, nil //nolint:nilnil // not given
	}
	switch v := given.Interface().(type) {
	case []string:
		if f.Kind != webhook.KindTextMap {
			return v, nil
		}
		members := map[string]string{}
		for _, text := range v {
			at := strings.IndexAny(text, ":=")
			if at < 0 {
				form := "'Name: value'"
				if f.Name == "labels" {
					form = "name=value"
				}
				return nil, usage("--%s: %q is not %s", f.Flag.Name, text, form)
			}
			members[strings.TrimSpace(text[:at])] = strings.TrimSpace(text[at+1:])
		}
		return members, nil
	case *string:
		switch {
		case f.Kind != webhook.KindText:
			return a.readJSON(f.Flag.Name, *v)
		case *v == "" && f.Hidden:
			return json.RawMessage("null"), nil
		}
		return *v, nil
	}
	return nil, nil //nolint:nilnil // newHookFlags makes no others
}

// fromFile reads --file, and refuses unknown fields by name.
func (c *hookFlags) fromFile(a *app, f *client.HookFields) error {
	if c.File == "" {
		return nil
	}
	source := "@" + c.File
	if c.File == "-" {
		source = "-"
	}
	raw, err := a.readJSON("file", source)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(f); err != nil {
		return usage("--file: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// sorted iterates over a map in the order of its keys.
func sorted[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if !yield(key, m[key]) {
				return
			}
		}
	}
}
