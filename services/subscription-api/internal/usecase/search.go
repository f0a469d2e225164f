package usecase

import (
	"context"
	"fmt"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// SearchTimeout bounds a page of a search without an index.
const SearchTimeout = 6 * time.Second

// List returns a tenant's deliveries. If it has to search without an index, it does so within the caller's share, and
// may return less than a page when it has examined enough. The errors are those of the store, among them
// store.ErrSlow, and of daemon.Shares.
func (s *Deliveries) List(ctx context.Context, c *Caller, f store.DeliveryFilter, page store.Page) (store.Scanned[webhook.Delivery], error) {
	if !f.Scans() {
		return whole(s.History.ListDeliveries(ctx, c.Tenant, f, page))
	}
	return search(ctx, s.core, c, func(ctx context.Context) (store.Scanned[webhook.Delivery], error) {
		return s.History.ScanDeliveries(ctx, c.Tenant, f, page)
	})
}

// Events lists a tenant's events in the same way as List.
func (s *Deliveries) Events(ctx context.Context, c *Caller, f store.EventFilter, page store.Page) (store.Scanned[store.EventSummary], error) {
	if !f.Scans() {
		return whole(s.History.ListEvents(ctx, c.Tenant, f, page))
	}
	return search(ctx, s.core, c, func(ctx context.Context) (store.Scanned[store.EventSummary], error) {
		return s.History.SearchEvents(ctx, c.Tenant, f, page)
	})
}

// whole converts a page of a list that was read from an index.
func whole[T any](list []T, more bool, err error) (store.Scanned[T], error) {
	return store.Scanned[T]{List: list, More: more}, err
}

func search[T any](ctx context.Context, s *core, c *Caller, do func(context.Context) (store.Scanned[T], error)) (store.Scanned[T], error) {
	began := time.Now()
	found, err := daemon.Within(ctx, SearchTimeout, func(ctx context.Context) (store.Scanned[T], error) {
		release, err := s.Searches.Take(ctx, c.Tenant, c.Token.ID.String())
		if err != nil {
			return store.Scanned[T]{}, err
		}
		defer release()
		return do(ctx)
	})
	if err != nil && time.Since(began) >= SearchTimeout {
		return found, fmt.Errorf("%w: %w", store.ErrSlow, err)
	}
	return found, err
}
