package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

type (
	// EventTypeSettings say how events of a type are treated; in a change, what is empty stays as it is.
	EventTypeSettings = api.EventTypeSettings
	// EventTypeFields declare an event type of the tenant's own.
	EventTypeFields = api.EventTypeFields
)

const registryPath = hooksPath + "registry/"

// EventTypes lists the known event types.
func (c *Client) EventTypes(ctx context.Context) ([]api.EventType, error) {
	var answer api.OnlyPage[api.EventType]
	err := c.do(ctx, request{method: http.MethodGet, path: registryPath}, &answer)
	return answer.Results, err
}

// EventType returns one event type; webhook.ErrNotFound where the tenant knows none of the name.
func (c *Client) EventType(ctx context.Context, name string) (api.EventType, error) {
	var t api.EventType
	err := c.do(ctx, request{method: http.MethodGet, path: registryPath + url.PathEscape(name) + "/"}, &t)
	return t, err
}

// DeclareEventType declares an event type, or changes a declared one.
func (c *Client) DeclareEventType(ctx context.Context, fields EventTypeFields) (api.EventType, error) {
	var t api.EventType
	err := c.do(ctx, request{method: http.MethodPost, path: registryPath, body: fields}, &t)
	return t, err
}

// ChangeEventType changes the settings of a type, declared or known from the start.
func (c *Client) ChangeEventType(ctx context.Context, name string, settings EventTypeSettings) (api.EventType, error) {
	var t api.EventType
	err := c.do(ctx, request{method: http.MethodPatch, path: registryPath + url.PathEscape(name) + "/", body: settings}, &t)
	return t, err
}

// RemoveEventType removes a declared event type; webhook.ErrNotFound where the tenant has declared none of the name.
func (c *Client) RemoveEventType(ctx context.Context, name string) error {
	return c.do(ctx, request{method: http.MethodDelete, path: registryPath + url.PathEscape(name) + "/"}, nil)
}
