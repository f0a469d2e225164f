package usecase

import (
	"context"
	"errors"
	"net/netip"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// MaxToken is the longest text that can be a token, in bytes.
const MaxToken = 256

// Authenticate finds the token of a plain text that came from the address. The errors are webhook.ErrNotFound for a text that is no
// token which is good, and *LimitError after too many of these; a known text, which was good a moment ago, is never held up.
func (s *Service) Authenticate(ctx context.Context, from netip.Addr, plain string, known bool) (store.Token, error) {
	if !known {
		if wait := s.Guesses.Wait(from); wait > 0 {
			return store.Token{}, &LimitError{Wait: wait, Detail: "Too many tokens from here were none. Wait before you try another."}
		}
	}
	token, err := s.Access.Authenticate(ctx, plain)
	if errors.Is(err, webhook.ErrNotFound) {
		s.Guesses.Wrong(ctx, from)
	}
	return token, err
}

// CreateToken makes a token of the tenant that n names, or of the caller's where it names none, and returns it with its plain text,
// which is stored nowhere.
func (s *Service) CreateToken(ctx context.Context, c *Caller, n store.NewToken) (plain string, token store.Token, err error) {
	switch scope := c.Scope(); {
	case n.Tenant == "":
		n.Tenant = scope
	case scope != "" && n.Tenant != scope:
		return "", store.Token{}, &ForbiddenError{Detail: "Tokens of another tenant cannot be made with this token."}
	}
	return s.Access.CreateToken(ctx, c.Actor(), n)
}

// Tokens lists the tokens of the caller's scope, newest first.
func (s *Service) Tokens(ctx context.Context, c *Caller) ([]store.Token, error) {
	return s.Access.Tokens(ctx, c.Scope())
}

// RevokeToken has a token of the caller's scope refused from now on. The error is webhook.ErrNotFound.
func (s *Service) RevokeToken(ctx context.Context, c *Caller, id uuid.UUID) error {
	return s.Access.RevokeToken(ctx, c.Actor(), c.Scope(), id)
}

// ActorNames are the names of the bearers of a tenant's tokens, and of operators'.
func (s *Service) ActorNames(ctx context.Context, tenant string) (map[store.Actor]string, error) {
	tokens, err := s.Access.Tokens(ctx, "")
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
func (s *Service) Tenants(ctx context.Context, c *Caller) ([]store.Tenant, error) {
	if err := c.mustOperate(); err != nil {
		return nil, err
	}
	return s.Access.Tenants(ctx)
}

// CreateTenant makes a tenant, for operators, where there is none of the name. The errors are *ForbiddenError and
// *webhook.ValidationError.
func (s *Service) CreateTenant(ctx context.Context, c *Caller, name string) (created bool, err error) {
	if err := c.mustOperate(); err != nil {
		return false, err
	}
	return s.Access.EnsureTenant(ctx, c.Actor(), name)
}

func (c *Caller) mustOperate() error {
	if c.Operator() {
		return nil
	}
	return &ForbiddenError{Detail: "This is for operators' tokens."}
}

// AuditKinds are the kinds of things that changes are of.
func AuditKinds() []string {
	return []string{"hook", "delivery", "job", "token", "event_type", "tenant", "ledger_entry"}
}

// AuditLog lists the changes in the caller's scope, newest first.
func (s *Service) AuditLog(ctx context.Context, c *Caller, f store.AuditFilter, page store.Page) (list []store.AuditEntry, more bool, err error) {
	return s.Access.AuditLog(ctx, c.Scope(), f, page)
}
