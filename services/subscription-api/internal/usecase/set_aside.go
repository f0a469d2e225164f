package usecase

import (
	"context"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/aside"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
)

const (
	// SetAsideTimeout bounds listing what is set aside.
	SetAsideTimeout = 10 * time.Second
	// PutBackTime is how long one request may put entries back; the next request continues.
	PutBackTime = 20 * time.Second

	maxPutBack = 1000
)

// List returns ledger entries that are set aside and have numbers greater than after. It returns a *ForbiddenError
// unless the caller is an operator.
func (s *Ledger) List(ctx context.Context, c *Caller, after uint64, limit int) ([]bus.SetAside, error) {
	if err := c.mustOperate(); err != nil {
		return nil, err
	}
	return s.Aside.List(ctx, after, limit)
}

// Count returns how many entries are set aside. Only operators may ask.
func (s *Ledger) Count(ctx context.Context, c *Caller) (uint64, error) {
	if err := c.mustOperate(); err != nil {
		return 0, err
	}
	return s.Aside.Count(ctx)
}

// PutBack selects the entries to put back: either some, or all.
type PutBack struct {
	Numbers Optional[[]uint64]
	All     bool
}

// PutBack writes entries that were set aside into the ledger. Only operators may do so. The errors are
// *ForbiddenError and *webhook.ValidationError.
func (s *Ledger) PutBack(ctx context.Context, c *Caller, what PutBack) (aside.Result, error) {
	if err := c.mustOperate(); err != nil {
		return aside.Result{}, err
	}
	invalid := &webhook.ValidationError{}
	switch numbers := what.Numbers.Value; {
	case what.All == what.Numbers.Given():
		invalid.Add("/numbers", "is needed, or all: true, and not both")
	case len(numbers) > maxPutBack:
		invalid.Add("/numbers", "has more than %d", maxPutBack)
	case what.Numbers.Given() && len(numbers) == 0:
		invalid.Add("/numbers", "is empty")
	}
	if err := invalid.OrNil(); err != nil {
		return aside.Result{}, err
	}
	if what.All {
		return s.Aside.PutAllBack(ctx, c.Actor(), PutBackTime)
	}
	return s.Aside.PutBack(ctx, c.Actor(), what.Numbers.Value, PutBackTime)
}
