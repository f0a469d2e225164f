package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

const registryPath = hooksPath + "registry/"

// EventTypes reads the catalogue of event types and declares a tenant's own.
type EventTypes struct{ *core }

type (
	// EventTypeSettings say how events of a type are treated; in a change, what is empty stays as it is.
	EventTypeSettings = api.EventTypeSettings
	// EventTypeFields declare an event type of the tenant's own.
	EventTypeFields = api.EventTypeFields
)

// List lists the known event types.
func (c EventTypes) List(ctx context.Context) ([]api.EventType, error) {
	page, err := get[api.OnlyPage[api.EventType]](ctx, c.core, registryPath)
	return page.Results, err
}

// Get returns one event type; webhook.ErrNotFound where the tenant knows none of the name.
func (c EventTypes) Get(ctx context.Context, name string) (api.EventType, error) {
	return get[api.EventType](ctx, c.core, eventTypePath(name))
}

// Declare declares an event type, or changes a declared one.
func (c EventTypes) Declare(ctx context.Context, fields EventTypeFields) (api.EventType, error) {
	return post[api.EventType](ctx, c.core, registryPath, fields)
}

// Update changes the settings of a type, declared or known from the start.
func (c EventTypes) Update(ctx context.Context, name string, settings EventTypeSettings) (api.EventType, error) {
	return call[api.EventType](ctx, c.core, request{method: http.MethodPatch, path: eventTypePath(name), body: settings})
}

// Delete removes a declared event type; webhook.ErrNotFound where the tenant has declared none of the name.
func (c EventTypes) Delete(ctx context.Context, name string) error {
	return c.do(ctx, request{method: http.MethodDelete, path: eventTypePath(name)}, nil)
}

func eventTypePath(name string) string { return registryPath + url.PathEscape(name) + "/" }
