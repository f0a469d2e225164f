package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// registryPath is where the predecessor lists event types.
const (
	eventTypesPath = root + "/event-types/"
	registryPath   = hooksPath + "registry/"
)

type (
	registryOutput  struct{ Body api.OnlyPage[api.EventType] }
	eventTypeOutput struct {
		Status int
		Body   api.EventType
	}
	eventTypeName struct {
		Name string `path:"name" doc:"The event type"`
	}
)

func (s *server) registerRegistry() {
	tag := []string{"Event types"}
	// the document lists one path to them, because registry/{name}/ could be taken for {id}/test/
	for path, hidden := range map[string]bool{eventTypesPath: false, registryPath: true} {
		register(s, route{role: usecase.Viewer}, huma.Operation{
			OperationID: "list-event-types", Method: http.MethodGet, Path: path, Hidden: hidden, Tags: tag,
			Summary: "List the known event types, with schema and example", Description: "Also at " + registryPath + ", with all operations of event types.",
		}, s.listEventTypes)
		register(s, route{role: usecase.Editor, body: bodyAs[api.EventTypeFields](s, "EventTypeInput"), status: http.StatusCreated, also: http.StatusOK}, huma.Operation{
			OperationID: "declare-event-type", Method: http.MethodPost, Path: path, Hidden: hidden, Tags: tag,
			Summary:     "Declare or change an event type",
			Description: "The schema is JSON Schema, draft 2020-12 unless $schema names an older one. It cannot refer to other documents, nor to itself.",
		}, s.declareEventType)
		register(s, route{role: usecase.Viewer}, huma.Operation{
			OperationID: "get-event-type", Method: http.MethodGet, Path: path + "{name}/", Hidden: hidden, Tags: tag, Summary: "Get an event type",
		}, s.getEventType)
		register(s, route{role: usecase.Editor, body: bodyAs[api.EventTypeSettings](s, "EventTypeChange")}, huma.Operation{
			OperationID: "change-event-type", Method: http.MethodPatch, Path: path + "{name}/", Hidden: hidden, Tags: tag,
			Summary:     "Set the schema check of an event type, or deprecate it",
			Description: "Takes effect everywhere within a second. With reject, POST /whisperer/events/ answers 422, and events over NATS are added to the rejected events.",
		}, s.changeEventType)
		register(s, route{role: usecase.Editor, status: http.StatusNoContent}, huma.Operation{
			OperationID: "remove-event-type", Method: http.MethodDelete, Path: path + "{name}/", Hidden: hidden, Tags: tag,
			Summary: "Delete a declared event type", Description: "Hooks that name the type keep it.",
		}, s.removeEventType)
	}
}

func renderEventType(t *usecase.EventType) api.EventType {
	return api.EventType{
		Name: t.Name, Description: t.Description, Schema: shownJSON(t.Schema), Example: shownJSON(t.Example),
		BuiltIn: t.Origin != usecase.Declared, SchemaCheck: string(t.Check), Deprecated: t.Deprecated,
	}
}

func (s *server) listEventTypes(ctx context.Context, c *call, _ *noInput) (*registryOutput, error) {
	types, err := s.Cases.Types.List(ctx, &c.Caller)
	if err != nil {
		return nil, err
	}
	out := &registryOutput{}
	for i := range types {
		out.Body.Results = append(out.Body.Results, renderEventType(&types[i]))
	}
	return out, nil
}

func (s *server) getEventType(ctx context.Context, c *call, in *eventTypeName) (*eventTypeOutput, error) {
	t, err := s.Cases.Types.Get(ctx, &c.Caller, in.Name)
	return &eventTypeOutput{Status: http.StatusOK, Body: renderEventType(&t)}, err
}

func (s *server) declareEventType(ctx context.Context, c *call, _ *noInput) (*eventTypeOutput, error) {
	in, sent, err := decodeAs[api.EventTypeFields](c.body)
	if err != nil {
		return nil, err
	}
	t, created, err := s.Cases.Types.Declare(ctx, &c.Caller, usecase.Declaration{
		Name: in.Name, Description: in.Description, Schema: in.Schema, Example: in.Example, TypeChange: typeChange(&in.EventTypeSettings, sent),
	})
	out := &eventTypeOutput{Status: http.StatusOK, Body: renderEventType(&t)}
	if created {
		out.Status = http.StatusCreated
	}
	return out, err
}

func (s *server) changeEventType(ctx context.Context, c *call, in *eventTypeName) (*eventTypeOutput, error) {
	change, sent, err := decodeAs[api.EventTypeSettings](c.body)
	if err != nil {
		return nil, err
	}
	t, err := s.Cases.Types.Change(ctx, &c.Caller, in.Name, typeChange(change, sent))
	return &eventTypeOutput{Status: http.StatusOK, Body: renderEventType(&t)}, err
}

func typeChange(in *api.EventTypeSettings, sent sent) usecase.TypeChange {
	return usecase.TypeChange{Check: sentFor(sent, &in.SchemaCheck), Deprecated: sentAt(sent, &in.Deprecated)}
}

func (s *server) removeEventType(ctx context.Context, c *call, in *eventTypeName) (*noOutput, error) {
	return &noOutput{}, s.Cases.Types.Remove(ctx, &c.Caller, in.Name)
}
