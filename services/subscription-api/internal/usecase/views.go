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
	// maxViews is how many views somebody keeps of a tenant's lists.
	maxViews = 50
	// maxViewName bounds the name of a view, in characters, and maxViewQuery its filter, in bytes.
	maxViewName, maxViewQuery = 64, 2048
)

// viewLists are the lists that views are of.
var viewLists = []string{"deliveries", "events", "hooks"}

// Views are the filters of a list that the caller keeps, by name.
func (s *Access) Views(ctx context.Context, c *Caller, list string) ([]View, error) {
	return s.access.Views(ctx, c.Actor(), c.Tenant, list)
}

// SaveView keeps a filter of a list by name, for the caller alone. One of the same name is replaced. The errors are a
// *webhook.ValidationError and ErrTooManyViews.
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

// RemoveView removes one of the caller's views, and returns it. The error is webhook.ErrNotFound where the caller has no such view.
func (s *Access) RemoveView(ctx context.Context, c *Caller, id uuid.UUID) (View, error) {
	return s.access.RemoveView(ctx, c.Actor(), c.Tenant, id)
}

// View is a filter of a list that somebody keeps by name.
type View = store.View

// ErrTooManyViews says that somebody keeps as many views as they may.
var ErrTooManyViews = store.ErrTooManyViews
