package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// File is the desired state of a tenant.
type File struct {
	// Tenant is empty if the file does not name one.
	Tenant     string
	Policies   Policies
	EventTypes []client.EventTypeFields
	Hooks      []Hook
	// Missing are the environment variables that the file uses and that are not set.
	Missing []string
}

// Hook is the desired state of a hook.
type Hook struct {
	Name   string
	fields map[string]value
	line   int
}

// Options say how to read a file.
type Options struct {
	// Env looks up a variable.
	Env func(string) (string, bool)
	// CanonicalURL returns a target URL in the form that the API stores.
	CanonicalURL func(string) string
}

// described returns the fields of a hook that a file can have, in the order in which they are written.
func described() []webhook.Field {
	return slices.DeleteFunc(slices.Clone(webhook.Fields()), func(f webhook.Field) bool {
		return f.ReadOnly || slices.Contains([]string{"event_type", "notification_type", "is_active"}, f.Name)
	})
}

// fieldNames returns their names.
func fieldNames() []string {
	var names []string
	for _, f := range described() {
		names = append(names, f.Name)
	}
	return names
}

// otherwise returns the value of an absent field; ok is false for a field that is left unchanged if it is absent.
func otherwise(f *webhook.Field) (value any, ok bool) {
	if f.Kind == webhook.KindTextMap || f.Name == "config" {
		return map[string]any{}, !f.Kept
	}
	return nil, !f.Kept
}

// Read reads a file. The error names every invalid line. Variables that are not set are no error; see Missing.
func Read(raw []byte, o Options) (*File, error) {
	var doc yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(raw))
	switch err := d.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return nil, errors.New("is empty")
	case err != nil:
		return nil, fmt.Errorf("is no YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	case d.Decode(&yaml.Node{}) != io.EOF: //nolint:errorlint // it comes as it is
		return nil, errors.New("has more than one YAML document, or something after the first: put all hooks into one, since --prune deletes those that are not in it")
	case len(doc.Content) != 1 || doc.Content[0].Kind != yaml.MappingNode:
		return nil, errors.New("must be a mapping with hooks, and event_types if there are any")
	}
	r := &reader{env: o.Env}
	f := &File{}
	var wrong []error
	root := doc.Content[0]
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, node := root.Content[i], root.Content[i+1]
		switch key.Value {
		case "tenant":
			f.Tenant = node.Value
		case "handshake":
			f.Policies.readHandshake(node, &wrong)
		case "retention":
			f.Policies.readRetention(r, node, &wrong)
		case "event_types":
			f.EventTypes = eventTypes(r, node, &wrong)
		case "hooks":
			f.Hooks = hooks(r, node, o, &wrong)
		default:
			wrong = append(wrong, fmt.Errorf("line %d: %s is none of tenant, handshake, retention, event_types, hooks", key.Line, key.Value))
		}
	}
	slices.Sort(r.missing)
	f.Missing = slices.Compact(r.missing)
	return f, errors.Join(wrong...)
}

func eventTypes(r *reader, node *yaml.Node, wrong *[]error) []client.EventTypeFields {
	var list []client.EventTypeFields
	for _, n := range items(node, "event_types", wrong) {
		v, err := r.read(n)
		if err != nil {
			*wrong = append(*wrong, err)
			continue
		}
		var fields client.EventTypeFields
		if err := strict(v.real, &fields); err != nil {
			*wrong = append(*wrong, fmt.Errorf("line %d: event type: %w", n.Line, err))
			continue
		}
		fields.Name = webhook.NormalizeEventType(fields.Name)
		if err := webhook.ValidateEventType(fields.Name); err != nil {
			*wrong = append(*wrong, fmt.Errorf("line %d: event type: /name: %w", n.Line, err))
		}
		list = append(list, fields)
	}
	return list
}

func hooks(r *reader, node *yaml.Node, o Options, wrong *[]error) []Hook {
	list := []Hook{}
	seen := map[string]int{}
	for _, n := range items(node, "hooks", wrong) {
		h, err := hook(r, n, o)
		if err == nil {
			if line, twice := seen[h.Name]; twice {
				err = fmt.Errorf("line %d: the name %q is that of the hook in line %d, too", n.Line, h.Name, line)
			}
			seen[h.Name] = n.Line
		}
		if err != nil {
			*wrong = append(*wrong, err)
			continue
		}
		list = append(list, h)
	}
	return list
}

// items returns the items of a list; null is an empty one.
func items(node *yaml.Node, name string, wrong *[]error) []*yaml.Node {
	if node.Kind == yaml.SequenceNode {
		return node.Content
	}
	if node.ShortTag() != "!!null" {
		*wrong = append(*wrong, fmt.Errorf("line %d: %s must be a list", node.Line, name))
	}
	return nil
}

func hook(r *reader, n *yaml.Node, o Options) (Hook, error) {
	h := Hook{fields: map[string]value{}, line: n.Line}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.MappingNode {
		return h, fmt.Errorf("line %d: a hook must be a mapping", n.Line)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if !slices.Contains(fieldNames(), key.Value) {
			return h, fmt.Errorf("line %d: %s is none of %s", key.Line, key.Value, strings.Join(fieldNames(), ", "))
		}
		if _, twice := h.fields[key.Value]; twice {
			return h, fmt.Errorf("line %d: %s is there twice", key.Line, key.Value)
		}
		v, err := r.read(n.Content[i+1])
		if f := webhook.FieldNamed(key.Value); err == nil && f.Kind == webhook.KindTextMap {
			err = onlyTexts(key.Value, n.Content[i+1])
		}
		if err != nil {
			return h, err
		}
		h.fields[key.Value] = v
	}
	if err := h.check(o, len(r.missing) > 0); err != nil {
		return h, fmt.Errorf("line %d: hook %q: %w", n.Line, h.Name, err)
	}
	return h, nil
}

// onlyTexts refuses members that YAML does not take for text: 01234 would become another number, and 1.10 another
// text.
func onlyTexts(field string, n *yaml.Node) error {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		name, v := n.Content[i], n.Content[i+1]
		if v.Kind == yaml.AliasNode {
			v = v.Alias
		}
		if v.Kind != yaml.ScalarNode || v.ShortTag() != "!!str" {
			return fmt.Errorf("line %d: %s: %s is no text: write its value in quotes", name.Line, field, name.Value)
		}
	}
	return nil
}

// check checks the hook by the rules of the domain, so that nothing is changed unless the whole file is valid. It
// converts the fields to the form that the API stores. Text with missing variables is not checked.
func (h *Hook) check(o Options, incomplete bool) error {
	name, ok := h.fields["name"].real.(string)
	if h.Name = name; !ok || strings.TrimSpace(name) == "" {
		return errors.New("name is needed: it tells hooks apart")
	}
	if target, ok := h.fields["target_url"]; ok {
		if text, isText := target.real.(string); isText {
			target.real = o.CanonicalURL(text)
			if !target.hidden {
				target.shown = target.real
			}
			h.fields["target_url"] = target
		}
	}
	if status, ok := h.fields["status"].real.(string); ok {
		status = strings.ToLower(status)
		h.fields["status"] = value{real: status, shown: status}
	}
	if c, there := h.fields["callback"]; there {
		c.real = callback(c.real)
		h.fields["callback"] = c
	}
	fields, err := h.api(nil)
	if err != nil {
		return err
	}
	types := webhook.CanonicalEventTypes(orZero(fields.EventTypes))
	sorted := make([]any, len(types))
	for i, t := range types {
		sorted[i] = t
	}
	h.fields["event_types"] = value{real: sorted, shown: sorted}
	return h.validate(fields, incomplete)
}

func (h *Hook) validate(fields client.HookFields, incomplete bool) error {
	status := firstOf(orZero(fields.Status), webhook.Active)
	if status == webhook.Disabled {
		return errors.New("status: can be active or paused")
	}
	d := webhook.Hook{EventTypes: webhook.CanonicalEventTypes(orZero(fields.EventTypes)), TargetURL: orZero(fields.TargetURL), Status: status}
	var err error
	if d.Config, err = webhook.ParseConfig(orZero(fields.Config)); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	for _, f := range webhook.Fields() {
		if !f.Plain() {
			continue
		}
		raw, err := json.Marshal(h.fields[f.Name].real)
		if err == nil {
			err = f.Set(&d, raw)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
	}
	if d.Callback != nil && d.Callback.Subject != "" { // a subject's prefix depends on the tenant
		d.Callback = nil
	}
	if d.APIKey = orZero(fields.APIKey); incomplete {
		d.APIKey, d.Headers = "", nil
	}
	return d.Validate()
}

// api returns the hook for the API: only the named fields, or all if names is nil.
func (h *Hook) api(names []string) (client.HookFields, error) {
	var fields client.HookFields
	picked := map[string]any{}
	for name, v := range h.fields {
		if names == nil || slices.Contains(names, name) {
			picked[name] = v.real
		}
	}
	for _, name := range names {
		if _, there := picked[name]; !there {
			picked[name], _ = otherwise(webhook.FieldNamed(name))
		}
	}
	err := strict(picked, &fields)
	return fields, err
}

// callback returns a callback in the form that the API stores; {} means none. Invalid values are returned unchanged,
// to be reported later.
func callback(v any) any {
	var c *webhook.Callback
	if strict(v, &c) != nil || c == nil {
		return v
	}
	if c.URL == "" && c.Subject == "" && c.On == nil {
		return nil
	}
	return c.Normal()
}

// strict decodes a value into a struct by its JSON names, and refuses unknown fields.
func strict(v, into any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		if kind, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return fmt.Errorf("%s must not be a %s", kind.Field, kind.Value)
		}
		return errors.New(strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

func firstOf[T comparable](values ...T) T {
	var zero T
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}

// orZero returns a field's value, or the zero value if it is absent or null.
func orZero[T any](f client.Field[T]) T {
	v, _ := f.Value()
	return v
}

// names returns the names of the file's hooks.
func (f *File) names() []string {
	set := map[string]bool{}
	for i := range f.Hooks {
		set[f.Hooks[i].Name] = true
	}
	return slices.Sorted(maps.Keys(set))
}
