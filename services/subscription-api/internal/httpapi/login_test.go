package httpapi_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestWhatIsSecretInTheConfigIsKeptAndNeverShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ca := testenv.NewAuthority(t)
	cert, key := ca.IssuePEM(t, "client", time.Now().Add(time.Hour))
	security, err := json.Marshal(map[string]string{"client_certificate": cert, "client_key": key, "ca": ca.PEM})
	require.NoError(t, err)
	for name, auth := range map[string]string{
		"token":  `{"auth_type":"token","url":"https://example.com/login","username":"u","password":"canary","token_key":"token","header_format":"Token {token}"}`,
		"oauth2": `{"auth_type":"oauth2","token_url":"https://example.com/t","client_id":"c","client_secret":"canary","scopes":["a"],"params":{"p":"canary"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			hook := w.create(t, `{"event_type":"order.created","target_url":"https://example.com/`+name+`","config":{"mine":1,"tls":`+string(security)+`,"auth":`+auth+`}}`)
			read := w.call(t, http.MethodGet, path(hook), "")
			keyText, err := json.Marshal(key)
			require.NoError(t, err)
			require.NotContains(t, read.text, "canary")
			require.NotContains(t, read.text, strings.Trim(string(keyText), `"`))
			require.Equal(t, cert, at(t, read.json, "config", "tls", "client_certificate"))
			require.Equal(t, name, at(t, read.json, "config", "auth", "auth_type"))

			id := uuid.MustParse(hook["id"].(string))
			before, err := w.db.Hooks.Get(t.Context(), "default", id)
			require.NoError(t, err)
			changed := maps.Clone(read.json)
			changed["config"].(map[string]any)["mine"] = 2
			a := w.call(t, http.MethodPut, path(hook), encode(t, changed))
			require.Equal(t, http.StatusOK, a.status, a.text)
			after, err := w.db.Hooks.Get(t.Context(), "default", id)
			require.NoError(t, err)
			require.Equal(t, before.Config.Auth, after.Config.Auth)
			require.Equal(t, before.Config.TLS, after.Config.TLS)
			require.JSONEq(t, `{"mine":2}`, string(after.Config.Raw))

			log := w.call(t, http.MethodGet, "/whisperer/hooks/", "")
			require.NotContains(t, log.text, "canary")
		})
	}
}

func TestAPasswordDoesNotFollowItsLoginToAnotherURL(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const auth = `{"auth_type":"token","url":"https://example.com/login","username":"u"`
	hook := w.create(t, `{"event_type":"order.created","target_url":"https://example.com/","config":{"auth":`+auth+`,"password":"canary"}}}`)
	for _, changed := range []string{
		strings.Replace(auth, "example.com", "example.org", 1), auth + `,"password":""`, `{"auth_type":"basic","username":"u"`,
		auth + `,"token_key":"t"`, `{"auth_type":"oauth2","token_url":"https://example.com/t","client_id":"c","params":{"p":"***"}`,
	} {
		a := w.call(t, http.MethodPatch, path(hook), `{"config":{"auth":`+changed+`}}}`)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, a.text)
		require.Contains(t, []string{"/config/auth/password", "/config/auth/client_secret"}, a.pointers()[0])
	}
	stored, err := w.db.Hooks.Get(t.Context(), "default", uuid.MustParse(hook["id"].(string)))
	require.NoError(t, err)
	require.Equal(t, "canary", stored.Config.Auth.Password)
}

func TestSecretsDoNotFollowTheirHookToAnotherHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ca := testenv.NewAuthority(t)
	cert, key := ca.IssuePEM(t, "client", time.Now().Add(time.Hour))
	security, err := json.Marshal(map[string]string{"client_certificate": cert, "client_key": key})
	require.NoError(t, err)
	for name, auth := range map[string]string{
		"basic":  `{"auth_type":"basic","username":"u","password":"canary"}`,
		"oauth2": `{"auth_type":"oauth2","token_url":"https://login.example/t","client_id":"c","client_secret":"canary","params":{"p":"canary"}}`,
	} {
		secrets := `"api_key":"canary","additional_headers":{"X-Auth-Token":"canary","X-Shop":"1"},"config":{"auth":` + auth + `,"tls":` + string(security) + `}`
		hook := w.create(t, `{"event_type":"order.created","target_url":"https://example.com/`+name+`",`+secrets+`}`)
		missing := []string{"/api_key", "/additional_headers/X-Auth-Token", "/config/auth/password", "/config/tls/client_key"}
		if name == "oauth2" {
			missing = []string{"/api_key", "/additional_headers/X-Auth-Token", "/config/auth/client_secret", "/config/auth/params/p", "/config/tls/client_key"}
		}
		for _, elsewhere := range []string{
			"http://example.com/" + name, "https://example.org/" + name, "https://example.com:8443/" + name, "https://example.com.evil.example/", "https://u@example.org/",
		} {
			target := `"target_url":"` + elsewhere + `"`
			a := w.call(t, http.MethodPatch, path(hook), `{`+target+`}`)
			require.Equal(t, http.StatusUnprocessableEntity, a.status, a.text)
			require.Subset(t, a.pointers(), missing, elsewhere)
			a = w.call(t, http.MethodPost, path(hook)+"test/", `{"hook":{`+target+`}}`)
			require.Equal(t, http.StatusUnprocessableEntity, a.status, a.text)
			require.Subset(t, a.pointers(), below("/hook", missing), elsewhere)
		}
		read := w.call(t, http.MethodGet, path(hook), "").json
		read["target_url"] = "https://example.org/" + name
		delete(read, "additional_headers")
		a := w.call(t, http.MethodPut, path(hook), encode(t, read))
		require.Equal(t, http.StatusUnprocessableEntity, a.status, "what was read says no secret again")
		require.Subset(t, missing, a.pointers())
		require.Contains(t, a.pointers(), "/api_key")
		require.Contains(t, a.pointers(), "/config/tls/client_key")

		a = w.call(t, http.MethodPatch, path(hook), `{"target_url":"HTTPS://EXAMPLE.com:443/other/`+name+`"}`)
		require.Equal(t, http.StatusOK, a.status, "the same host: %s", a.text)
		a = w.call(t, http.MethodPatch, path(hook), `{"target_url":"https://example.org/`+name+`",`+secrets+`}`)
		require.Equal(t, http.StatusOK, a.status, a.text)
	}
}

// below prefixes pointers.
func below(prefix string, pointers []string) []string {
	list := make([]string, len(pointers))
	for i, p := range pointers {
		list[i] = prefix + p
	}
	return list
}

func TestLoginURLsAndTLSAreJudgedWhenAHookIsSaved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ca := testenv.NewAuthority(t)
	pinned, err := json.Marshal(map[string]string{"ca": ca.PEM})
	require.NoError(t, err)
	for config, pointer := range map[string]string{
		`{"auth":{"auth_type":"token","url":"http://127.0.0.1/login","username":"u"}}`:                "/config/auth/url",
		`{"auth":{"auth_type":"token","url":"file:///etc/passwd","username":"u"}}`:                    "/config/auth/url",
		`{"auth":{"auth_type":"oauth2","token_url":"http://169.254.169.254/latest","client_id":"c"}}`: "/config/auth/token_url",
		`{"auth":{"auth_type":"oauth2","token_url":"http://[::ffff:127.0.0.1]/","client_id":"c"}}`:    "/config/auth/token_url",
		`{"auth_type":"token","url":"http://localhost/","username":"u","password":"p"}`:               "/config/auth/url",
		`{"tls":` + string(pinned) + `}`: "/config/tls",
		`{"tls":{"ca":"x"}}`:             "/config/tls/ca",
		`{"content_fields":["id"]}`:      "/config/content_fields/0",
	} {
		a := w.call(t, http.MethodPost, hooks, `{"event_type":"order.created","target_url":"http://example.com/","config":`+config+`}`)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, a.text)
		require.Contains(t, a.pointers(), pointer)
	}
	list := w.call(t, http.MethodGet, hooks, "")
	require.Empty(t, list.json["results"])
}

func TestAnEd25519KeyIsMadeAndItsPublicHalfShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.create(t, `{"event_type":"order.created","target_url":"https://example.com/","secret_key":"old"}`)
	require.Nil(t, hook["public_key"])
	rotate := path(hook) + "secret/rotate/"
	require.Nil(t, w.call(t, http.MethodPost, rotate, `{"algorithm":"hmac-sha256"}`).json["public_key"])
	a := w.call(t, http.MethodPost, rotate, `{"algorithm":"ed25519"}`)
	require.Equal(t, http.StatusOK, a.status, a.text)
	require.Contains(t, a.json, "secret_key")
	require.Nil(t, a.json["secret_key"], "nobody needs the private key")
	stored, err := w.db.Hooks.Get(t.Context(), "default", uuid.MustParse(hook["id"].(string)))
	require.NoError(t, err)
	private, err := signature.ParseKey(stored.Secrets[0].Value)
	require.NoError(t, err)
	a = w.call(t, http.MethodPost, rotate, `{"secret_key":"`+stored.Secrets[0].Value+`"}`)
	require.NotContains(t, a.text, "whsk_")
	require.Equal(t, private.Public(), a.json["public_key"])
	read := w.call(t, http.MethodGet, path(hook), "")
	require.Equal(t, private.Public(), read.json["public_key"])
	require.NotContains(t, read.text, "whsk_")
	require.Equal(t, http.StatusOK, w.call(t, http.MethodPut, path(hook), encode(t, read.json)).status, "what was read can be written")

	for _, body := range []string{`{"algorithm":"rsa"}`, `{"algorithm":"ed25519","secret_key":"s"}`} {
		a := w.call(t, http.MethodPost, rotate, body)
		require.Equal(t, http.StatusUnprocessableEntity, a.status)
		require.Equal(t, []string{"/algorithm"}, a.pointers())
	}
}
