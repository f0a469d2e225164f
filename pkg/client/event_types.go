package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
)

// EventType is a type of events that the tenant knows.
type EventType struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	// Schema is the JSON Schema of the events' data, Example an event's data; null where there is none.
	Schema  json.RawMessage `json:"schema"`
	Example json.RawMessage `json:"example"`
	// BuiltIn says that the type is known from the start; others were declared by the tenant.
	BuiltIn bool `json:"built_in"`
	// SchemaCheck is what is done with events whose data does not fit the schema: off, warn or reject.
	SchemaCheck string `json:"schema_check"`
	// Deprecated says that the type should not be used any more.
	Deprecated bool `json:"deprecated"`
}

// EventTypeSettings say how events of a type are treated; in a change, what is empty stays as it is.
type EventTypeSettings struct {
	// SchemaCheck is off, warn or reject.
	SchemaCheck string `json:"schema_check,omitempty"`
	Deprecated  *bool  `json:"deprecated,omitempty"`
}

// EventTypeFields declare an event type of the tenant's own.
type EventTypeFields struct {
	EventTypeSettings

	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// Schema is a JSON Schema of the events' data, Example an event's data that fits it; empty for none.
	Schema  json.RawMessage `json:"schema,omitempty"`
	Example json.RawMessage `json:"example,omitempty"`
}

const registryPath = hooksPath + "registry/"

// EventTypes lists the known event types.
func (c *Client) EventTypes(ctx context.Context) ([]EventType, error) {
	var answer struct {
		Results []EventType `json:"results"`
	}
	err := c.do(ctx, request{method: http.MethodGet, path: registryPath}, &answer)
	return answer.Results, err
}

// EventType returns one event type; webhook.ErrNotFound where the tenant knows none of the name.
func (c *Client) EventType(ctx context.Context, name string) (EventType, error) {
	var t EventType
	err := c.do(ctx, request{method: http.MethodGet, path: registryPath + url.PathEscape(name) + "/"}, &t)
	return t, err
}

// DeclareEventType declares an event type, or changes a declared one.
func (c *Client) DeclareEventType(ctx context.Context, fields EventTypeFields) (EventType, error) {
	var t EventType
	err := c.do(ctx, request{method: http.MethodPost, path: registryPath, body: fields}, &t)
	return t, err
}

// ChangeEventType changes the settings of a type, declared or known from the start.
func (c *Client) ChangeEventType(ctx context.Context, name string, settings EventTypeSettings) (EventType, error) {
	var t EventType
	err := c.do(ctx, request{method: http.MethodPatch, path: registryPath + url.PathEscape(name) + "/", body: settings}, &t)
	return t, err
}

// RemoveEventType removes a declared event type; webhook.ErrNotFound where the tenant has declared none of the name.
func (c *Client) RemoveEventType(ctx context.Context, name string) error {
	return c.do(ctx, request{method: http.MethodDelete, path: registryPath + url.PathEscape(name) + "/"}, nil)
}
