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
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
	"github.com/whisperer-oms/whisperer/services/internal/httpsig"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// DefaultHookQuota is how many hooks a tenant may have.
const DefaultHookQuota = 10_000

// storeTimeout bounds what a use case waits for PostgreSQL before it goes on with something that takes longer.
const storeTimeout = 1500 * time.Millisecond

// CreateTimeout is it for those who create hooks.
const CreateTimeout = 4 * storeTimeout

// Stores are where everything is kept. What happened can be read by whoever shows it; all else goes through the use cases.
type Stores struct {
	// History has events and what became of them, and Stats counts them, which may take long.
	History, Stats *store.HistoryStore

	access *store.AccessStore
	hooks  *store.HookStore
	ledger *store.LedgerStore
	jobs   *store.JobStore
	types  *store.TypeStore
	// erasures are counted, which may take long, too.
	erasures  *store.ErasureStore
	retention *store.RetentionStore
}

// NewStores are those of two databases, which may be one by two pools of connections: history is for what takes longer.
func NewStores(db, history *store.DB) Stores {
	return Stores{
		History: history.History, Stats: history.History, access: db.Access, hooks: db.Hooks, ledger: db.Ledger, jobs: history.Jobs, types: db.Types,
		erasures: history.Erasures, retention: history.Retention,
	}
}

// Deps are what the use cases work with. All are required but Keys, PublicURL, Guesses, Mask, HookQuota and Bus.
type Deps struct {
	Stores

	Sender *attempt.Sender
	Aside  *aside.Desk
	URLs   egress.Policy
	// Keys are those that sign HTTP Message Signatures, the sender's too; nil for none but those that are made here.
	Keys *httpsig.Ring
	// PublicURL is where receivers reach the API; empty where nobody says.
	PublicURL string
	// LookUps are each tenant's and token's shares of looking things up, and Searches those of doing so without an index.
	LookUps, Searches *daemon.Shares
	// Guesses slows down those who guess tokens; nil for nobody.
	Guesses *daemon.Guesses
	// Mask hides what is secret in URLs from viewers.
	Mask webhook.Mask
	// HookQuota is how many hooks a tenant may have; 0 for DefaultHookQuota.
	HookQuota int
	// Bus finds the connection to NATS, for those who listen to deliveries; nil where there never is one.
	Bus func() (*bus.Bus, error)
}

// Service has the use cases, cut by what they are about. There is one for the API and the console, so that what limits a tenant
// limits it in both.
type Service struct {
	*core

	Access     *Access
	Hooks      *Hooks
	Types      *Types
	Deliveries *Deliveries
	Jobs       *Jobs
	Erasures   *Erasures
	Signing    *Signing
	Ledger     *Ledger
}

type (
	// Access is who may do what, what they did, and the views of lists that they keep.
	Access struct{ *core }
	// Hooks are read, changed and tried out.
	Hooks struct{ *core }
	// Types are event types.
	Types struct{ *core }
	// Deliveries are what happened: events, their deliveries and attempts, also as they happen.
	Deliveries struct{ *core }
	// Jobs send deliveries again.
	Jobs struct{ *core }
	// Erasures take payloads away, now or when they are old.
	Erasures struct{ *core }
	// Signing has the keys of HTTP Message Signatures.
	Signing struct{ *core }
	// Ledger has what was set aside of it.
	Ledger struct{ *core }
)

// core is what use cases share.
type core struct {
	Deps

	tests, handshakes *daemon.Limits
	relays            *daemon.Shares
	uses              tokenUses
}

// New makes the use cases.
func New(d Deps) *Service {
	if d.HookQuota == 0 {
		d.HookQuota = DefaultHookQuota
	}
	if d.Keys == nil {
		d.Keys = &httpsig.Ring{}
	}
	c := &core{
		Deps: d, tests: daemon.NewLimits(testEvery, testBurst), handshakes: daemon.NewLimits(handshakeEvery, handshakeBurst),
		relays: daemon.NewShares(maxRelays, relayPatience, maxTenantRelays, maxTokenRelays),
	}
	return &Service{c, &Access{c}, &Hooks{c}, &Types{c}, &Deliveries{c}, &Jobs{c}, &Erasures{c}, &Signing{c}, &Ledger{c}}
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
func (s *core) MaskFor(c *Caller) webhook.Mask {
	if c.Token.Role.Covers(store.Editor) {
		return webhook.Mask{}
	}
	return s.Mask
}

// LookUp takes the share of looking things up that the caller's tenant and token have, until release is called. The errors are
// daemon.ErrShare and daemon.ErrBusy.
func (s *core) LookUp(ctx context.Context, c *Caller) (release func(), err error) {
	return s.LookUps.Take(ctx, c.Tenant, c.Token.ID.String())
}

// Get returns one of the tenant's hooks as far as it can be read: Hook.Unreadable says what is in the way. The error is
// webhook.ErrNotFound where there is no such hook.
func (s *Hooks) Get(ctx context.Context, c *Caller, id uuid.UUID) (webhook.Hook, error) {
	return store.IgnoreUnreadable(s.hooks.Get(ctx, c.Tenant, id))
}

// GetToEdit is Get for one that is to be changed: the error is *store.UnreadableError where it cannot be read.
func (s *Hooks) GetToEdit(ctx context.Context, c *Caller, id uuid.UUID) (webhook.Hook, error) {
	return s.hooks.Get(ctx, c.Tenant, id)
}

// List returns the tenant's hooks, newest first.
func (s *Hooks) List(ctx context.Context, c *Caller, f HookFilter, page Page) (list []webhook.Hook, more bool, err error) {
	return s.hooks.List(ctx, c.Tenant, f, page)
}

// ListSorted returns the tenant's hooks in an order.
func (s *Hooks) ListSorted(ctx context.Context, c *Caller, f HookFilter, order HookOrder, page HookPage) (list []SortedHook, more bool, err error) {
	return s.hooks.ListSorted(ctx, c.Tenant, f, order, page)
}

// Count returns how many hooks the tenant has that the filter finds.
func (s *Hooks) Count(ctx context.Context, c *Caller, f HookFilter) (int, error) {
	return s.hooks.Count(ctx, c.Tenant, f)
}

// Titles are some of the tenant's hooks with what people tell them apart by.
func (s *Hooks) Titles(ctx context.Context, c *Caller, ids []uuid.UUID) (map[uuid.UUID]webhook.Hook, error) {
	return s.hooks.Titles(ctx, c.Tenant, ids)
}

// KnownTypes are the event types that are known from the start, those by which Whisperer tells of itself, and the tenant's own.
func (s *core) KnownTypes(ctx context.Context, tenant string) ([]catalogue.Type, error) {
	declared, err := s.types.List(ctx, tenant)
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
