package attempt_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// guarded is a receiver with a login of its own, which accepts only the latest token.
type guarded struct {
	*httptest.Server

	logins  atomic.Int64
	refused atomic.Int64
	revoked atomic.Bool // the latest token is rejected

	mu     sync.Mutex
	login  func(w http.ResponseWriter, r *http.Request, n int64)
	asked  []string // bodies of the logins
	header string   // header that carries the token; "" means Authorization
	last   string
}

func newGuarded(t *testing.T, login func(w http.ResponseWriter, r *http.Request, n int64)) *guarded {
	t.Helper()
	g := &guarded{login: login, header: "Authorization"}
	mux := http.NewServeMux()
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		n := g.logins.Add(1)
		g.mu.Lock()
		defer g.mu.Unlock()
		body, _ := io.ReadAll(r.Body)
		g.asked = append(g.asked, r.Header.Get("Content-Type")+" "+r.Header.Get("Authorization")+" "+string(body))
		g.revoked.Store(false)
		g.last = fmt.Sprintf("canary-token-%d", n)
		g.login(w, r, n)
	})
	mux.HandleFunc("/in", func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		if g.last == "" || g.revoked.Load() || !strings.HasSuffix(r.Header.Get(g.header), " "+g.last) {
			g.refused.Add(1)
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	g.Server = httptest.NewServer(mux)
	t.Cleanup(g.Close)
	return g
}

func givesToken(w http.ResponseWriter, _ *http.Request, n int64) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"data":{"key":"canary-token-%d"},"access_token":"canary-token-%[1]d","token_type":"bearer","expires_in":3600}`, n)
}

func (g *guarded) due(t *testing.T, auth string) *webhook.Due {
	t.Helper()
	return due(t, g.URL+"/in", `{"timeout":2,"auth":{`+strings.ReplaceAll(auth, "URL", g.URL)+`}}`)
}

const (
	tokenAuth  = `"auth_type":"token","url":"URL/login","username":"u","password":"canary<&>","token_key":"/data/key","header_format":"Token {token}"`
	oauth2Auth = `"auth_type":"oauth2","token_url":"URL/login","client_id":"me","client_secret":"canary","scopes":["a","b"],"audience":"x","params":{"resource":"y"}`
)

func TestALoginIsMadeOnceAndItsTokenIsSent(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ auth, header, asked string }{
		"by password": {tokenAuth, "Authorization", `application/json  {"password":"canary<&>","username":"u"}`},
		"by password in a form": {
			tokenAuth + `,"login_format":"form"`, "Authorization", `application/x-www-form-urlencoded  password=canary%3C%26%3E&username=u`,
		},
		"by fields with names of the receiver's": {
			tokenAuth + `,"username_field":"email","password_field":"pin"`, "Authorization", `application/json  {"email":"u","pin":"canary<&>"}`,
		},
		"by fields with names of the receiver's in a form": {
			tokenAuth + `,"login_format":"form","username_field":"email"`, "Authorization",
			`application/x-www-form-urlencoded  email=u&password=canary%3C%26%3E`,
		},
		"into a header of its own": {
			tokenAuth + `,"header_name":"x-auth-token"`, "X-Auth-Token", `application/json  {"password":"canary<&>","username":"u"}`,
		},
		"by OAuth 2.0": {
			oauth2Auth, "Authorization",
			`application/x-www-form-urlencoded Basic bWU6Y2FuYXJ5 audience=x&grant_type=client_credentials&resource=y&scope=a+b`,
		},
		"by OAuth 2.0 with the client in the body": {
			oauth2Auth + `,"auth_style":"params"`, "Authorization",
			`application/x-www-form-urlencoded  audience=x&client_id=me&client_secret=canary&grant_type=client_credentials&resource=y&scope=a+b`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t, givesToken)
			g.header = test.header
			s, d := newSender(t, "127.0.0.1"), g.due(t, test.auth)
			var sending sync.WaitGroup
			for range 8 {
				sending.Go(func() {
					a, result, _ := s.Send(t.Context(), d, envelope.NewBodies(d.Event))
					if !result.Success() {
						t.Error(a.GetError())
					}
				})
			}
			sending.Wait()
			require.EqualValues(t, 1, g.logins.Load())
			require.Equal(t, test.asked, g.asked[0])
			a, _ := send(t, s, d)
			require.Equal(t, "[hidden]", recorded(a, test.header))
			require.NotContains(t, a.String(), "canary")
		})
	}
}

func TestATokenThatIsNotTakenAnyMoreIsRenewedWithinTheAttempt(t *testing.T) {
	t.Parallel()
	for name, auth := range map[string]string{"by password": tokenAuth, "by OAuth 2.0": oauth2Auth} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t, givesToken)
			s, d := newSender(t, "127.0.0.1"), g.due(t, auth)
			_, result := send(t, s, d)
			require.True(t, result.Success())
			g.revoked.Store(true)
			a, result := send(t, s, d)
			require.True(t, result.Success())
			require.EqualValues(t, 1, g.refused.Load())
			require.EqualValues(t, 2, g.logins.Load())
			require.EqualValues(t, 1, a.GetNumber())
		})
	}
}

func TestAReceiverThatTakesNoTokenIsAskedOnceMoreAndNotForEver(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, givesToken)
	g.header = "X-Nobody-Sends-This"
	s, d := newSender(t, "127.0.0.1"), g.due(t, tokenAuth)
	_, result := send(t, s, d)
	require.Equal(t, webhook.Result{Status: 401, Class: webhook.ClassStatus}, result)
	require.EqualValues(t, 1, g.refused.Load(), "the token was new")
	_, result = send(t, s, d)
	require.Equal(t, 401, result.Status)
	require.EqualValues(t, 2, g.logins.Load(), "a token that was refused is not used again")
}

func TestATokenEndsWhenItsAnswerSaysSo(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, func(w http.ResponseWriter, _ *http.Request, n int64) {
		fmt.Fprintf(w, `{"token":"canary-token-%d","expires_in":%d}`, n, 1+3600*(n-1))
	})
	s, d := newSender(t, "127.0.0.1"), g.due(t, `"auth_type":"token","url":"URL/login","username":"u"`)
	send(t, s, d)
	require.Eventually(t, func() bool {
		_, result := send(t, s, d)
		return result.Success() && g.logins.Load() == 2
	}, time.Minute, 50*time.Millisecond)
	send(t, s, d)
	require.EqualValues(t, 2, g.logins.Load())
	require.Zero(t, g.refused.Load())
}

func TestTheLifeOfATokenIsReadInEveryForm(t *testing.T) {
	t.Parallel()
	for said, long := range map[string]bool{
		`,"expires_in":3600`: true, `,"expires_in":"3600"`: true, `,"expires_in":3600.0`: true, `,"expires_in":" 3600 "`: true, `,"expires_in":3.6e3`: true,
		`,"expires_in":1e300`: true, ``: true, `,"expires_in":0`: true, `,"expires_in":-1`: true, `,"expires_in":"0"`: true, `,"expires_in":null`: true,
		`,"expires_in":""`: true, `,"expires_in":"soon"`: true, `,"expires_in":"NaN"`: true, `,"expires_in":{}`: true, `,"expires_in":[1]`: true, `,"expires_in":true`: true,
		`,"expires_in":1`: false, `,"expires_in":"1"`: false, `,"expires_in":1.5`: false,
	} {
		for kind, auth := range map[string]string{"token": `"auth_type":"token","url":"URL/login","username":"u"`, "oauth2": oauth2Auth} {
			t.Run(kind+" "+said, func(t *testing.T) {
				t.Parallel()
				g := newGuarded(t, func(w http.ResponseWriter, _ *http.Request, n int64) {
					w.Header().Set("Content-Type", "application/json")
					fmt.Fprintf(w, `{"token":"canary-token-%d","access_token":"canary-token-%[1]d","token_type":"bearer"%s}`, n, said)
				})
				s, d := newSender(t, "127.0.0.1"), g.due(t, auth)
				first, result := send(t, s, d)
				require.True(t, result.Success(), first.GetError())
				if long {
					_, result = send(t, s, d)
					require.True(t, result.Success())
					require.EqualValues(t, 1, g.logins.Load())
					return
				}
				require.Eventually(t, func() bool {
					_, result := send(t, s, d)
					return result.Success() && g.logins.Load() == 2
				}, time.Minute, 50*time.Millisecond)
			})
		}
	}
}

func TestALoginGoesOnUntilItsHookLogsInOtherwise(t *testing.T) {
	t.Parallel()
	g := newGuarded(t, givesToken)
	s, d := newSender(t, "127.0.0.1"), g.due(t, tokenAuth)
	send(t, s, d)
	renamed := *d.Hook
	renamed.Name, d.Hook = "another name", &renamed
	send(t, s, d)
	require.EqualValues(t, 1, g.logins.Load(), "another name is no reason")
	other := *d.Hook
	auth := *other.Config.Auth
	auth.Password = "changed"
	other.Config.Auth, d.Hook = &auth, &other
	_, result := send(t, s, d)
	require.True(t, result.Success())
	require.EqualValues(t, 2, g.logins.Load())
	require.Contains(t, g.asked[1], "changed")
	_, err := s.Test(t.Context(), d.Hook, d.Event)
	require.NoError(t, err)
	require.EqualValues(t, 3, g.logins.Load(), "a test tries the login, too")
}

func TestALoginThatFailsIsAFailureOfItsOwn(t *testing.T) {
	t.Parallel()
	answers := func(status int, body string) func(http.ResponseWriter, *http.Request, int64) {
		return func(w http.ResponseWriter, _ *http.Request, _ int64) {
			w.Header().Set("Location", "/elsewhere")
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			io.WriteString(w, body)
		}
	}
	hangs := func(_ http.ResponseWriter, r *http.Request, _ int64) { <-r.Context().Done() }
	for name, test := range map[string]struct {
		auth  string
		login func(http.ResponseWriter, *http.Request, int64)
		says  string
	}{
		"wrong password":                {tokenAuth, answers(403, `canary`), "403"},
		"no token":                      {tokenAuth, answers(200, `{"token":"canary"}`), "token_key"},
		"no JSON":                       {tokenAuth, answers(200, `<canary>`), "token_key"},
		"a redirect":                    {tokenAuth, answers(302, ``), "redirect"},
		"no answer":                     {tokenAuth, hangs, "time"},
		"a private address":             {strings.Replace(tokenAuth, "URL/login", "http://10.0.0.1/", 1), givesToken, "URL"},
		"nobody there":                  {strings.Replace(tokenAuth, "URL/login", "http://127.0.0.1:1/", 1), givesToken, "connection"},
		"wrong client":                  {oauth2Auth, answers(401, `{"error":"invalid_client","error_description":"canary"}`), "401, invalid_client"},
		"an unknown error":              {oauth2Auth, answers(400, `{"error":"canary"}`), "answered 400"},
		"no token from OAuth":           {oauth2Auth, answers(200, `{"token_type":"canary"}`), "no usable token"},
		"a token with a line feed":      {oauth2Auth, answers(200, `{"access_token":"canary\nX: y"}`), "no header"},
		"no answer from OAuth":          {oauth2Auth, hangs, "time"},
		"a redirect from OAuth":         {oauth2Auth, answers(307, ``), "307"},
		"a private address for OAuth":   {strings.Replace(oauth2Auth, "URL/login", "http://169.254.169.254/", 1), givesToken, "token endpoint failed"},
		"a token endpoint that is away": {strings.Replace(oauth2Auth, "URL/login", "http://127.0.0.1:1/", 1), givesToken, "connection"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGuarded(t, test.login)
			d := g.due(t, test.auth)
			if name == "no answer from OAuth" {
				d.Hook.Config.Timeout = time.Second
			}
			started := time.Now()
			a, result := send(t, newSender(t, "127.0.0.1"), d)
			require.Equal(t, webhook.Result{Class: webhook.ClassAuth}, result)
			require.Equal(t, "auth_failed", a.GetErrorClass())
			require.Contains(t, a.GetError(), test.says)
			require.NotContains(t, a.String(), "canary")
			require.Zero(t, g.refused.Load(), "nothing is sent without a token")
			require.Zero(t, a.GetRequestSize())
			require.Less(t, time.Since(started), webhook.DefaultTimeout)
		})
	}
}

func TestOnlyWantedFieldsAreSentAndSigned(t *testing.T) {
	t.Parallel()
	url, requests := receiver(t, 200)
	s := newSender(t, "127.0.0.1")
	d := due(t, url, `{"content_fields":["/id"],"format":"raw"}`)
	d.Event.Data = json.RawMessage(`{"secret":"x","id": 1.0,"z":[]}`)
	d.Hook.Secrets = []webhook.Secret{{Value: newSecret}}
	bodies := envelope.NewBodies(d.Event)
	s.Send(t.Context(), d, bodies)
	all := *d.Hook
	all.Config.ContentFields = nil
	whole := *d
	whole.Hook = &all
	s.Send(t.Context(), &whole, bodies)
	require.Equal(t, `{"id":1.0}`, (<-requests).body)
	require.Equal(t, string(d.Event.Data), (<-requests).body)
}
