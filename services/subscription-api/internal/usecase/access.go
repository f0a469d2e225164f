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

// MaxToken is the longest text that can be a token, in bytes.
const MaxToken = 256

// Authenticate finds the token of a plain text that came from the address. The errors are webhook.ErrNotFound for a text that is no
// token which is good, and *LimitError after too many of these; a known text, which was good a moment ago, is never held up.
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

// SessionToken is the token that a session was begun with. The error is webhook.ErrNotFound where the session has ended, or the token
// is not good any more.
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

// EndSession ends a session, which is forgotten once it has expired.
func (s *Access) EndSession(ctx context.Context, session uuid.UUID, expires time.Time) error {
	return s.access.EndSession(ctx, session, expires)
}

// TenantExists reports whether there is a tenant of the name.
func (s *Access) TenantExists(ctx context.Context, name string) (bool, error) {
	return s.access.TenantExists(ctx, name)
}

// CreateToken makes a token of the tenant that n names, or of the caller's where it names none, and returns it with its plain text,
// which is stored nowhere.
func (s *Access) CreateToken(ctx context.Context, c *Caller, n store.NewToken) (plain string, token store.Token, err error) {
	switch scope := c.Scope(); {
	case n.Tenant == "":
		n.Tenant = scope
	case scope != "" && n.Tenant != scope:
		return "", store.Token{}, &ForbiddenError{Detail: "Tokens of another tenant cannot be made with this token."}
	}
	return s.access.CreateToken(ctx, c.Actor(), n)
}

// Tokens lists the tokens of the caller's scope, newest first.
func (s *Access) Tokens(ctx context.Context, c *Caller) ([]store.Token, error) {
	return s.access.ListTokens(ctx, c.Scope())
}

// RevokeToken has a token of the caller's scope refused from now on. The error is webhook.ErrNotFound.
func (s *Access) RevokeToken(ctx context.Context, c *Caller, id uuid.UUID) error {
	return s.access.RevokeToken(ctx, c.Actor(), c.Scope(), id)
}

// ActorNames are the names of the bearers of a tenant's tokens, and of operators'.
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

// Tenants lists all tenants, for operators: the error is *ForbiddenError for others.
func (s *Access) Tenants(ctx context.Context, c *Caller) ([]store.Tenant, error) {
	if err := c.mustOperate(); err != nil {
		return nil, err
	}
	return s.access.ListTenants(ctx)
}

// CreateTenant makes a tenant, for operators, where there is none of the name, and sets its handshake policy where that is given. The
// errors are *ForbiddenError and *webhook.ValidationError.
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

// AuditKinds are the kinds of things that changes are of.
func AuditKinds() []string {
	all := FiltersOf[api.AuditFilter]()
	return all[slices.IndexFunc(all, func(f Filter) bool { return f.Name == "kind" })].Words
}

// MaxActor is the longest text that can name an actor, in bytes.
const MaxActor = 255

// Actors are those that people mean by a text: the bearers of the tokens of that name in the caller's scope, that of the token with
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

// AuditLog lists the changes in the caller's scope, newest first.
func (s *Access) AuditLog(ctx context.Context, c *Caller, f store.AuditFilter, page store.Page) (list []store.AuditEntry, more bool, err error) {
	return s.access.ListAudit(ctx, c.Scope(), f, page)
}
