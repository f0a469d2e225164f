// Package usecase is what the API and the console do for whoever asks. Rules, limits and audit entries of it stand here once,
// whichever of the two a request came by; they translate requests and answers and decide nothing.
//
// What is wrong with a request is a *webhook.ValidationError, whose pointers are those of the API's JSON. The other errors are
// those of the stores, *LimitError and *ForbiddenError.
package usecase

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/aside"
	"github.com/whisperer-oms/whisperer/services/internal/attempt"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// DefaultHookQuota is how many hooks a tenant may have.
const DefaultHookQuota = 10_000

// storeTimeout bounds what a use case waits for PostgreSQL before it goes on with something that takes longer.
const storeTimeout = 1500 * time.Millisecond

// Stores are where everything is kept, by what it is. Each may have connections of its own.
type Stores struct {
	// Access has tokens, tenants, sessions and the audit log.
	Access *store.AccessStore
	// Hooks has hooks and event types.
	Hooks *store.HookStore
	// History has events and what became of them.
	History *store.HistoryStore
	// Stats counts what History has, which may take long.
	Stats *store.HistoryStore
	// Jobs has replays.
	Jobs *store.JobStore
}

// Deps are what the use cases work with. All are required but Guesses, Mask and HookQuota.
type Deps struct {
	Stores

	Sender *attempt.Sender
	Aside  *aside.Desk
	URLs   egress.Policy
	// LookUps are each tenant's and token's shares of looking things up, and Searches those of doing so without an index.
	LookUps, Searches *daemon.Shares
	// Guesses slows down those who guess tokens; nil for nobody.
	Guesses *daemon.Guesses
	// Mask hides what is secret in URLs from viewers.
	Mask webhook.Mask
	// HookQuota is how many hooks a tenant may have; 0 for DefaultHookQuota.
	HookQuota int
}

// Service has the use cases. There is one for the API and the console, so that what limits a tenant limits it in both.
type Service struct {
	Deps

	tests *daemon.Limits
}

// New makes the use cases.
func New(d Deps) *Service {
	if d.HookQuota == 0 {
		d.HookQuota = DefaultHookQuota
	}
	return &Service{Deps: d, tests: daemon.NewLimits(testEvery, testBurst)}
}

// Caller is who asks, and for which tenant.
type Caller struct {
	Token store.Token
	// Tenant is the token's, or the one that an operator chose, or the default one.
	Tenant string
	// Chosen says that the tenant was named, not assumed.
	Chosen bool
}

// Operator reports whether the caller's token is good for all tenants.
func (c *Caller) Operator() bool { return c.Token.Tenant == "" }

// Actor is the caller's name in the audit log.
func (c *Caller) Actor() store.Actor { return ActorOf(c.Token.ID) }

// ActorOf is the name of a token's bearer in the audit log.
func ActorOf(token uuid.UUID) store.Actor { return store.Actor("token " + token.String()) }

// Scope is the tenant whose tokens and audit entries the caller deals with; empty for those of all tenants and of none.
func (c *Caller) Scope() string {
	if c.Operator() && !c.Chosen {
		return ""
	}
	return c.Tenant
}

// MaskFor hides what is secret in URLs from a caller who only reads.
func (s *Service) MaskFor(c *Caller) webhook.Mask {
	if c.Token.Role.Covers(store.Editor) {
		return webhook.Mask{}
	}
	return s.Mask
}

// LookUp takes the share of looking things up that the caller's tenant and token have, until release is called. The errors are
// daemon.ErrShare and daemon.ErrBusy.
func (s *Service) LookUp(ctx context.Context, c *Caller) (release func(), err error) {
	return s.LookUps.Take(ctx, c.Tenant, c.Token.ID.String())
}

// Hook returns one of the tenant's hooks as far as it can be read: Hook.Unreadable says what is in the way. The error is
// webhook.ErrNotFound where there is no such hook.
func (s *Service) Hook(ctx context.Context, c *Caller, id uuid.UUID) (webhook.Hook, error) {
	return store.AsFarAsReadable(s.Hooks.Hook(ctx, c.Tenant, id))
}

// KnownTypes are the event types that are known from the start, those by which Whisperer tells of itself, and the tenant's own.
func (s *Service) KnownTypes(ctx context.Context, tenant string) ([]catalogue.Type, error) {
	declared, err := s.Hooks.EventTypes(ctx, tenant)
	if err != nil {
		return nil, err
	}
	types := append(catalogue.All(), catalogue.Operational()...)
	for _, t := range declared {
		types = append(types, catalogue.Type{Name: t.Name, Description: t.Description, Schema: t.Schema, Example: t.Example})
	}
	return types, nil
}

// LimitError says that the caller has done something as often as it may be done for now.
type LimitError struct {
	// Wait is how long until it may be done again.
	Wait time.Duration
	// Detail is one sentence for people.
	Detail string
}

// Error returns the detail.
func (e *LimitError) Error() string { return e.Detail }

// ForbiddenError says that the caller's token does not allow it.
type ForbiddenError struct {
	// Detail is one sentence for people.
	Detail string
}

// Error returns the detail.
func (e *ForbiddenError) Error() string { return e.Detail }

// storable reports whether the database can mean something by a time.
func storable(t time.Time) bool {
	y := t.UTC().Year()
	return y >= 2000 && y <= 2200
}
