package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/catalogue"
	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// eventTypeStore is what the registry asks; *postgres.DB is one.
type eventTypeStore interface {
	EventTypes(ctx context.Context, tenant string) ([]postgres.EventType, error)
	DeclareEventType(ctx context.Context, actor postgres.Actor, tenant string, t postgres.EventType) (created bool, err error)
	RemoveEventType(ctx context.Context, actor postgres.Actor, tenant, name string) error
}

const registryPath = hooksPath + "registry/"

// Limits of declared event types, in bytes.
const (
	maxTypeDescription = 1024
	maxTypeDocument    = 64 << 10
)

type (
	eventTypeBody struct {
		Name        string  `json:"name" example:"package.created"`
		Description string  `json:"description" doc:"What happened when such an event is sent"`
		Schema      rawJSON `json:"schema" doc:"JSON Schema of the event's data; null where there is none"`
		Example     rawJSON `json:"example" doc:"An event's data; null where there is none"`
		BuiltIn     bool    `json:"built_in" doc:"Whether the type is known from the start; the others were declared by the tenant"`
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
		Example     optional[rawJSON] `json:"example,omitzero" doc:"An event's data"`
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
	register(s, route{role: postgres.Viewer}, huma.Operation{
		OperationID: "list-event-types", Method: http.MethodGet, Path: registryPath, Tags: tag,
		Summary: "List the known event types, with schema and example",
	}, s.listEventTypes)
	register(s, route{role: postgres.Editor, body: bodyOf[eventTypeInput](s), status: http.StatusCreated, also: http.StatusOK}, huma.Operation{
		OperationID: "declare-event-type", Method: http.MethodPost, Path: registryPath, Tags: tag,
		Summary: "Declare an event type of the tenant's own, or change it",
	}, s.declareEventType)
	register(s, route{role: postgres.Editor, status: http.StatusNoContent}, huma.Operation{
		OperationID: "remove-event-type", Method: http.MethodDelete, Path: registryPath + "{name}/", Tags: tag,
		Summary: "Remove an event type that the tenant declared", Description: "Hooks that name it keep it.",
	}, s.removeEventType)
}

func (s *server) listEventTypes(ctx context.Context, c *call, _ *noInput) (*registryOutput, error) {
	declared, err := s.EventTypes.EventTypes(ctx, c.tenant)
	if err != nil {
		return nil, err
	}
	page := eventTypePage{}
	for _, t := range slices.Concat(catalogue.All(), catalogue.Operational()) {
		page.Results = append(page.Results, eventTypeBody{
			Name: t.Name, Description: t.Description, Schema: rawJSON(t.Schema), Example: rawJSON(t.Example), BuiltIn: true,
		})
	}
	for _, t := range declared {
		page.Results = append(page.Results, eventTypeBody{
			Name: t.Name, Description: t.Description, Schema: rawJSON(t.Schema), Example: rawJSON(t.Example),
		})
	}
	return &registryOutput{Body: page}, nil
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
	created, err := s.EventTypes.DeclareEventType(ctx, c.actor(), c.tenant, t)
	if err != nil {
		return nil, err
	}
	out := &eventTypeOutput{Status: http.StatusOK, Body: eventTypeBody{
		Name: t.Name, Description: t.Description, Schema: rawJSON(t.Schema), Example: rawJSON(t.Example),
	}}
	if created {
		out.Status = http.StatusCreated
	}
	return out, nil
}

func (in *eventTypeInput) eventType() (postgres.EventType, error) {
	invalid := &webhook.ValidationError{}
	t := postgres.EventType{
		Name: webhook.NormalizeEventType(in.Name.Value), Description: in.Description.Value,
		Schema: json.RawMessage(in.Schema.Value.rawJSON), Example: json.RawMessage(in.Example.Value),
	}
	collect(invalid, "/name", webhook.ValidateEventType(t.Name))
	if _, builtIn := catalogue.Find(t.Name); builtIn {
		complain(invalid, "/name", "is an event type that is known from the start and cannot be changed")
	}
	if len(t.Description) > maxTypeDescription {
		complain(invalid, "/description", "must be at most %d bytes", maxTypeDescription)
	}
	var schema map[string]any
	if len(t.Schema) > 0 && (json.Unmarshal(t.Schema, &schema) != nil || len(t.Schema) > maxTypeDocument) {
		complain(invalid, "/schema", "must be a JSON Schema object of at most %d bytes", maxTypeDocument)
	}
	if len(t.Example) > maxTypeDocument {
		complain(invalid, "/example", "must be at most %d bytes", maxTypeDocument)
	}
	return t, orNil(invalid)
}

func (s *server) removeEventType(ctx context.Context, c *call, in *eventTypeName) (*noOutput, error) {
	name := webhook.NormalizeEventType(in.Name)
	if webhook.ValidateEventType(name) != nil {
		return nil, notFound()
	}
	return &noOutput{}, s.EventTypes.RemoveEventType(ctx, c.actor(), c.tenant, name)
}
