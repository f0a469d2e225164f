package httpapi

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// hookSchemas makes schemas from the descriptions of hooks' fields, and registers those of objects by name: client
// generators only make usable types of named ones.
type hookSchemas struct {
	listed map[string]*huma.Schema
}

// describe adds the descriptions of hooks' fields to the schemas of what is sent and of what is shown.
func (h hookSchemas) describe(input, shown *huma.Schema) {
	for _, f := range webhook.Fields() {
		if p := shown.Properties[f.Name]; p != nil {
			if f.ReadOnly {
				sent := *p
				sent.ReadOnly = true
				input.Properties[f.Name] = &sent
			}
			shown.Properties[f.Name] = h.shown(&f, p)
		}
		if f.ReadOnly {
			continue
		}
		p := input.Properties[f.Name]
		switch {
		case f.Kind == webhook.KindOutcome:
			p = &huma.Schema{AnyOf: []*huma.Schema{h.input("Hook", &f), {Type: huma.TypeString}, {Type: "null"}}}
		case f.Kind == webhook.KindObject:
			p = h.orNull(&f)
		case p == nil:
			p = h.input("Hook", &f)
			p.Nullable = true
		}
		p.Description = f.Help
		limit(p, &f)
		input.Properties[f.Name] = p
	}
}

// shown returns the schema of a field in responses.
func (h hookSchemas) shown(f *webhook.Field, p *huma.Schema) *huma.Schema {
	if f.Kind == webhook.KindOutcome || f.Kind == webhook.KindObject {
		p = h.orNull(f)
	}
	if p.Description = f.Shown; p.Description == "" {
		p.Description = f.Help
	}
	return p
}

// orNull returns the schema of an object or null. If the object has variants, {} matches none of them and means the
// same as null.
func (h hookSchemas) orNull(f *webhook.Field) *huma.Schema {
	s := &huma.Schema{AnyOf: []*huma.Schema{h.input("Hook", f)}}
	if f.Variants.By != "" {
		none := 0
		s.AnyOf = append(s.AnyOf, &huma.Schema{Type: huma.TypeObject, MaxProperties: &none})
	}
	s.AnyOf = append(s.AnyOf, &huma.Schema{Type: "null"})
	return s
}

// input returns the schema of what a field takes; in is the name of the object that it is a member of.
func (h hookSchemas) input(in string, f *webhook.Field) *huma.Schema {
	name := in + camelCase(f.Name)
	var s *huma.Schema
	switch f.Kind {
	case webhook.KindTexts:
		s = &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeString}}
	case webhook.KindTextMap:
		s = &huma.Schema{Type: huma.TypeObject, AdditionalProperties: &huma.Schema{Type: huma.TypeString}}
	case webhook.KindNumber, webhook.KindSeconds:
		s = &huma.Schema{Type: huma.TypeInteger}
	case webhook.KindFlag:
		s = &huma.Schema{Type: huma.TypeBoolean}
	case webhook.KindReal:
		s = &huma.Schema{Type: huma.TypeNumber}
	case webhook.KindNumbers:
		s = &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeInteger}}
	case webhook.KindStatuses:
		s = &huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{AnyOf: []*huma.Schema{{Type: huma.TypeInteger}, {Type: huma.TypeString, Pattern: `^[2-5]\d\d-[2-5]\d\d$`}}}}
	case webhook.KindList:
		return described(&huma.Schema{Type: huma.TypeArray, Items: h.object(strings.TrimSuffix(name, "s"), f)}, f)
	case webhook.KindObject, webhook.KindOutcome:
		return h.object(name, f)
	default:
		s = &huma.Schema{Type: huma.TypeString}
	}
	if f.AsWritten {
		s = asWritten(s)
	}
	return described(s, f)
}

// asWritten returns the schema of a number, or of a list of numbers, that may be in quotes or null.
func asWritten(s *huma.Schema) *huma.Schema {
	quoted := &huma.Schema{Type: huma.TypeString, Pattern: `^[0-9.eE+-]+$`}
	if s.Type == huma.TypeArray {
		s.Items = &huma.Schema{AnyOf: []*huma.Schema{s.Items, quoted}}
		return s
	}
	return &huma.Schema{AnyOf: []*huma.Schema{s, quoted, {Type: "null"}}}
}

// object registers the schema of an object and returns a reference to it.
func (h hookSchemas) object(name string, f *webhook.Field) *huma.Schema {
	if len(f.Variants.List) == 0 {
		s := h.members(name, f.Members)
		s.Description, s.AdditionalProperties = f.Help, f.Name == "config"
		if f.Kind != webhook.KindList { // a list's example has several
			s.Examples = examples(f)
		}
		return h.list(name, s)
	}
	one := &huma.Schema{Description: f.Help, Discriminator: &huma.Discriminator{PropertyName: f.Variants.By, Mapping: map[string]string{}}}
	for _, v := range f.Variants.List {
		own := name + camelCase(v.Name)
		var s *huma.Schema
		if f.Variants.In == "" {
			s = h.members(own, v.Members)
		} else {
			kwargs := h.members(own, v.Members)
			kwargs.AdditionalProperties = false
			s = h.members(own, f.Members)
			s.Properties[f.Variants.In] = h.list(own+camelCase(f.Variants.In), kwargs)
			s.Required = append(s.Required, f.Variants.In)
		}
		s.Properties[f.Variants.By] = &huma.Schema{Type: huma.TypeString, Enum: []any{v.Name}}
		s.Required = append([]string{f.Variants.By}, s.Required...)
		s.Description, s.AdditionalProperties, s.Examples = v.Help, false, []any{json.RawMessage(v.Example)}
		ref := h.list(own, s)
		one.OneOf = append(one.OneOf, ref)
		one.Discriminator.Mapping[v.Name] = ref.Ref
	}
	return h.list(name, one)
}

func (h hookSchemas) list(name string, s *huma.Schema) *huma.Schema {
	h.listed[name] = s
	return &huma.Schema{Ref: componentSchemas + name}
}

func (h hookSchemas) members(name string, fields []webhook.Field) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{}}
	for i := range fields {
		f := &fields[i]
		s.Properties[f.Name] = h.input(name, f)
		if f.Needed && !f.Hidden { // a change that leaves out a secret keeps it
			s.Required = append(s.Required, f.Name)
		}
	}
	return s
}

// described adds the rest of the description.
func described(s *huma.Schema, f *webhook.Field) *huma.Schema {
	s.Description, s.Examples = f.Help, examples(f)
	s.WriteOnly = f.Hidden
	limit(s, f)
	switch {
	case f.Default == "null", strings.Contains(f.Help, "absent"):
	case f.Default != "": // not as the schema's default: client generators make required fields of those that have one
		s.Description += "; " + strings.Trim(f.Default, `"`) + " if absent"
	case f.Kind == webhook.KindText && len(f.Choices) > 0:
		s.Description += "; " + f.Choices[0] + " if absent"
	}
	word := s
	if s.Type == huma.TypeArray {
		word = s.Items
	}
	for _, choice := range f.Choices {
		word.Enum = append(word.Enum, choice)
	}
	return s
}

// limit adds the limits of a field.
func limit(s *huma.Schema, f *webhook.Field) {
	if f.MaxLength > 0 {
		s.MaxLength = &f.MaxLength
	}
	if f.MaxItems > 0 && s.Type == huma.TypeObject {
		s.MaxProperties = &f.MaxItems
	} else if f.MaxItems > 0 {
		s.MaxItems = &f.MaxItems
	}
	number := s
	if s.Type == huma.TypeArray {
		number = s.Items
	}
	for _, n := range slices.Concat([]*huma.Schema{number}, number.AnyOf) {
		if f.High > 0 && (n.Type == huma.TypeInteger || n.Type == huma.TypeNumber) {
			n.Minimum, n.Maximum = &f.Low, &f.High
		}
	}
}

// examples returns the example of a field, unless it has choices.
func examples(f *webhook.Field) []any {
	if f.Example == "" {
		return nil
	}
	if f.Kind == webhook.KindText {
		return []any{f.Example}
	}
	return []any{json.RawMessage(f.Example)}
}
