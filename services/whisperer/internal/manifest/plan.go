package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Kind is what a change does.
type Kind string

// The kinds of changes.
const (
	Create Kind = "create"
	Update Kind = "update"
	Delete Kind = "delete"
	// Leave is for a hook that the tenant has and the file does not, and that is not deleted.
	Leave Kind = "leave"
)

// Noun is the kind of object that a change is about.
type Noun string

// The nouns.
const (
	OfHook      Noun = "hook"
	OfEventType Noun = "event type"
	OfTenant    Noun = "tenant"
	OfRetention Noun = "retention of"
)

// Change is one difference between the tenant and the file.
type Change struct {
	Kind   Kind          `json:"kind"`
	Noun   Noun          `json:"noun"`
	Name   string        `json:"name"`
	Hook   *uuid.UUID    `json:"hook,omitempty"`
	Fields []FieldChange `json:"fields,omitempty"`

	version int64
	fields  client.HookFields
	declare client.EventTypeFields
	// handshake is for a tenant, and days for a retention policy.
	handshake webhook.Handshake
	days      *int
}

// FieldChange is a field that differs. Values from the environment are shown as ${VAR}, and secrets as words.
type FieldChange struct {
	Name string `json:"name"`
	Old  string `json:"old"`
	New  string `json:"new"`
}

// PlanOptions say which differences count.
type PlanOptions struct {
	// Prune deletes hooks, event types and retention policies that the file does not have. Otherwise such hooks are
	// reported, and the others ignored.
	Prune bool
	// Secrets writes secrets again that the tenant already has, because nobody can tell whether they differ.
	Secrets bool
	// OnlyNew changes nothing that exists.
	OnlyNew bool
}

// Plan compares the tenant with the file, and returns the changes in the order in which to make them.
func (f *File) Plan(has Has, o PlanOptions) ([]Change, error) {
	have := has.Hooks
	plan := append(f.planPolicies(has.Tenant, has.Policies, o), f.planTypes(has.Types, o)...)
	partners, err := f.match(have)
	if err != nil {
		return nil, err
	}
	taken := map[uuid.UUID]bool{}
	var updates, creates, others []Change
	for i := range f.Hooks {
		h := &f.Hooks[i]
		p := partners[h.Name]
		switch {
		case p == nil:
			c, err := h.create()
			if err != nil {
				return nil, err
			}
			creates = append(creates, c)
			continue
		case !o.OnlyNew:
			c, differs, err := h.update(p, o)
			if err != nil {
				return nil, err
			}
			if differs {
				updates = append(updates, c)
			}
		}
		taken[p.ID] = true
	}
	for i := range have {
		if h := &have[i]; !taken[h.ID] && !o.OnlyNew {
			c := Change{Kind: Leave, Noun: OfHook, Name: firstOf(h.Name, h.TargetURL), Hook: &h.ID}
			if o.Prune && h.Unreadable == nil { // an export omits such hooks
				c.Kind = Delete
			}
			others = append(others, c)
		}
	}
	// Deleting first allows new hooks with the same target and types.
	return slices.Concat(plan, others, updates, creates), nil
}

// match finds the tenant's hook for each hook of the file: the one with its name, or else one with its target and
// types whose name is not in the file.
func (f *File) match(have []client.Hook) (map[string]*client.Hook, error) {
	partners := map[string]*client.Hook{}
	names := f.names()
	for i := range have {
		name := have[i].Name
		if _, listed := slices.BinarySearch(names, name); !listed {
			continue
		}
		if partners[name] != nil {
			return nil, fmt.Errorf("the tenant has two hooks of the name %q, %s and %s: rename one", name, partners[name].ID, have[i].ID)
		}
		partners[name] = &have[i]
	}
	for i := range f.Hooks {
		h := &f.Hooks[i]
		if partners[h.Name] != nil {
			continue
		}
		for j := range have {
			if _, listed := slices.BinarySearch(names, have[j].Name); !listed && h.isFor(&have[j]) {
				partners[h.Name] = &have[j]
			}
		}
	}
	return partners, nil
}

func (h *Hook) isFor(have *client.Hook) bool {
	return h.fields["target_url"].real == have.TargetURL && same(h.fields["event_types"].real, have.EventTypes)
}

func (h *Hook) create() (Change, error) {
	c := Change{Kind: Create, Noun: OfHook, Name: h.Name}
	var err error
	c.fields, err = h.api(nil)
	for _, name := range fieldNames() {
		if v, there := h.fields[name]; there && name != "name" {
			c.Fields = append(c.Fields, FieldChange{Name: name, New: shown(name, v.shown)})
		}
	}
	return c, err
}

// update compares a hook; differs is false if the tenant's hook is as the file wants it.
func (h *Hook) update(have *client.Hook, o PlanOptions) (c Change, differs bool, err error) {
	c = Change{Kind: Update, Noun: OfHook, Name: h.Name, Hook: &have.ID, version: have.Version}
	current, err := currentFields(have)
	if err != nil {
		return c, false, err
	}
	target, _ := h.fields["target_url"].real.(string)
	moved := !webhook.SameOrigin(have.TargetURL, target)
	var names []string
	for _, name := range fieldNames() {
		options := o
		if moved && name != "secret_key" { // secrets sent to a new host must be sent to the API again
			options.Secrets = true
		}
		d, ok := h.compare(name, current, have, options)
		if v, there := h.fields[name]; !ok && moved && there && name == "additional_headers" {
			d, ok = difference(name, current[name], v), true
		}
		if ok {
			c.Fields = append(c.Fields, d)
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return c, false, nil
	}
	c.fields, err = h.api(names)
	return c, true, err
}

func (h *Hook) compare(name string, current map[string]any, have *client.Hook, o PlanOptions) (FieldChange, bool) {
	v, there := h.fields[name]
	switch name {
	case "secret_key":
		return secretChange(name, v, there, have.HasSecret, o)
	case "api_key":
		return secretChange(name, v, there, have.HasAPIKey, o)
	}
	if !there {
		absent, has := otherwise(webhook.FieldNamed(name))
		if !has {
			return FieldChange{}, false
		}
		v = value{real: absent, shown: absent}
	}
	old := current[name]
	if same(asShown(name, v.real, o.Secrets), old) {
		return FieldChange{}, false
	}
	return difference(name, old, v), true
}

// difference describes a field that differs. It hides a value from the environment, and the value that it replaces,
// because both may be secret.
func difference(name string, old any, v value) FieldChange {
	d := FieldChange{Name: name, Old: shown(name, old), New: shown(name, v.shown)}
	if v.hidden {
		d.Old = "(not shown)"
	}
	return d
}

// secretChange compares fields that the API never shows: it can only compare whether there is a value.
func secretChange(name string, v value, there, has bool, o PlanOptions) (FieldChange, bool) {
	wants := there && v.real != nil && v.real != ""
	old := "none"
	if has {
		old = "set"
	}
	switch {
	case !there, !wants && !has, wants && has && !o.Secrets:
		return FieldChange{}, false
	case wants:
		return FieldChange{Name: name, Old: old, New: "set"}, true
	default:
		return FieldChange{Name: name, Old: old, New: "none"}, true
	}
}

// currentFields returns the tenant's hook in the file's form.
func currentFields(h *client.Hook) (map[string]any, error) {
	fields, ok := plain(h).(map[string]any)
	if !ok {
		return nil, fmt.Errorf("read hook %s: %w", h.ID, webhook.ErrInvalid)
	}
	for _, f := range described() {
		if absent, has := otherwise(&f); has && fields[f.Name] == nil {
			fields[f.Name] = absent
		}
	}
	return fields, nil
}

// plain converts a value to what JSON decodes to, keeping the notation of numbers; nil if that is impossible.
func plain(v any) any {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var out any
	if d.Decode(&out) != nil {
		return nil
	}
	return out
}

// same reports whether two values are the same JSON.
func same(a, b any) bool {
	x, errA := json.Marshal(a)
	y, errB := json.Marshal(b)
	return errA == nil && errB == nil && webhook.SameJSON(x, y)
}

// asShown returns a field of the file as the API would show it after accepting it. With secrets, it keeps the
// config's secrets, which the API never shows.
func asShown(name string, v any, secrets bool) any {
	switch name {
	case "config":
		return configAsShown(v, secrets)
	case "retry_countdown_config":
		raw, err := json.Marshal(v)
		if err != nil {
			return v
		}
		return webhook.FieldNamed(name).Canonical(raw)
	case "additional_headers":
		h := webhook.Hook{Headers: map[string]string{}}
		if v != nil && strict(v, &h.Headers) != nil {
			return v
		}
		h.Trim()
		return h.Headers
	default:
		return v
	}
}

func configAsShown(v any, secrets bool) any {
	raw, err := json.Marshal(v)
	if err != nil {
		return v
	}
	config, err := webhook.ParseConfig(raw)
	if err != nil || secrets && (config.Auth != nil || config.TLS != nil) {
		return v
	}
	shown, err := config.Shown()
	if err != nil {
		return v
	}
	return shown
}

// shown formats a value for people: JSON, with a word in place of secrets.
func shown(name string, v any) string {
	if name == "secret_key" || name == "api_key" {
		if v == nil || v == "" {
			return "none"
		}
		return "set"
	}
	b := &bytes.Buffer{}
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(withoutSecrets(name, v)); err != nil {
		return "?"
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// withoutSecrets replaces each secret that the file spells out by a word. It keeps variables.
func withoutSecrets(name string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		masked := make(map[string]any, len(v))
		for member, value := range v {
			inner := member
			if name == "params" || name == "additional_headers" && webhook.SecretHeader(member) {
				inner = "password"
			}
			masked[member] = withoutSecrets(inner, value)
		}
		return masked
	case string:
		if (name == "password" || name == "client_secret" || name == "client_key") && !strings.Contains(v, "${") {
			return "(set)"
		}
	}
	return v
}

func (f *File) planTypes(have []api.EventType, o PlanOptions) []Change {
	var plan []Change
	for _, want := range f.EventTypes {
		i := slices.IndexFunc(have, func(t api.EventType) bool { return t.Name == want.Name })
		c := Change{Kind: Create, Noun: OfEventType, Name: want.Name, declare: want}
		if i >= 0 {
			c.Kind = Update
			c.Fields = typeChanges(&have[i], want)
		}
		if i < 0 || len(c.Fields) > 0 && !o.OnlyNew {
			plan = append(plan, c)
		}
	}
	if !o.Prune || f.EventTypes == nil {
		return plan
	}
	for i := range have {
		t := &have[i]
		listed := slices.ContainsFunc(f.EventTypes, func(w client.EventTypeFields) bool { return w.Name == t.Name })
		if !t.BuiltIn && !listed {
			plan = append(plan, Change{Kind: Delete, Noun: OfEventType, Name: t.Name})
		}
	}
	return plan
}

func typeChanges(have *api.EventType, want client.EventTypeFields) []FieldChange {
	var list []FieldChange
	for _, f := range []struct {
		name     string
		old, new any
	}{
		{"description", have.Description, want.Description}, {"schema", have.Schema, want.Schema}, {"example", have.Example, want.Example},
	} {
		if old, wanted := plain(f.old), plain(f.new); !same(old, wanted) {
			list = append(list, FieldChange{Name: f.name, Old: shown(f.name, old), New: shown(f.name, wanted)})
		}
	}
	return list
}
