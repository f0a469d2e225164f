package client

import (
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

type (
	// Hook is a hook as the API shows it: without its secrets.
	Hook = api.Hook
	// HookFields are the fields of a hook that a caller sets.
	HookFields = api.HookFields
	// Field is a field of a change: absent (its zero value, left as it is), null, or a value.
	Field[T any] = api.Field[T]
)

// Set makes a field with a value.
func Set[T any](v T) Field[T] { return api.Set(v) }

// Null makes a field that clears what is there.
func Null[T any]() Field[T] { return api.Null[T]() }

// HookFilter narrows a list of hooks; zero fields don't.
type HookFilter = api.HookFilter

const hooksPath = "/whisperer/hooks/"

func hookPath(id uuid.UUID, rest string) string { return hooksPath + id.String() + "/" + rest }

// Hooks lists the tenant's hooks, newest first, fetching page after page. It ends after the first error.
func (c *Client) Hooks(ctx context.Context, filter HookFilter) iter.Seq2[Hook, error] {
	return pages[Hook](ctx, c, hooksPath, queryOf(filter))
}

// Hook gets one hook; webhook.ErrNotFound where the tenant has none with the id.
func (c *Client) Hook(ctx context.Context, id uuid.UUID) (Hook, error) {
	var h Hook
	err := c.do(ctx, request{method: http.MethodGet, path: hookPath(id, "")}, &h)
	return h, err
}

// CreateHook makes a hook; webhook.ErrInvalid with the fields, webhook.ErrConflict (ProblemError.ExistingID has the other's id)
// where the tenant has a hook for the same target and types. Each call has an idempotency key of its own.
func (c *Client) CreateHook(ctx context.Context, fields HookFields) (Hook, error) {
	var h Hook
	header := http.Header{"Idempotency-Key": {uuid.NewString()}}
	err := c.do(ctx, request{method: http.MethodPost, path: hooksPath, header: header, body: fields}, &h)
	return h, err
}

// UpdateHook changes the fields that are set and leaves the others. With a version above 0, webhook.ErrVersion comes
// where the hook has changed since.
func (c *Client) UpdateHook(ctx context.Context, id uuid.UUID, version int64, fields HookFields) (Hook, error) {
	var h Hook
	header := http.Header{}
	if version > 0 {
		header.Set("If-Match", `"`+strconv.FormatInt(version, 10)+`"`)
	}
	err := c.do(ctx, request{method: http.MethodPatch, path: hookPath(id, ""), header: header, body: fields}, &h)
	return h, err
}

// DeleteHook deletes a hook; what it has not got yet is cancelled.
func (c *Client) DeleteHook(ctx context.Context, id uuid.UUID) error {
	return c.do(ctx, request{method: http.MethodDelete, path: hookPath(id, "")}, nil)
}

// PauseHook stops deliveries to a hook; they are parked until ResumeHook.
func (c *Client) PauseHook(ctx context.Context, id uuid.UUID) (Hook, error) {
	var h Hook
	err := c.do(ctx, request{method: http.MethodPost, path: hookPath(id, "pause/")}, &h)
	return h, err
}

// PauseHookUntil is PauseHook with a time at which the hook becomes active again by itself.
func (c *Client) PauseHookUntil(ctx context.Context, id uuid.UUID, until time.Time) (Hook, error) {
	var h Hook
	body := api.Pause{Until: &until}
	err := c.do(ctx, request{method: http.MethodPost, path: hookPath(id, "pause/"), body: body}, &h)
	return h, err
}

// ResumeHook makes a paused or disabled hook active again.
func (c *Client) ResumeHook(ctx context.Context, id uuid.UUID) (Hook, error) {
	var h Hook
	err := c.do(ctx, request{method: http.MethodPost, path: hookPath(id, "resume/")}, &h)
	return h, err
}

// PreviewRetries gives the timetable of a retry_countdown_config; nil for the default one.
func (c *Client) PreviewRetries(ctx context.Context, config json.RawMessage) ([]api.RetryStep, error) {
	var answer api.Timetable
	body := api.RetrySchedule{RetryCountdownConfig: config}
	err := c.do(ctx, request{method: http.MethodPost, path: hooksPath + "preview-retries/", body: body}, &answer)
	return answer.Retries, err
}

// pages walks a list. Of the API's link to the next page only the query counts: the token is not sent elsewhere.
func pages[T any](ctx context.Context, c *Client, path string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			var p api.Page[T]
			if err := c.do(ctx, request{method: http.MethodGet, path: path, query: query}, &p); err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, item := range p.Results {
				if !yield(item, nil) {
					return
				}
			}
			if p.Next == nil || *p.Next == "" {
				return
			}
			next, err := url.Parse(*p.Next)
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			query = next.Query()
		}
	}
}
