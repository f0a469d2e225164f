// Package usecase has the use cases of the API and the console. Their rules, limits and audit entries are implemented
// here, once for both; API and console only translate requests and responses.
//
// An invalid request is a *webhook.ValidationError with pointers into the API's JSON. The other errors are those of
// the stores, *LimitError and *ForbiddenError.
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

// DefaultHookQuota is how many hooks a tenant may have by default.
const DefaultHookQuota = 10_000

// storeTimeout bounds the wait for PostgreSQL before something that takes longer.
const storeTimeout = 1500 * time.Millisecond

// CreateTimeout bounds the creation of a hook in the database.
const CreateTimeout = 4 * storeTimeout

// Stores give access to everything that is stored. Callers may read history directly; everything else goes through
// the use cases.
type Stores struct {
	// History has events and their deliveries. Stats computes statistics about them, which may take long.
	History, Stats *store.HistoryStore

	access *store.AccessStore
	hooks  *store.HookStore
	ledger *store.LedgerStore
	jobs   *store.JobStore
	types  *store.TypeStore
	// erasures also count, which may take long.
	erasures  *store.ErasureStore
	retention *store.RetentionStore
}

// NewStores returns the stores. db and history may be the same database with separate connection pools; history is
// for slow queries.
func NewStores(db, history *store.DB) Stores {
	return Stores{
		History: history.History, Stats: history.History, access: db.Access, hooks: db.Hooks, ledger: db.Ledger, jobs: history.Jobs, types: db.Types,
		erasures: history.Erasures, retention: history.Retention,
	}
}

// Deps are the dependencies of the use cases. All are required except Keys, PublicURL, Guesses, Mask, HookQuota and
// Bus.
type Deps struct {
	Stores

	Sender *attempt.Sender
	Aside  *aside.Desk
	URLs   egress.Policy
	// Keys sign HTTP Message Signatures; the sender uses the same ring. nil means an empty ring.
	Keys *httpsig.Ring
	// PublicURL is where receivers reach the API; may be empty.
	PublicURL string
	// LookUps limits the look-ups of each tenant and token, and Searches those without an index.
	LookUps, Searches *daemon.Shares
	// Guesses slows down attackers who guess tokens; nil means no limit.
	Guesses *daemon.Guesses
	// Mask hides secrets in URLs from viewers.
	Mask webhook.Mask
	// HookQuota is how many hooks a tenant may have; 0 means DefaultHookQuota.
	HookQuota int
	// Bus finds the connection to NATS, for listening to deliveries; nil if there never is one.
	Bus func() (*bus.Bus, error)
}

// Service has the use cases, grouped by subject. The API and the console share one Service, so that a tenant's limits
// apply to both together.
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
	// Access is about who may do what, the audit log, and saved views of lists.
	Access struct{ *core }
	// Hooks reads, changes and tests hooks.
	Hooks struct{ *core }
	// Types is about event types.
	Types struct{ *core }
	// Deliveries is about history: events, their deliveries and attempts, also live.
	Deliveries struct{ *core }
	// Jobs replays deliveries.
	Jobs struct{ *core }
	// Erasures erases payloads, now or when their retention ends.
	Erasures struct{ *core }
	// Signing has the keys of HTTP Message Signatures.
	Signing struct{ *core }
	// Ledger has the entries that were set aside.
	Ledger struct{ *core }
)

// core is what the use cases share.
type core struct {
	Deps

	tests, handshakes *daemon.Limits
	relays            *daemon.Shares
	uses              tokenUses
}

// New returns the use cases.
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

// Caller is who makes a request, and for which tenant.
type Caller struct {
	Token store.Token
	// Tenant is the token's tenant, or the one that an operator chose, or the default one.
	Tenant string
	// Chosen says that the tenant was named rather than assumed.
	Chosen bool
}

// Operator reports whether the caller's token is valid for all tenants.
func (c *Caller) Operator() bool { return c.Token.Tenant == "" }

// Actor returns the caller's name in the audit log.
func (c *Caller) Actor() store.Actor { return ActorOf(c.Token.ID) }

// ActorOf returns the name of a token's bearer in the audit log.
func ActorOf(token uuid.UUID) store.Actor { return store.Actor("token " + token.String()) }

// Scope returns the tenant whose tokens and audit entries the caller manages; empty for those of all tenants and of
// none.
func (c *Caller) Scope() string {
	if c.Operator() && !c.Chosen {
		return ""
	}
	return c.Tenant
}

// MaskFor returns the mask for a caller; only viewers have secrets in URLs hidden.
func (s *core) MaskFor(c *Caller) webhook.Mask {
	if c.Token.Role.Covers(store.Editor) {
		return webhook.Mask{}
	}
	return s.Mask
}

// LookUp takes a look-up share of the caller's tenant and token, until release is called. The errors are
// daemon.ErrShare and daemon.ErrBusy.
func (s *core) LookUp(ctx context.Context, c *Caller) (release func(), err error) {
	return s.LookUps.Take(ctx, c.Tenant, c.Token.ID.String())
}

// Get returns one of the tenant's hooks as far as it can be read: Hook.Unreadable says what cannot. It returns
// webhook.ErrNotFound if there is no such hook.
func (s *Hooks) Get(ctx context.Context, c *Caller, id uuid.UUID) (webhook.Hook, error) {
	return store.IgnoreUnreadable(s.hooks.Get(ctx, c.Tenant, id))
}

// GetToEdit is like Get for a hook to be changed: it returns a *store.UnreadableError if the hook cannot be read
// completely.
func (s *Hooks) GetToEdit(ctx context.Context, c *Caller, id uuid.UUID) (webhook.Hook, error) {
	return s.hooks.Get(ctx, c.Tenant, id)
}

// List returns the tenant's hooks, newest first.
func (s *Hooks) List(ctx context.Context, c *Caller, f HookFilter, page Page) (list []webhook.Hook, more bool, err error) {
	return s.hooks.List(ctx, c.Tenant, f, page)
}

// ListSorted returns the tenant's hooks in the given order.
func (s *Hooks) ListSorted(ctx context.Context, c *Caller, f HookFilter, order HookOrder, page HookPage) (list []SortedHook, more bool, err error) {
	return s.hooks.ListSorted(ctx, c.Tenant, f, order, page)
}

// Count returns how many of the tenant's hooks match the filter.
func (s *Hooks) Count(ctx context.Context, c *Caller, f HookFilter) (int, error) {
	return s.hooks.Count(ctx, c.Tenant, f)
}

// Titles returns some of the tenant's hooks with only the fields by which people tell them apart.
func (s *Hooks) Titles(ctx context.Context, c *Caller, ids []uuid.UUID) (map[uuid.UUID]webhook.Hook, error) {
	return s.hooks.Titles(ctx, c.Tenant, ids)
}

// KnownTypes returns the built-in event types, those of Whisperer's events about itself, and the tenant's own.
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

// LimitError says that the caller has reached a limit for now.
type LimitError struct {
	// Wait is how long until the caller may try again.
	Wait time.Duration
	// Detail is one sentence for people.
	Detail string
}

// Error returns the detail.
func (e *LimitError) Error() string { return e.Detail }

// ForbiddenError says that the caller's token does not allow the operation.
type ForbiddenError struct {
	// Detail is one sentence for people.
	Detail string
}

// Error returns the detail.
func (e *ForbiddenError) Error() string { return e.Detail }

// storable reports whether the database supports a time.
func storable(t time.Time) bool {
	y := t.UTC().Year()
	return y >= 2000 && y <= 2200
}
