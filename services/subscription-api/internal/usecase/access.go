package usecase

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// MaxToken is the maximum length of a token in bytes.
const MaxToken = 256

// Authenticate finds the token of a plain text that came from the address. It returns webhook.ErrNotFound if the text
// is not a valid token, and a *LimitError after too many of these. known says that the text was valid a moment ago;
// then it is never delayed.
func (s *Access) Authenticate(ctx context.Context, from netip.Addr, plain string, known bool) (store.Token, error) {
	if !known {
		if wait := s.Guesses.Wait(from); wait > 0 {
			return store.Token{}, &LimitError{Wait: wait, Detail: "Too many tokens from here were none. Wait before you try another."}
		}
	}
	token, err := s.access.Authenticate(ctx, plain)
	switch {
	case err == nil:
		s.uses.note(token.ID)
	case errors.Is(err, webhook.ErrNotFound):
		s.Guesses.Wrong(ctx, from)
	}
	return token, err
}

// SessionToken returns the token that a session was started with. It returns webhook.ErrNotFound if the session has
// ended, or the token is no longer valid.
func (s *Access) SessionToken(ctx context.Context, session, token uuid.UUID) (store.Token, error) {
	ended, err := s.access.SessionEnded(ctx, session)
	if err != nil {
		return store.Token{}, err
	}
	if ended {
		return store.Token{}, webhook.ErrNotFound
	}
	found, err := s.access.FindToken(ctx, token)
	if err == nil {
		s.uses.note(found.ID)
	}
	return found, err
}

// EndSession ends a session. The record of that is deleted once the session would have expired.
func (s *Access) EndSession(ctx context.Context, session uuid.UUID, expires time.Time) error {
	return s.access.EndSession(ctx, session, expires)
}

// TenantExists reports whether there is a tenant of the name.
func (s *Access) TenantExists(ctx context.Context, name string) (bool, error) {
	return s.access.TenantExists(ctx, name)
}

// CreateToken creates a token of the tenant that n names, or else of the caller's, and returns it with its plain
// text, which is stored nowhere.
func (s *Access) CreateToken(ctx context.Context, c *Caller, n store.NewToken) (plain string, token store.Token, err error) {
	switch scope := c.Scope(); {
	case n.Tenant == "":
		n.Tenant = scope
	case scope != "" && n.Tenant != scope:
		return "", store.Token{}, &ForbiddenError{Detail: "Tokens of another tenant cannot be made with this token."}
	}
	return s.access.CreateToken(ctx, c.Actor(), n)
}

// Tokens lists the tokens in the caller's scope, newest first.
func (s *Access) Tokens(ctx context.Context, c *Caller) ([]store.Token, error) {
	return s.access.ListTokens(ctx, c.Scope())
}

// RevokeToken revokes a token in the caller's scope. It returns webhook.ErrNotFound if there is none.
func (s *Access) RevokeToken(ctx context.Context, c *Caller, id uuid.UUID) error {
	return s.access.RevokeToken(ctx, c.Actor(), c.Scope(), id)
}

// ActorNames returns the names of a tenant's tokens and of operators' tokens, by actor.
func (s *Access) ActorNames(ctx context.Context, tenant string) (map[store.Actor]string, error) {
	tokens, err := s.access.ListTokens(ctx, "")
	if err != nil {
		return nil, err
	}
	names := map[store.Actor]string{}
	for _, t := range tokens {
		if t.Tenant == tenant || t.Tenant == "" {
			names[ActorOf(t.ID)] = t.Name
		}
	}
	return names, nil
}

// Tenants lists all tenants. It returns a *ForbiddenError unless the caller is an operator.
func (s *Access) Tenants(ctx context.Context, c *Caller) ([]store.Tenant, error) {
	if err := c.mustOperate(); err != nil {
		return nil, err
	}
	return s.access.ListTenants(ctx)
}

// CreateTenant creates a tenant unless one of the name exists, and sets its handshake policy if one is given. Only
// operators may do so. The errors are *ForbiddenError and *webhook.ValidationError.
func (s *Access) CreateTenant(ctx context.Context, c *Caller, name string, handshake Optional[string]) (created bool, err error) {
	if err := c.mustOperate(); err != nil {
		return false, err
	}
	invalid := &webhook.ValidationError{}
	policy := webhook.Handshake(strings.ToLower(handshake.Value))
	switch {
	case !handshake.Given():
	case !slices.Contains(webhook.Handshakes(), policy):
		invalid.Add("/handshake", "must be off, new_hosts or always")
	case policy != webhook.HandshakeOff && s.PublicURL == "":
		invalid.Add("/handshake", "needs WHISPERER_PUBLIC_URL, whose host receivers are asked for")
	}
	if err := invalid.OrNil(); err != nil {
		return false, err
	}
	if created, err = s.access.EnsureTenant(ctx, c.Actor(), name); err != nil || !handshake.Given() {
		return created, err
	}
	return created, s.access.SetHandshakePolicy(ctx, c.Actor(), name, policy)
}

func (c *Caller) mustOperate() error {
	if c.Operator() {
		return nil
	}
	return &ForbiddenError{Detail: "This is for operators' tokens."}
}

// AuditKinds lists the kinds of objects in the audit log.
func AuditKinds() []string {
	all := FiltersOf[api.AuditFilter]()
	return all[slices.IndexFunc(all, func(f Filter) bool { return f.Name == "kind" })].Words
}

// MaxActor is the maximum length of a text that names an actor, in bytes.
const MaxActor = 255

// Actors returns the actors that a text may refer to: the tokens of that name in the caller's scope, the token with
// that id, and the program of that name.
func (s *Access) Actors(ctx context.Context, c *Caller, text string) ([]store.Actor, error) {
	names, err := s.ActorNames(ctx, c.Scope())
	if err != nil {
		return nil, err
	}
	actors := []store.Actor{store.Actor(text)}
	if id, err := uuid.Parse(text); err == nil {
		actors = append(actors, ActorOf(id))
	}
	for actor, name := range names {
		if name == text {
			actors = append(actors, actor)
		}
	}
	return actors, nil
}

// AuditLog lists the audit entries in the caller's scope, newest first.
func (s *Access) AuditLog(ctx context.Context, c *Caller, f store.AuditFilter, page store.Page) (list []store.AuditEntry, more bool, err error) {
	return s.access.ListAudit(ctx, c.Scope(), f, page)
}
