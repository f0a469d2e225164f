package usecase

import (
	"context"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// maxViews is how many views of a tenant's lists one caller may save.
	maxViews = 50
	// maxViewName bounds the name of a view, in characters, and maxViewQuery its filter, in bytes.
	maxViewName, maxViewQuery = 64, 2048
)

// viewLists are the lists that can have views.
var viewLists = []string{"deliveries", "events", "hooks"}

// Views returns the caller's saved filters of a list, by name.
func (s *Access) Views(ctx context.Context, c *Caller, list string) ([]View, error) {
	return s.access.Views(ctx, c.Actor(), c.Tenant, list)
}

// SaveView saves a filter of a list under a name, for the caller alone. It replaces one of the same name. The errors
// are a *webhook.ValidationError and ErrTooManyViews.
func (s *Access) SaveView(ctx context.Context, c *Caller, v View) error {
	v.Name = strings.TrimSpace(v.Name)
	invalid := &webhook.ValidationError{}
	if !slices.Contains(viewLists, v.List) {
		invalid.Add("/list", "must be %s", strings.Join(viewLists, ", "))
	}
	if n := utf8.RuneCountInString(v.Name); n == 0 || n > maxViewName || strings.ContainsFunc(v.Name, unicode.IsControl) {
		invalid.Add("/name", "must have 1 to %d characters, in one line", maxViewName)
	}
	if v.Query == "" || len(v.Query) > maxViewQuery {
		invalid.Add("/query", "must have 1 to %d bytes", maxViewQuery)
	}
	if err := invalid.OrNil(); err != nil {
		return err
	}
	return s.access.SaveView(ctx, c.Actor(), c.Tenant, v, maxViews)
}

// RemoveView removes one of the caller's views, and returns it. It returns webhook.ErrNotFound if the caller has no
// such view.
func (s *Access) RemoveView(ctx context.Context, c *Caller, id uuid.UUID) (View, error) {
	return s.access.RemoveView(ctx, c.Actor(), c.Tenant, id)
}

// View is a saved filter of a list.
type View = store.View

// ErrTooManyViews says that the caller has reached the maximum number of views.
var ErrTooManyViews = store.ErrTooManyViews
