package console_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/console"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

func TestSigningInAndOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := &person{w: w}

	a := p.get(t, "/console/hooks/?search=x")
	require.Equal(t, http.StatusSeeOther, a.status)
	require.Equal(t, "/console/sign-in?next=%2Fconsole%2Fhooks%2F%3Fsearch%3Dx", a.header.Get("Location"))

	a = p.post(t, "/console/sign-in", "token", "wsp_WRONG", "next", "/console/hooks/")
	require.Equal(t, http.StatusUnprocessableEntity, a.status)
	require.Contains(t, a.text, "This is not a token that works")
	require.NotContains(t, a.text, "wsp_WRONG")
	require.Nil(t, p.cookie)

	a = p.post(t, "/console/sign-in", "token", w.operator, "next", "/console/hooks/?search=x")
	require.Equal(t, http.StatusSeeOther, a.status)
	require.Equal(t, "/console/hooks/?search=x", a.header.Get("Location"))
	require.Equal(t, "whisperer", p.cookie.Name, "on the loopback interface without TLS")
	require.False(t, p.cookie.Secure)
	require.True(t, p.cookie.HttpOnly)
	require.Equal(t, http.SameSiteLaxMode, p.cookie.SameSite)
	require.NotContains(t, p.cookie.Value, w.operator)
	require.InDelta(t, 12*time.Hour.Seconds(), p.cookie.MaxAge, 5)
	require.Equal(t, http.StatusOK, p.get(t, "/console/hooks/").status)

	copied := *p
	a = p.post(t, "/console/sign-out")
	require.Equal(t, http.StatusSeeOther, a.status)
	require.Nil(t, p.cookie)
	require.Equal(t, http.StatusSeeOther, copied.get(t, "/console/hooks/").status, "a copy of the cookie is worth nothing either")
	require.Contains(t, p.get(t, "/console/sign-in?why=out").text, "You are signed out")
}

func TestOverTLSTheCookieIsOfThisHostAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := &person{w: w}
	a := p.send(t, http.MethodPost, "/console/sign-in", formOf("token", w.operator), func(r *http.Request) {
		r.Host = "hooks.example.com"
	})
	require.Equal(t, http.StatusSeeOther, a.status)
	cookie := a.header.Get("Set-Cookie")
	require.True(t, strings.HasPrefix(cookie, "__Host-whisperer="), cookie)
	require.Contains(t, cookie, "; Secure")
	require.Contains(t, cookie, "; HttpOnly")
	require.Contains(t, cookie, "; Path=/")
	require.NotContains(t, cookie, "Domain")
	a = (&person{w: w}).send(t, http.MethodGet, "/console/sign-in", nil, func(r *http.Request) { r.Host = "hooks.example.com" })
	require.Contains(t, a.text, "without TLS")
}

func TestASessionEndsWithItsToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	plain, token, err := w.db.Access.CreateToken(t.Context(), "test", store.NewToken{Name: "short", Role: store.Viewer})
	require.NoError(t, err)
	p := w.signIn(t, plain)
	require.Equal(t, http.StatusOK, p.get(t, "/console/").status)
	require.NoError(t, w.db.Access.RevokeToken(t.Context(), "test", "", token.ID))
	a := p.get(t, "/console/")
	require.Equal(t, http.StatusSeeOther, a.status)
	require.Equal(t, "/console/sign-in?why=ended", a.header.Get("Location"))
	require.Contains(t, p.get(t, "/console/sign-in?why=ended").text, "Your session has ended")
}

func TestAnOpenTailEndsWithItsToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.event(t, "e-1", 1, "package.created", "", time.Minute)
	plain, made, err := w.db.Access.CreateToken(t.Context(), "test", store.NewToken{Name: "a", Role: store.Viewer, Tenant: webhook.DefaultTenant})
	require.NoError(t, err)
	p := w.signIn(t, plain)
	revoked := time.Time{}
	p.follow(t, "/console/events/", func(text string) bool {
		if revoked.IsZero() && strings.Contains(text, "retry") {
			require.NoError(t, w.db.Access.RevokeToken(t.Context(), "test", webhook.DefaultTenant, made.ID))
			revoked = time.Now()
		}
		return false
	})
	require.False(t, revoked.IsZero())
	t.Logf("ended %s after the token was revoked", time.Since(revoked))
	require.Equal(t, http.StatusNoContent, p.refused(t, "/console/events/"))
}

func TestTailsAreBoundedForEachToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	greedy, other := w.signIn(t, w.operator), w.signIn(t, w.db.MakeToken(t, store.NewToken{Name: "other", Role: store.Viewer}))
	open := func() int {
		answer, err := http.DefaultClient.Do(greedy.following(t.Context(), t, "/console/events/"))
		require.NoError(t, err)
		t.Cleanup(func() { _ = answer.Body.Close() })
		return answer.StatusCode
	}
	status := http.StatusOK
	for n := 0; status == http.StatusOK && n < 100; n++ { // connections that have reached their age make room
		status = open()
	}
	require.Equal(t, http.StatusTooManyRequests, status)
	require.Contains(t, other.follow(t, "/console/events/", func(text string) bool { return strings.Contains(text, "retry") }), "retry")
}

func TestOnlyOurCookiesOpenTheConsole(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := w.signIn(t, w.operator).cookie
	other, err := seal.ParseRing(seal.NewKey())
	require.NoError(t, err)
	stranger := newWorld(t, func(d *console.Deps) { d.Ring = other })
	foreign := stranger.signIn(t, stranger.operator).cookie
	for name, value := range map[string]string{
		"empty": "", "no text of ours": "x", "cut": good.Value[:len(good.Value)-2], "changed": changed(good.Value, 40),
		"sealed with another key": foreign.Value, "huge": strings.Repeat("a", 3000),
	} {
		p := &person{w: w, cookie: &http.Cookie{Name: good.Name, Value: value}}
		a := p.get(t, "/console/")
		require.Equal(t, http.StatusSeeOther, a.status, name)
	}
}

// changed returns the text with another character at one position.
func changed(s string, at int) string {
	other := "A"
	if s[at] == 'A' {
		other = "B"
	}
	return s[:at] + other + s[at+1:]
}

func TestAfterSigningInOnlyPlacesOfTheConsoleAreGoneTo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, next := range []string{
		"https://evil.example/console/", "//evil.example/console/", "/\\evil.example/console/", "javascript:alert(1)", "/whisperer/hooks/",
		"/console/\\..\\x", "/console/\r\nSet-Cookie: a=b", "console/",
	} {
		p := &person{w: w}
		a := p.post(t, "/console/sign-in", "token", w.operator, "next", next)
		require.Equal(t, "/console/", a.header.Get("Location"), next)
	}
}

func TestOtherSitesCanDoNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook(t, "north", "http://example.com/", "package.created")
	p := w.signIn(t, w.operator)
	for _, path := range []string{
		"sign-in", "sign-out", "theme", "tenants/", "hooks/", "hooks/status", "hooks/check", "hooks/" + h.ID.String() + "/",
		"hooks/" + h.ID.String() + "/status", "hooks/" + h.ID.String() + "/delete", "tokens/", "tokens/" + h.ID.String() + "/revoke",
		"deliveries/" + h.ID.String() + "/retry", "deliveries/retry", "hooks/test", "hooks/" + h.ID.String() + "/test",
		"hooks/" + h.ID.String() + "/replay", "hooks/" + h.ID.String() + "/rotate", "jobs/" + h.ID.String() + "/",
	} {
		for name, from := range map[string]func(*http.Request){
			"another site": func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
			"a subdomain":  func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
			"an old browser of another site": func(r *http.Request) {
				r.Header.Del("Sec-Fetch-Site")
				r.Header.Set("Origin", "https://evil.example")
			},
			"no origin to speak of": func(r *http.Request) {
				r.Header.Del("Sec-Fetch-Site")
				r.Header.Set("Origin", "null")
			},
		} {
			a := p.send(t, http.MethodPost, "/console/"+path, formOf("token", w.operator, "confirm", "north", "status", "pause"), from)
			require.Equal(t, http.StatusForbidden, a.status, "%s from %s", path, name)
			require.Empty(t, a.header.Get("Set-Cookie"))
		}
	}
	stored, err := w.db.Hooks.Get(t.Context(), "default", h.ID)
	require.NoError(t, err)
	require.Equal(t, h.Version, stored.Version)
}

func TestEveryAnswerHasTheSecurityHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.signIn(t, w.operator)
	for _, path := range []string{"/console/", "/console/sign-in", "/console/nowhere", "/console/static/app.js", "/console/hooks/new"} {
		a := p.get(t, path)
		policy := a.header.Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'"} {
			require.Contains(t, policy, part, path)
		}
		require.NotContains(t, policy, "unsafe", path)
		require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"), path)
		require.Empty(t, a.header.Get("Access-Control-Allow-Origin"), path)
		if !strings.Contains(path, "static") {
			require.Equal(t, "no-store", a.header.Get("Cache-Control"), path)
		}
	}
}

func TestAnOperatorChoosesTheTenant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.MakeTenant(t, "acme")
	w.hook(t, "north", "http://example.com/", "package.created")
	p := w.signIn(t, w.operator)
	require.Contains(t, p.get(t, "/console/hooks/").text, "north")
	require.Equal(t, http.StatusNotFound, p.post(t, "/console/tenants/", "tenant", "nobody").status)
	require.Equal(t, http.StatusSeeOther, p.post(t, "/console/tenants/", "tenant", "acme").status)
	page := p.get(t, "/console/hooks/").text
	require.NotContains(t, page, "north")
	require.Contains(t, page, "<strong>acme</strong>")

	mine := w.signIn(t, w.db.MakeToken(t, store.NewToken{Name: "a", Role: store.Admin, Tenant: "acme"}))
	require.Equal(t, http.StatusForbidden, mine.get(t, "/console/tenants/").status)
	require.Equal(t, http.StatusForbidden, mine.post(t, "/console/tenants/", "tenant", "default").status)
	require.Equal(t, http.StatusForbidden, mine.get(t, "/console/system/").status)
	require.NotContains(t, mine.get(t, "/console/").text, "/console/system/")
}

func TestThemes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.signIn(t, w.operator)
	require.Contains(t, p.get(t, "/console/").text, `data-theme="auto"`)
	a := p.post(t, "/console/theme", "theme", "dark", "next", "/console/hooks/")
	require.Equal(t, "/console/hooks/", a.header.Get("Location"))
	require.Contains(t, a.header.Get("Set-Cookie"), "whisperer_theme=dark")
	a = p.send(t, http.MethodGet, "/console/", nil, func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "whisperer_theme", Value: "dark"}) })
	require.Contains(t, a.text, `data-theme="dark"`)
	require.Equal(t, http.StatusNotFound, p.post(t, "/console/theme", "theme", `"><script>`).status)
}

func TestWithoutTheDatabaseThePageSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ring, err := seal.ParseRing(seal.NewKey())
	require.NoError(t, err)
	away, err := store.Open("postgres://127.0.0.1:1/x?sslmode=disable", 1, ring)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, away.Close()) })
	dead := newWorld(t, func(d *console.Deps) { d.Cases.Stores = usecase.NewStores(away, away) })
	const id = "0af7651916cd43dd8448eb211c80319c"
	a := (&person{w: dead}).send(t, http.MethodPost, "/console/sign-in", url.Values{"token": {w.operator}}, func(r *http.Request) {
		r.Header.Set("Traceparent", "00-"+id+"-b7ad6b7169203331-01")
	})
	require.Equal(t, http.StatusServiceUnavailable, a.status)
	require.Contains(t, a.text, "The database does not answer")
	require.NotEmpty(t, a.header.Get("Retry-After"))
	require.NotContains(t, a.text, "dial tcp")
	for _, message := range []string{"console request unavailable", "console request served"} {
		lines := dead.logs.FilterMessage(message).All()
		require.Len(t, lines, 1, message)
		require.Equal(t, id, lines[0].ContextMap()["trace_id"], message)
	}
}
