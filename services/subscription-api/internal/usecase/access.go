package usecase

import (
	"context"
	"errors"
	"net/netip"

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
