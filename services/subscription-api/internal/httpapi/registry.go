package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/schema"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// registryPath is where the predecessor lists event types.
const (
	eventTypesPath = root + "/event-types/"
	registryPath   = hooksPath + "registry/"
)

// Limits of declared event types: of a description in characters, of a document in bytes.
const (
	maxTypeDescription = 1024
	maxTypeDocument    = schema.MaxSize
)

type (
	eventTypeBody struct {
		Name        string  `json:"name" example:"package.created"`
		Description string  `json:"description" doc:"What happened when such an event is sent"`
		Schema      rawJSON `json:"schema" doc:"JSON Schema of the event's data; null where there is none"`
		Example     rawJSON `json:"example" doc:"An event's data; null where there is none"`
		BuiltIn     bool    `json:"built_in" doc:"Whether the type is known from the start; the others were declared by the tenant"`
		SchemaCheck string  `json:"schema_check" enum:"off,warn,reject" doc:"What is done with events whose data does not fit the schema: nothing, mark them, or reject them"`
		Deprecated  bool    `json:"deprecated" doc:"Whether the type should not be used any more; nothing else follows from it"`
	}
	eventTypePage struct {
		Next     *string         `json:"next" doc:"Always null: there is one page"`
		Previous *string         `json:"previous" doc:"Always null"`
		Results  []eventTypeBody `json:"results" nullable:"false"`
	}
	registryOutput struct{ Body eventTypePage }

	eventTypeInput struct {
		Name        optional[string]  `json:"name" doc:"Words of a-z, 0-9 and _ joined by dots" maxLength:"128"`
		Description optional[string]  `json:"description,omitzero" maxLength:"1024"`
		Schema      optional[object]  `json:"schema,omitzero" doc:"JSON Schema of the event's data"`
		Example     optional[rawJSON] `json:"example,omitzero" doc:"An event's data; it has to fit the schema"`
		SchemaCheck optional[string]  `json:"schema_check,omitzero" enum:"off,warn,reject" doc:"What is done with events whose data does not fit the schema; if absent it stays as it is, and is warn for a new type with a schema"`
		Deprecated  optional[bool]    `json:"deprecated,omitzero" doc:"Whether the type should not be used any more"`
	}
	eventTypeChange struct {
		SchemaCheck optional[string] `json:"schema_check,omitzero" enum:"off,warn,reject" doc:"What is done with events whose data does not fit the schema"`
		Deprecated  optional[bool]   `json:"deprecated,omitzero" doc:"Whether the type should not be used any more"`
	}
	eventTypeOutput struct {
		Status int
		Body   eventTypeBody
	}
	eventTypeName struct {
		Name string `path:"name" doc:"The event type"`
	}
)

func (s *server) registerRegistry() {
	tag := []string{"Event types"}
	// in the document there is one way to them: registry/{name}/ could be taken for {id}/test/
	for path, hidden := range map[string]bool{eventTypesPath: false, registryPath: true} {
		register(s, route{role: store.Viewer}, huma.Operation{
			OperationID: "list-event-types", Method: http.MethodGet, Path: path, Hidden: hidden, Tags: tag,
			Summary: "List the known event types, with schema and example", Description: "Also at " + registryPath + ", with all operations of event types.",
		}, s.listEventTypes)
		register(s, route{role: store.Editor, body: bodyOf[eventTypeInput](s), status: http.StatusCreated, also: http.StatusOK}, huma.Operation{
			OperationID: "declare-event-type", Method: http.MethodPost, Path: path, Hidden: hidden, Tags: tag,
			Summary:     "Declare an event type of the tenant's own, or change it",
			Description: "The schema is JSON Schema, draft 2020-12 unless $schema names an older one. It cannot refer to other documents, nor to itself.",
		}, s.declareEventType)
		register(s, route{role: store.Viewer}, huma.Operation{
			OperationID: "get-event-type", Method: http.MethodGet, Path: path + "{name}/", Hidden: hidden, Tags: tag, Summary: "Get an event type",
		}, s.getEventType)
		register(s, route{role: store.Editor, body: bodyOf[eventTypeChange](s)}, huma.Operation{
			OperationID: "change-event-type", Method: http.MethodPatch, Path: path + "{name}/", Hidden: hidden, Tags: tag,
			Summary:     "Choose what is done with events that do not fit the schema of a type, known from the start or declared; deprecate it",
			Description: "All programs know of it within a second. With reject, POST /whisperer/events/ answers 422, and what comes over NATS is put into the rejected events.",
		}, s.changeEventType)
		register(s, route{role: store.Editor, status: http.StatusNoContent}, huma.Operation{
			OperationID: "remove-event-type", Method: http.MethodDelete, Path: path + "{name}/", Hidden: hidden, Tags: tag,
			Summary: "Remove an event type that the tenant declared", Description: "Hooks that name it keep it.",
		}, s.removeEventType)
	}
}

// eventTypeBodies are the types that a tenant has, the built-in ones first.
func (s *server) eventTypeBodies(ctx context.Context, tenant string) ([]eventTypeBody, error) {
	declared, err := s.Cases.Hooks.EventTypes(ctx, tenant)
	if err != nil {
		return nil, err
	}
	settings, err := s.Cases.Hooks.EventTypeSettings(ctx, tenant)
	if err != nil {
		return nil, err
	}
	types := []eventTypeBody{}
	for _, t := range slices.Concat(catalogue.All(), catalogue.Operational()) {
		types = append(types, eventTypeBody{
			Name: t.Name, Description: t.Description, Schema: rawJSON(t.Schema), Example: rawJSON(t.Example), BuiltIn: true,
		})
	}
	for _, t := range declared {
		types = append(types, eventTypeBody{
			Name: t.Name, Description: t.Description, Schema: rawJSON(t.Schema), Example: rawJSON(t.Example),
		})
	}
	for i := range types {
		types[i].set(settings[types[i].Name])
	}
	return types, nil
}

func (b *eventTypeBody) set(settings store.EventTypeSettings) {
	b.SchemaCheck, b.Deprecated = string(webhook.SchemaOff), settings.Deprecated != nil && *settings.Deprecated
	if settings.Check != "" {
		b.SchemaCheck = string(settings.Check)
	}
}

func (s *server) listEventTypes(ctx context.Context, c *call, _ *noInput) (*registryOutput, error) {
	types, err := s.eventTypeBodies(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	return &registryOutput{Body: eventTypePage{Results: types}}, nil
}

func (s *server) findEventType(ctx context.Context, tenant, name string) (eventTypeBody, error) {
	types, err := s.eventTypeBodies(ctx, tenant)
	if err != nil {
		return eventTypeBody{}, err
	}
	name = webhook.NormalizeEventType(name)
	i := slices.IndexFunc(types, func(t eventTypeBody) bool { return t.Name == name })
	if i < 0 {
		return eventTypeBody{}, notFound()
	}
	return types[i], nil
}

func (s *server) getEventType(ctx context.Context, c *call, in *eventTypeName) (*eventTypeOutput, error) {
	t, err := s.findEventType(ctx, c.Tenant, in.Name)
	if err != nil {
		return nil, err
	}
	return &eventTypeOutput{Status: http.StatusOK, Body: t}, nil
}

func (s *server) declareEventType(ctx context.Context, c *call, _ *noInput) (*eventTypeOutput, error) {
	var in eventTypeInput
	if err := decodeBody(c.body, &in); err != nil {
		return nil, err
	}
	t, err := in.eventType()
	if err != nil {
		return nil, err
	}
	settings, err := s.Cases.Hooks.EventTypeSettings(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	before, there := settings[t.Name]
	switch {
	case !there && t.Settings.Check == "" && len(t.Schema) > 0:
		t.Settings.Check = webhook.SchemaWarn
	case t.Settings.Check == "" && len(t.Schema) == 0:
		t.Settings.Check = webhook.SchemaOff
	}
	created, err := s.Cases.Hooks.DeclareEventType(ctx, c.Actor(), c.Tenant, t)
	if err != nil {
		return nil, err
	}
	out := &eventTypeOutput{Status: http.StatusOK, Body: eventTypeBody{
		Name: t.Name, Description: t.Description, Schema: rawJSON(t.Schema), Example: rawJSON(t.Example),
	}}
	out.Body.set(merged(before, t.Settings))
	if created {
		out.Status = http.StatusCreated
	}
	return out, nil
}

// merged is what a change makes of settings.
func merged(before, change store.EventTypeSettings) store.EventTypeSettings {
	if change.Check != "" {
		before.Check = change.Check
	}
	if change.Deprecated != nil {
		before.Deprecated = change.Deprecated
	}
	return before
}

func (in *eventTypeInput) eventType() (store.EventType, error) {
	invalid := &webhook.ValidationError{}
	t := store.EventType{
		Name: webhook.NormalizeEventType(in.Name.Value), Description: in.Description.Value,
		Schema: json.RawMessage(in.Schema.Value.rawJSON), Example: json.RawMessage(in.Example.Value),
		Settings: readSettings(invalid, &in.SchemaCheck, &in.Deprecated),
	}
	invalid.Collect("/name", webhook.ValidateEventType(t.Name))
	if known, _ := catalogue.Find(t.Name); known.Name != "" || webhook.IsReserved(t.Name) {
		invalid.Add("/name", "is an event type that is known from the start and cannot be declared")
	}
	if utf8.RuneCountInString(t.Description) > maxTypeDescription {
		invalid.Add("/description", "must be at most %d characters", maxTypeDescription)
	}
	if len(t.Example) > maxTypeDocument {
		invalid.Add("/example", "must be at most %d bytes", maxTypeDocument)
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

func readSettings(invalid *webhook.ValidationError, check *optional[string], deprecated *optional[bool]) store.EventTypeSettings {
	var s store.EventTypeSettings
	if check.Given() {
		if s.Check = webhook.SchemaCheck(strings.ToLower(check.Value)); !slices.Contains(webhook.SchemaChecks(), s.Check) {
			invalid.Add("/schema_check", "must be off, warn or reject")
		}
	}
	if deprecated.Given() {
		s.Deprecated = &deprecated.Value
	}
	return s
}

func (s *server) changeEventType(ctx context.Context, c *call, in *eventTypeName) (*eventTypeOutput, error) {
	var fields eventTypeChange
	if err := decodeBody(c.body, &fields); err != nil {
		return nil, err
	}
	t, err := s.findEventType(ctx, c.Tenant, in.Name)
	if err != nil {
		return nil, err
	}
	invalid := &webhook.ValidationError{}
	change := readSettings(invalid, &fields.SchemaCheck, &fields.Deprecated)
	if change.Check != "" && change.Check != webhook.SchemaOff && len(t.Schema) == 0 {
		invalid.Add("/schema_check", "needs a schema, and the type has none")
	}
	if err := invalid.OrNil(); err != nil {
		return nil, err
	}
	now, err := s.Cases.Hooks.SetEventType(ctx, c.Actor(), c.Tenant, t.Name, change)
	if err != nil {
		return nil, err
	}
	t.set(now)
	return &eventTypeOutput{Status: http.StatusOK, Body: t}, nil
}

func (s *server) removeEventType(ctx context.Context, c *call, in *eventTypeName) (*noOutput, error) {
	name := webhook.NormalizeEventType(in.Name)
	if webhook.ValidateEventType(name) != nil {
		return nil, notFound()
	}
	return &noOutput{}, s.Cases.Hooks.RemoveEventType(ctx, c.Actor(), c.Tenant, name)
}
