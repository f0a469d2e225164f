package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

type signInBody struct {
	// Next is the page to go to after signing in.
	Next string
	// Notice says why the person has to sign in, and Problem why that failed.
	Notice, Problem string
	// Plain says that the browser will not keep the session: there is no TLS, and it is not this machine.
	Plain bool
}

func (c *console) signInPage(_ context.Context, v *visit) (reply, error) {
	body := signInBody{Next: safeNext(v.form.Get("next")), Plain: !daemon.Encrypted(v.r) && !loopback(v.r.Host)}
	switch v.form.Get("why") {
	case "ended":
		body.Notice = "Your session has ended, or its token was revoked or has expired. Sign in again."
	case "out":
		body.Notice = "You are signed out."
	case "half":
		body.Notice = "You are signed out in this browser. The database did not answer, so the session itself ends only when its time is over: revoke its token if somebody may have copied the cookie."
	}
	return page("sign-in", "Sign in", body), nil
}

// sendToSignIn redirects to the sign-in page, with the reason. A page that was requested by GET is shown afterwards.
func (c *console) sendToSignIn(v *visit) reply {
	q := url.Values{}
	if _, err := v.r.Cookie(cookieFor(v.r, cookieName)); err == nil {
		q.Set("why", "ended")
	}
	if next := v.r.URL.RequestURI(); v.r.Method == http.MethodGet && v.r.Header.Get("HX-Request") == "" && next != Root {
		q.Set("next", next)
	}
	answer := goTo(Root + "sign-in")
	if len(q) > 0 {
		answer.location += "?" + q.Encode()
	}
	answer.cookies = []*http.Cookie{dropped(v.r, cookieName)}
	return answer
}

// safeNext only accepts paths of the console.
func safeNext(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || !strings.HasPrefix(u.Path, Root) || strings.ContainsAny(next, "\\\r\n\t") {
		return ""
	}
	return next
}

func (c *console) signIn(ctx context.Context, v *visit) (reply, error) {
	plain := strings.TrimSpace(v.posted.Get("token"))
	next := safeNext(v.posted.Get("next"))
	refuse := func(problem string) (reply, error) {
		return page("sign-in", "Sign in", signInBody{Next: next, Problem: problem}).with(http.StatusUnprocessableEntity), nil
	}
	if plain == "" || len(plain) > usecase.MaxToken {
		return refuse("Enter a token.")
	}
	token, err := c.Cases.Access.Authenticate(ctx, daemon.ClientAddr(v.r), plain, false)
	var limited *usecase.LimitError
	switch {
	case errors.As(err, &limited):
		answer, err := refuse(limited.Detail)
		return answer.with(http.StatusTooManyRequests), err
	case errors.Is(err, webhook.ErrNotFound):
		return refuse("This is not a token that works: it is mistyped, or was revoked, or has expired.")
	case err != nil:
		return reply{}, err
	}
	id, err := uuid.NewRandom()
	if err != nil {
		return reply{}, err
	}
	s := session{ID: id, Token: token.ID, Expires: time.Now().Add(sessionLife)}
	if token.Tenant == "" {
		s.Tenant = webhook.DefaultTenant
	}
	cookie, err := c.sessionCookie(v.r, s)
	if err != nil {
		return reply{}, err
	}
	if next == "" {
		next = Root
	}
	answer := goTo(next)
	answer.cookies = []*http.Cookie{cookie}
	return answer, nil
}

// signOut ends the session in the browser and on the server, so that a copied cookie becomes useless.
func (c *console) signOut(ctx context.Context, v *visit) (reply, error) {
	answer := goTo(Root + "sign-in?why=out")
	answer.cookies = []*http.Cookie{dropped(v.r, cookieName)}
	s, ok := c.sessionOf(v.r)
	if !ok {
		return answer, nil
	}
	if err := c.Cases.Access.EndSession(ctx, s.ID, s.Expires); err != nil {
		c.Log.Warn("failed to end session", traceOf(v.r), zap.Error(err))
		answer.location = Root + "sign-in?why=half"
	}
	return answer, nil
}

// listTenants lets an operator choose a tenant.
func (c *console) listTenants(ctx context.Context, v *visit) (reply, error) {
	list, err := c.Cases.Access.Tenants(ctx, &v.Caller)
	if err != nil {
		return reply{}, err
	}
	return page("tenants", "Tenants", list), nil
}

// setHandshake changes a tenant's handshake policy.
func (c *console) setHandshake(ctx context.Context, v *visit) (reply, error) {
	name := v.posted.Get("tenant")
	there, err := c.Cases.Access.TenantExists(ctx, name)
	switch {
	case err != nil:
		return reply{}, err
	case !there:
		return reply{}, webhook.ErrNotFound
	}
	_, err = c.Cases.Access.CreateTenant(ctx, &v.Caller, name, usecase.Some(v.posted.Get("handshake")))
	switch {
	case errors.Is(err, webhook.ErrInvalid):
		return goTo(withDone(Root+"tenants/", "no-public-url")), nil
	case err != nil:
		return reply{}, err
	}
	return goTo(withDone(Root+"tenants/", "handshake")), nil
}

// setTenant sets the tenant that an operator's pages are about.
func (c *console) setTenant(ctx context.Context, v *visit) (reply, error) {
	if !v.Operator() {
		return reply{}, errForbidden
	}
	name := v.posted.Get("tenant")
	if webhook.ValidateTenant(name) != nil {
		return reply{}, webhook.ErrNotFound
	}
	there, err := c.Cases.Access.TenantExists(ctx, name)
	switch {
	case err != nil:
		return reply{}, err
	case !there:
		return reply{}, webhook.ErrNotFound
	}
	s := v.session
	s.Tenant = name
	cookie, err := c.sessionCookie(v.r, s)
	if err != nil {
		return reply{}, err
	}
	answer := goTo(Root)
	answer.cookies = []*http.Cookie{cookie}
	return answer, nil
}

// themes are the color schemes; the first follows the reader's system.
func themes() []string { return []string{"auto", "light", "dark"} }

func themeOf(r *http.Request) string {
	cookie, err := r.Cookie(cookieFor(r, themeCookie))
	if err != nil || !slices.Contains(themes(), cookie.Value) {
		return themes()[0]
	}
	return cookie.Value
}

func (c *console) setTheme(_ context.Context, v *visit) (reply, error) {
	theme := v.posted.Get("theme")
	if !slices.Contains(themes(), theme) {
		return reply{}, webhook.ErrNotFound
	}
	cookie := newCookie(v.r, themeCookie, theme) //nolint:gosec // secure but for this machine itself
	cookie.MaxAge = int(themeLife.Seconds())
	next := safeNext(v.posted.Get("next"))
	if next == "" {
		next = Root
	}
	answer := goTo(next)
	answer.cookies = []*http.Cookie{cookie}
	return answer, nil
}
