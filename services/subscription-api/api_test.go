package subscriptionapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/settings"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
	subscriptionapi "github.com/whisperer-oms/whisperer/services/subscription-api"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// start runs the API until the test ends. It returns the API's address, an operator's token, and the health address.
func start(t *testing.T, nats string) (addr, token, health string) {
	t.Helper()
	key := seal.NewKey()
	config := subscriptionapi.Config{
		Shared: settings.Shared{
			DatabaseURL: testenv.Postgres(t), NATSURL: nats, MasterKey: key, EgressPorts: "80,443", Replicas: 1, OMSMaxBytes: 64 << 20,
		},
		Listen: "127.0.0.1:0", HealthListen: "127.0.0.1:0",
		HookQuota: 10, MaxConnections: 100, WrongTokens: 1_000_000, MaxConnectionsPerAddress: 100, ShutdownTimeout: 5 * time.Second,
	}
	require.NoError(t, config.Validate())
	ring, err := seal.ParseRing(key)
	require.NoError(t, err)
	db, err := store.Open(config.DatabaseURL, 1, ring)
	require.NoError(t, err)
	defer db.Close()
	token, _, err = db.Access.CreateToken(t.Context(), "test", store.NewToken{Name: "t", Role: store.Admin})
	require.NoError(t, err)

	s, err := subscriptionapi.New(t.Context(), config, daemon.Process{Version: "test", Log: zap.NewNop()})
	require.NoError(t, err)
	stop, err := daemon.Start(t.Context(), zap.NewNop(), s.Components()...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stop()) })
	return s.Addr(), token, s.HealthAddr()
}

// answer is a response.
type answer struct {
	status int
	body   string
}

func request(t *testing.T, method, url, token, body string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Token "+token)
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return answer{status: response.StatusCode, body: string(text)}
}

func TestTheServiceManagesHooksAndPublishes(t *testing.T) {
	t.Parallel()
	addr, token, health := start(t, testenv.NATS(t))
	require.Eventually(t, func() bool {
		return request(t, http.MethodGet, "http://"+health+"/readyz", "", "").status == http.StatusOK
	}, time.Minute, 20*time.Millisecond)
	a := request(t, http.MethodPost, "http://"+addr+"/whisperer/hooks/", token, `{"event_type":"package-created","target_url":"http://example.com/","secret_key":"secret"}`)
	require.Equal(t, http.StatusCreated, a.status)
	a = request(t, http.MethodPost, "http://"+addr+"/whisperer/events/", token, `{"event_type":"package-created","data":{"id":61}}`)
	require.Equal(t, http.StatusAccepted, a.status)
	metrics := request(t, http.MethodGet, "http://"+health+"/metrics", "", "").body
	require.Contains(t, metrics, `whisperer_api_requests_total{method="POST",route="/whisperer/hooks/",status="201"} 1`)
	require.Contains(t, metrics, "whisperer_api_nats_up 1")
}

func TestWithoutNATSHooksCanBeManaged(t *testing.T) {
	t.Parallel()
	addr, token, health := start(t, "nats://127.0.0.1:1") // nothing listens there
	require.Eventually(t, func() bool {
		body := request(t, http.MethodGet, "http://"+health+"/readyz", "", "").body
		var state struct {
			Reason string
			Checks map[string]struct{ OK bool }
		}
		return json.Unmarshal([]byte(body), &state) == nil && state.Reason == "" && state.Checks["postgres"].OK && !state.Checks["nats"].OK
	}, time.Minute, 20*time.Millisecond)
	require.Equal(t, http.StatusOK, request(t, http.MethodGet, "http://"+addr+"/whisperer/hooks/", token, "").status)
	a := request(t, http.MethodPost, "http://"+addr+"/whisperer/events/", token, `{"event_type":"package-created","data":1}`)
	require.Equal(t, http.StatusServiceUnavailable, a.status)
}

// exchange writes raw bytes and returns the status line of the response, or the error.
func exchange(t *testing.T, addr, raw string) (string, error) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(time.Minute)))
	_, _ = conn.Write([]byte(raw)) // the server may have closed the connection already
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line), err
}

func TestRequestsThatAreNoneAreRefused(t *testing.T) {
	t.Parallel()
	addr, token, _ := start(t, "nats://127.0.0.1:1")
	get := "GET /whisperer/hooks/ HTTP/1.1\r\nHost: x\r\nAuthorization: Token " + token + "\r\n"
	post := "POST /whisperer/hooks/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nAuthorization: Token " + token + "\r\n"
	many := &strings.Builder{}
	for i := range 10_000 {
		fmt.Fprintf(many, "X-%d: 1\r\n", i)
	}
	for _, c := range []struct {
		name, raw string
		status    string
	}{
		{"a good one", get + "Connection: close\r\n\r\n", "200"},
		{"two lengths", post + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "400"},
		{"a length and chunks", post + "Content-Length: 2\r\nTransfer-Encoding: gzip\r\n\r\n{}", "501"},
		{"a header of 100 kB", get + "X-A: " + strings.Repeat("a", 100_000) + "\r\n\r\n", "431"},
		{"ten thousand headers", get + many.String() + "\r\n", "431"},
		{"a URL of 64 kB", "GET /" + strings.Repeat("a", 64<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n", "431"},
		{"no host", "GET /whisperer/hooks/ HTTP/1.1\r\n\r\n", "400"},
		{"a bad host", "GET /whisperer/hooks/ HTTP/1.1\r\nHost: a b\r\n\r\n", "400"},
		{"a space in a header's name", get + "X A: 1\r\n\r\n", "400"},
		{"a body that ends early", post + "Content-Length: 100\r\n\r\n{}", "408"},
	} {
		line, err := exchange(t, addr, c.raw)
		require.NoError(t, err, c.name)
		require.Contains(t, line, " "+c.status+" ", c.name)
	}
}

func TestSlowHeadersDoNotHoldAConnection(t *testing.T) {
	t.Parallel()
	addr, _, _ := start(t, "nats://127.0.0.1:1")
	begin := time.Now()
	line, err := exchange(t, addr, "GET /whisperer/hooks/ HTTP/1.1\r\nHost: x\r\nX-A")
	require.True(t, err != nil || strings.Contains(line, " 4"), line)
	require.Less(t, time.Since(begin), 30*time.Second)
}

func TestConfig(t *testing.T) {
	t.Parallel()
	environ := func(changes ...string) []string {
		return append([]string{"WHISPERER_DATABASE_URL=postgres://x/y", "WHISPERER_MASTER_KEY=" + seal.NewKey()}, changes...)
	}
	c, err := daemon.LoadConfig[subscriptionapi.Config](environ())
	require.NoError(t, err)
	require.Equal(t, ":8080", c.Listen)
	require.Equal(t, 10_000, c.HookQuota)
	for _, bad := range []string{
		"WHISPERER_MASTER_KEY=secret", "WHISPERER_EGRESS_ALLOW=all", "WHISPERER_EGRESS_PORTS=x", "WHISPERER_PUBLIC_URL=hooks.example.com",
		"WHISPERER_HOOK_QUOTA=0", "WHISPERER_STREAM_REPLICAS=2", "WHISPERER_WRONG_TOKENS=0", "WHISPERER_MAX_CONNECTIONS=0", "WHISPERER_MAX_CONNECTIONS_PER_ADDRESS=0",
		"WHISPERER_TRUSTED_PROXIES=proxy", "WHISPERER_SHUTDOWN_TIMEOUT=-1s", "WHISPERER_DATABASE_URL=",
	} {
		name, _, _ := strings.Cut(bad, "=")
		_, err := daemon.LoadConfig[subscriptionapi.Config](environ(bad))
		require.ErrorContains(t, err, strings.TrimPrefix(name, "WHISPERER_"), bad)
	}
}

func TestASchemaThatDoesNotFitIsWaitedForAndTheCheckSaysWhatToDo(t *testing.T) {
	t.Parallel()
	database := testenv.EmptyPostgres(t)
	s, err := subscriptionapi.New(t.Context(), subscriptionapi.Config{
		Shared: settings.Shared{
			DatabaseURL: database, NATSURL: "nats://127.0.0.1:1", MasterKey: seal.NewKey(), EgressPorts: "80", Replicas: 1,
		},
		Listen:       "127.0.0.1:0",
		HealthListen: "127.0.0.1:0", HookQuota: 1,
	}, daemon.Process{Version: "test", Log: zap.NewNop()})
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- daemon.Run(ctx, zap.NewNop(), s.Components()...) }()
	told := func() string {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.HealthAddr()+"/readyz", nil)
		require.NoError(t, err)
		answer, err := http.DefaultClient.Do(req)
		if err != nil {
			return ""
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(answer.Body)
		return string(text)
	}
	require.Eventually(t, func() bool { return strings.Contains(told(), "run `whisperer migrate up`") }, time.Minute, 20*time.Millisecond)
	_, err = store.Migrate(t.Context(), database)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return strings.Contains(told(), `"postgres":{"ok":true}`) }, time.Minute, 20*time.Millisecond)
	stop()
	require.NoError(t, <-ended)
}

func TestTheConsoleIsServedBesideTheAPI(t *testing.T) {
	t.Parallel()
	addr, token, _ := start(t, testenv.NATS(t))
	page := request(t, http.MethodGet, "http://"+addr+"/", token, "")
	require.Equal(t, http.StatusOK, page.status)
	require.Contains(t, page.body, "<title>Sign in", "the root leads to the console, and that to signing in")
	require.Equal(t, http.StatusNotFound, request(t, http.MethodGet, "http://"+addr+"/consoles/", token, "").status)
}

func TestTheConsoleShowsTheSettingsWithoutWhatIsSecret(t *testing.T) {
	t.Parallel()
	addr, token, _ := start(t, testenv.NATS(t))
	root := "http://" + addr + "/console/"
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	post := func() (status int, cookies []*http.Cookie) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, root+"sign-in", strings.NewReader("token="+token))
		require.NoError(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		response, err := client.Do(r)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		return response.StatusCode, response.Cookies()
	}
	var cookies []*http.Cookie
	require.Eventually(t, func() bool {
		var status int
		status, cookies = post()
		return status == http.StatusSeeOther
	}, time.Minute, 50*time.Millisecond)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, root+"system/", nil)
	require.NoError(t, err)
	r.AddCookie(cookies[0])
	response, err := client.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	page, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode)
	require.Regexp(t, `WHISPERER_MASTER_KEY</code></dt><dd>hidden`, string(page))
	require.Regexp(t, `WHISPERER_DATABASE_URL</code></dt><dd>postgres://[^@]*<`, string(page))
	require.Regexp(t, `WHISPERER_HOOK_QUOTA</code></dt><dd>10<`, string(page))
}
