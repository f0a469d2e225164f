package httpapi

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// tenantHeader is the header with which an operator selects a tenant.
const tenantHeader = "X-Whisperer-Tenant"

// guard authenticates requests. It caches tokens and tenants for cacheFor, so a revoked token stays valid for at most
// that long.
type guard struct {
	cases *usecase.Service
	now   func() time.Time

	mu      sync.Mutex
	tokens  map[[sha256.Size]byte]remembered
	tenants map[string]time.Time // until when it is known to exist
}

type remembered struct {
	token usecase.Token
	until time.Time
}

const (
	cacheFor  = 3 * time.Second
	cacheSize = 10_000
)

func newGuard(cases *usecase.Service) *guard {
	return &guard{cases: cases, now: time.Now, tokens: map[[sha256.Size]byte]remembered{}, tenants: map[string]time.Time{}}
}

// admit returns the caller. Every failure is the same 401.
func (g *guard) admit(r *http.Request) (usecase.Caller, error) {
	plain, err := bearer(r.Header)
	if err != nil {
		return usecase.Caller{}, err
	}
	token, err := g.token(r, plain)
	switch {
	case errors.Is(err, webhook.ErrNotFound):
		return usecase.Caller{}, unauthorized()
	case err != nil:
		return usecase.Caller{}, err
	}
	return g.forTenant(r.Context(), token, r.Header)
}

func unauthorized() *Problem {
	return newProblem(http.StatusUnauthorized, "A valid token is needed: send the header Authorization: Token <token>.").
		with("WWW-Authenticate", `Token realm="whisperer", Bearer realm="whisperer"`)
}

func bearer(header http.Header) (string, error) {
	values := header.Values("Authorization")
	if len(values) > 1 {
		return "", newProblem(http.StatusBadRequest, "There is more than one Authorization header.")
	}
	scheme, plain, ok := strings.Cut(header.Get("Authorization"), " ")
	plain = strings.TrimSpace(plain)
	known := strings.EqualFold(scheme, "Token") || strings.EqualFold(scheme, "Bearer")
	if !ok || !known || plain == "" || len(plain) > usecase.MaxToken {
		return "", unauthorized()
	}
	return plain, nil
}

// token looks up the token. A token that was valid a while ago never counts as a guess, so that a caller can go on
// who shares an address with somebody who guesses.
func (g *guard) token(r *http.Request, plain string) (usecase.Token, error) {
	key := sha256.Sum256([]byte(plain))
	now := g.now()
	g.mu.Lock()
	hit, ok := g.tokens[key]
	g.mu.Unlock()
	if ok && now.Before(hit.until) {
		return hit.token, nil
	}
	token, err := daemon.Within(r.Context(), storeTimeout, func(ctx context.Context) (usecase.Token, error) {
		return g.cases.Access.Authenticate(ctx, daemon.ClientAddr(r), plain, ok)
	})
	if err != nil {
		return usecase.Token{}, err
	}
	until := now.Add(cacheFor)
	if !token.ExpiresAt.IsZero() && token.ExpiresAt.Before(until) {
		until = token.ExpiresAt
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.tokens) >= cacheSize {
		clear(g.tokens)
	}
	g.tokens[key] = remembered{token: token, until: until}
	return token, nil
}

// forTenant determines the tenant of the request.
func (g *guard) forTenant(ctx context.Context, token usecase.Token, header http.Header) (usecase.Caller, error) {
	named := header.Get(tenantHeader)
	switch {
	case token.Tenant != "" && named != "" && named != token.Tenant:
		return usecase.Caller{}, newProblem(http.StatusForbidden, "The token is not good for the tenant that "+tenantHeader+" names.")
	case token.Tenant != "":
		return usecase.Caller{Token: token, Tenant: token.Tenant, Chosen: true}, nil
	case named == "":
		return usecase.Caller{Token: token, Tenant: webhook.DefaultTenant}, nil
	case webhook.ValidateTenant(named) != nil:
		return usecase.Caller{}, badParameter(tenantHeader, "is not the name of a tenant")
	}
	if err := g.tenantExists(ctx, named); err != nil {
		return usecase.Caller{}, err
	}
	return usecase.Caller{Token: token, Tenant: named, Chosen: true}, nil
}

func (g *guard) tenantExists(ctx context.Context, name string) error {
	now := g.now()
	g.mu.Lock()
	known := now.Before(g.tenants[name])
	g.mu.Unlock()
	if known {
		return nil
	}
	there, err := daemon.Within(ctx, storeTimeout, func(ctx context.Context) (bool, error) {
		return g.cases.Access.TenantExists(ctx, name)
	})
	switch {
	case err != nil:
		return err
	case !there:
		return badParameter(tenantHeader, "names a tenant that does not exist")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.tenants) >= cacheSize {
		clear(g.tenants)
	}
	g.tenants[name] = now.Add(cacheFor)
	return nil
}
