package subscriptionapi_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/settings"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
	subscriptionapi "github.com/whisperer-oms/whisperer/services/subscription-api"
)

func TestOnlyTrustedProxiesSayWhoTheClientIsAndWhetherItUsedTLS(t *testing.T) {
	t.Parallel()
	db := testenv.OpenStore(t)
	token := db.MakeToken(t, store.NewToken{Name: "editor", Tenant: webhook.DefaultTenant, Role: store.Editor})
	for name, test := range map[string]struct {
		proxies, proto string
		https          bool
	}{
		"a client's own claim":          {"", "https", false},
		"a proxy elsewhere":             {"10.0.0.0/8", "https", false},
		"a proxy that is trusted":       {"127.0.0.1", "https", true},
		"a proxy without TLS":           {"127.0.0.1", "http", false},
		"a claim before the proxy":      {"127.0.0.1", "https, http", false},
		"a proxy before another":        {"127.0.0.1", "http,HTTPS", true},
		"a proxy that says nothing":     {"127.0.0.1", "", false},
		"a proxy that is one of a list": {"10.0.0.0/8, 127.0.0.0/8", "https", true},
	} {
		s, err := subscriptionapi.New(t.Context(), subscriptionapi.Config{
			Shared: settings.Shared{
				DatabaseURL: db.URL, NATSURL: "nats://127.0.0.1:1", MasterKey: seal.NewKey(), EgressPorts: "80", Replicas: 1,
			},
			Listen: "127.0.0.1:0", HealthListen: "127.0.0.1:0", TrustedProxies: test.proxies,
			HookQuota: 1000, MaxConnections: 1000, WrongTokens: 1000, MaxConnectionsPerAddress: 1000, ShutdownTimeout: 5 * time.Second,
		}, daemon.Process{Version: "test", Log: zap.NewNop()})
		require.NoError(t, err)
		stop, err := daemon.Start(t.Context(), zap.NewNop(), s.Components()...)
		require.NoError(t, err)
		claim := func(method, target, body string) (cookies []*http.Cookie, text string) {
			r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
			require.NoError(t, err)
			r.Header.Set("Authorization", "Token "+token)
			r.Header.Set("X-Forwarded-Host", "evil.example")
			r.Header.Set("Forwarded", "proto=https;host=evil.example")
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if strings.Contains(target, "/whisperer/") {
				r.Header.Set("Content-Type", "application/json")
			}
			if test.proto != "" {
				r.Header.Set("X-Forwarded-Proto", test.proto)
			}
			client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			answer, err := client.Do(r)
			require.NoError(t, err)
			defer answer.Body.Close()
			raw, err := io.ReadAll(answer.Body)
			require.NoError(t, err)
			return answer.Cookies(), string(raw)
		}
		base := "http://" + s.Addr()
		for _, path := range []string{"a", "b"} {
			// Only the first one succeeds, later ones are 409.
			claim(http.MethodPost, base+"/whisperer/hooks/", `{"event_type":"order.created","target_url":"http://example.com/`+path+`"}`)
		}
		scheme := "http://"
		if test.https {
			scheme = "https://"
		}
		_, list := claim(http.MethodGet, base+"/whisperer/hooks/?limit=1", "")
		require.Contains(t, list, `"next":"`+scheme+s.Addr()+`/`, name)
		require.NotContains(t, list, "evil", name)
		// Even on loopback, the cookie is restricted to TLS if the client used TLS.
		cookies, _ := claim(http.MethodPost, base+"/console/sign-in", url.Values{"token": {token}}.Encode())
		require.Len(t, cookies, 1, name)
		require.Equal(t, test.https, cookies[0].Secure, name)
		require.Equal(t, test.https, strings.HasPrefix(cookies[0].Name, "__Host-"), name)
		require.NoError(t, stop())
	}
}
