package usecase

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/schema"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// maxTypeDescription is in characters.
const maxTypeDescription = 1024

// Origin says where an event type comes from.
type Origin string

// Origins of event types.
const (
	BuiltIn     Origin = "built in"
	Operational Origin = "about webhooks" // Whisperer's events about itself
	Declared    Origin = "declared"       // declared by the tenant
)

// EventType is a type with the tenant's settings.
type EventType struct {
	catalogue.Type

	Origin     Origin
	Check      webhook.SchemaCheck
	Deprecated bool
}

func (t *EventType) set(settings store.EventTypeSettings) {
	t.Check, t.Deprecated = webhook.SchemaOff, settings.Deprecated != nil && *settings.Deprecated
	if settings.Check != "" {
		t.Check = settings.Check
	}
}

// TypeChange changes a tenant's settings of an event type. Absent fields are left unchanged.
type TypeChange struct {
	Check      Optional[string]
	Deprecated Optional[bool]
}

// Declaration declares an event type of the tenant's own.
type Declaration struct {
	Name, Description string
	// Schema and Example may be nil.
	Schema, Example json.RawMessage
	TypeChange
}

// List returns the built-in types, those of Whisperer's events about itself, and the tenant's own.
func (s *Types) List(ctx context.Context, c *Caller) ([]EventType, error) {
	declared, err := s.types.List(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	settings, err := s.types.Settings(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	var types []EventType
	for _, t := range catalogue.All() {
		types = append(types, EventType{Type: t, Origin: BuiltIn})
	}
	for _, t := range catalogue.Operational() {
		types = append(types, EventType{Type: t, Origin: Operational})
	}
	for _, t := range declared {
		own := catalogue.Type{Name: t.Name, Description: t.Description, Schema: t.Schema, Example: t.Example}
		types = append(types, EventType{Type: own, Origin: Declared})
	}
	for i := range types {
		types[i].set(settings[types[i].Name])
	}
	return types, nil
}

// Get returns one of the types. It accepts the predecessor's spelling. It returns webhook.ErrNotFound if there is
// none.
func (s *Types) Get(ctx context.Context, c *Caller, name string) (EventType, error) {
	types, err := s.List(ctx, c)
	if err != nil {
		return EventType{}, err
	}
	name = webhook.NormalizeEventType(name)
	i := slices.IndexFunc(types, func(t EventType) bool { return t.Name == name })
	if i < 0 {
		return EventType{}, fmt.Errorf("event type: %w", webhook.ErrNotFound)
	}
	return types[i], nil
}

// Declare declares an event type of the tenant's own, or changes it. The error is *webhook.ValidationError.
func (s *Types) Declare(ctx context.Context, c *Caller, d Declaration) (t EventType, created bool, err error) {
	declared, err := d.eventType()
	if err != nil {
		return t, false, err
	}
	settings, err := s.types.Settings(ctx, c.Tenant)
	if err != nil {
		return t, false, err
	}
	now, there := settings[declared.Name]
	switch {
	case !there && declared.Settings.Check == "" && len(declared.Schema) > 0:
		declared.Settings.Check = webhook.SchemaWarn
	case declared.Settings.Check == "" && len(declared.Schema) == 0:
		declared.Settings.Check = webhook.SchemaOff
	}
	if created, err = s.types.Declare(ctx, c.Actor(), c.Tenant, declared); err != nil {
		return t, false, err
	}
	if declared.Settings.Check != "" {
		now.Check = declared.Settings.Check
	}
	if declared.Settings.Deprecated != nil {
		now.Deprecated = declared.Settings.Deprecated
	}
	t = EventType{Origin: Declared, Type: catalogue.Type{
		Name: declared.Name, Description: declared.Description, Schema: declared.Schema, Example: declared.Example,
	}}
	t.set(now)
	return t, created, nil
}

func (d *Declaration) eventType() (store.EventType, error) {
	invalid := &webhook.ValidationError{}
	t := store.EventType{
		Name: webhook.NormalizeEventType(d.Name), Description: d.Description, Schema: d.Schema, Example: d.Example, Settings: d.settings(invalid),
	}
	invalid.Collect("/name", webhook.ValidateEventType(t.Name))
	if knownFromStart(t.Name) {
		invalid.Add("/name", "is an event type that is known from the start and cannot be declared")
	}
	if utf8.RuneCountInString(t.Description) > maxTypeDescription {
		invalid.Add("/description", "must be at most %d characters", maxTypeDescription)
	}
	if len(t.Example) > schema.MaxSize {
		invalid.Add("/example", "must be at most %d bytes", schema.MaxSize)
	}
	if len(t.Schema) == 0 {
		if t.Settings.Check != "" && t.Settings.Check != webhook.SchemaOff {
			invalid.Add("/schema_check", "needs a schema")
		}
		return t, invalid.OrNil()
	}
	compiled, err := schema.Compile(t.Schema)
	switch {
	case err != nil:
		invalid.Collect("/schema", err)
	case len(t.Example) > 0:
		invalid.Collect("/example", compiled.Check(t.Example))
	}
	return t, invalid.OrNil()
}

func knownFromStart(name string) bool {
	known, _ := catalogue.Find(name)
	return known.Name != "" || webhook.IsReserved(name)
}

func (change *TypeChange) settings(invalid *webhook.ValidationError) store.EventTypeSettings {
	var s store.EventTypeSettings
	if change.Check.Given() {
		if s.Check = webhook.SchemaCheck(strings.ToLower(change.Check.Value)); !slices.Contains(webhook.SchemaChecks(), s.Check) {
			invalid.Add("/schema_check", "must be off, warn or reject")
		}
	}
	if change.Deprecated.Given() {
		s.Deprecated = &change.Deprecated.Value
	}
	return s
}

// Change changes the tenant's settings of any type. The errors are webhook.ErrNotFound and *webhook.ValidationError.
func (s *Types) Change(ctx context.Context, c *Caller, name string, change TypeChange) (EventType, error) {
	t, err := s.Get(ctx, c, name)
	if err != nil {
		return t, err
	}
	invalid := &webhook.ValidationError{}
	settings := change.settings(invalid)
	if settings.Check != "" && settings.Check != webhook.SchemaOff && len(t.Schema) == 0 {
		invalid.Add("/schema_check", "needs a schema, and the type has none")
	}
	if err := invalid.OrNil(); err != nil {
		return t, err
	}
	now, err := s.types.Set(ctx, c.Actor(), c.Tenant, t.Name, settings)
	if err != nil {
		return t, err
	}
	t.set(now)
	return t, nil
}

// Remove removes a type that the tenant declared. It returns webhook.ErrNotFound if there is none, and a
// *webhook.ValidationError for a type that is not the tenant's own.
func (s *Types) Remove(ctx context.Context, c *Caller, name string) error {
	name = webhook.NormalizeEventType(name)
	if knownFromStart(name) {
		invalid := &webhook.ValidationError{}
		invalid.Add("/name", "is an event type that is known from the start and cannot be removed: deprecate it instead")
		return invalid
	}
	if webhook.ValidateEventType(name) != nil {
		return fmt.Errorf("event type: %w", webhook.ErrNotFound)
	}
	return s.types.Remove(ctx, c.Actor(), c.Tenant, name)
}
