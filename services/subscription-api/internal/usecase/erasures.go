package usecase

import (
	"context"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// EraseTimeout bounds counting the events of an erasure.
	EraseTimeout = 15 * time.Second

	maxErasedIDs = 1000
	// maxErasedSpan bounds the time range that a path searches.
	maxErasedSpan   = 31 * 24 * time.Hour
	maxErasePath    = 1000 // bytes
	maxEraseReason  = 500  // bytes
	maxErasedIDSize = 1024 // bytes: a CloudEvent's id includes its source
)

// Erase says which payloads to erase: of events by their ids, of one entity, or of events in whose data a path finds
// something.
type Erase struct {
	Events Optional[[]string]
	Entity Optional[string]
	// Path is an SQL/JSON path.
	Path Optional[string]
	// From and To bound the time of publication. To is at most now, which is also its default.
	From, To time.Time
	Reason   string
}

// Count returns the erasure that Begin would begin, with its total. It needs no reason. The errors are
// *webhook.ValidationError, and ErrSlow if counting takes too long.
func (s *Erasures) Count(ctx context.Context, c *Caller, e Erase) (store.NewErasure, error) {
	n, invalid := e.erasure(c.Tenant)
	return s.count(ctx, n, invalid)
}

// Begin counts and begins an erasure, which cannot be undone. If counting takes too long, it begins the erasure
// nevertheless.
func (s *Erasures) Begin(ctx context.Context, c *Caller, e Erase) (store.Erasure, error) {
	n, invalid := e.erasure(c.Tenant)
	if n.Reason == "" {
		invalid.Add("/reason", "must have 1 to %d bytes", maxEraseReason)
	}
	n, err := s.count(ctx, n, invalid)
	if err != nil && !errors.Is(err, ErrSlow) {
		return store.Erasure{}, err
	}
	return s.erasures.Create(ctx, c.Actor(), n)
}

func (s *Erasures) count(ctx context.Context, n store.NewErasure, invalid *webhook.ValidationError) (store.NewErasure, error) {
	if n.Kind == store.ErasePath && n.Criteria[0] != "" && len(n.Criteria[0]) <= maxErasePath {
		if err := s.erasures.CheckPath(ctx, n.Criteria[0]); errors.Is(err, ErrPath) {
			invalid.Add("/path", "is not an SQL/JSON path")
		} else if err != nil {
			return n, err
		}
	}
	if err := invalid.OrNil(); err != nil {
		return n, err
	}
	total, err := s.erasures.Count(ctx, n)
	if err == nil {
		n.Total = &total
	}
	return n, err
}

// erasure returns the erasure as it is stored, and what is wrong with it.
func (e *Erase) erasure(tenant string) (store.NewErasure, *webhook.ValidationError) {
	invalid := &webhook.ValidationError{}
	n := store.NewErasure{Tenant: tenant, Reason: strings.TrimSpace(e.Reason), Range: store.TimeRange{From: e.From.UTC(), To: time.Now().UTC()}}
	given := 0
	for _, kind := range []struct {
		given bool
		do    func()
	}{
		{e.Events.Given(), func() { n.Kind, n.Criteria = store.EraseIDs, e.ids(invalid) }},
		{e.Entity.Given(), func() { n.Kind, n.Criteria = store.EraseEntity, []string{e.entity(invalid)} }},
		{e.Path.Given(), func() { n.Kind, n.Criteria = store.ErasePath, []string{e.path(invalid)} }},
	} {
		if kind.given {
			given++
			kind.do()
		}
	}
	if given != 1 {
		invalid.Add("", "needs exactly one of events, entity and path")
	}
	if len(n.Reason) > maxEraseReason {
		invalid.Add("/reason", "must have 1 to %d bytes", maxEraseReason)
	}
	if !e.To.IsZero() && e.To.Before(n.Range.To) {
		n.Range.To = e.To.UTC()
	}
	switch {
	case e.From.IsZero() && e.Path.Given():
		invalid.Add("/from", "is required with a path")
	case e.From.IsZero():
		n.Range.From = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	case !storable(n.Range.From):
		invalid.Add("/from", "must be after the year 2000")
	}
	switch span := n.Range.To.Sub(n.Range.From); {
	case e.From.IsZero() && e.Path.Given(): // reported already
	case span <= 0:
		invalid.Add("/from", "must be before to, and in the past")
	case e.Path.Given() && span > maxErasedSpan:
		invalid.Add("/from", "must be at most 31 days before to, with a path")
	}
	return n, invalid
}

func (e *Erase) ids(invalid *webhook.ValidationError) []string {
	if n := len(e.Events.Value); n == 0 || n > maxErasedIDs {
		invalid.Add("/events", "must have 1 to %d ids", maxErasedIDs)
		return nil
	}
	for _, id := range e.Events.Value {
		if id == "" || len(id) > maxErasedIDSize || !printable(id) {
			invalid.Add("/events", "%q is not the id of an event", webhook.Clip(id))
			break
		}
	}
	return e.Events.Value
}

func (e *Erase) entity(invalid *webhook.ValidationError) string {
	if v := e.Entity.Value; v == "" || utf8.RuneCountInString(v) > webhook.MaxEntityLength || !printable(v) {
		invalid.Add("/entity", "must have 1 to %d characters", webhook.MaxEntityLength)
	}
	return e.Entity.Value
}

func (e *Erase) path(invalid *webhook.ValidationError) string {
	if v := e.Path.Value; v == "" || len(v) > maxErasePath || !printable(v) {
		invalid.Add("/path", "must have 1 to %d bytes", maxErasePath)
	}
	return e.Path.Value
}

// printable reports whether the database can store a text.
func printable(text string) bool { return utf8.ValidString(text) && !strings.ContainsRune(text, 0) }

// List returns the tenant's erasures, newest first.
func (s *Erasures) List(ctx context.Context, c *Caller, page store.Page) (list []store.Erasure, more bool, err error) {
	return s.erasures.List(ctx, c.Tenant, page)
}

// Get returns one of the tenant's erasures. It returns webhook.ErrNotFound if there is none.
func (s *Erasures) Get(ctx context.Context, c *Caller, id uuid.UUID) (store.Erasure, error) {
	return s.erasures.Get(ctx, c.Tenant, id)
}

// Cancel stops the search for further events. It returns a *store.ReplayError if the erasure has ended, and
// webhook.ErrNotFound if there is none.
func (s *Erasures) Cancel(ctx context.Context, c *Caller, id uuid.UUID) (store.Erasure, error) {
	return s.erasures.Cancel(ctx, c.Actor(), c.Tenant, id)
}
