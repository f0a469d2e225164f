package standalone_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/services/internal/localpg"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/standalone"
)

// screen is a terminal whose content can be read while it is written.
type screen struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// start runs the system. It returns what the system prints, and a function that shuts it down.
func start(t *testing.T, o standalone.Options) (out *screen, stop func()) {
	t.Helper()
	out = &screen{}
	o.Out, o.Version, o.Program = out, "test", "whisperer"
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- standalone.Run(ctx, o) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(stop)
	require.Eventually(t, func() bool {
		select {
		case err := <-done:
			done <- err
			return true
		default:
			return strings.Contains(out.String(), "Try in another terminal")
		}
	}, 3*time.Minute, 10*time.Millisecond)
	require.Contains(t, out.String(), "Whisperer test is running", "it did not start")
	return out, stop
}

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// options returns options for a system with its own data: on PostgreSQL's binaries or, if this machine has none, on
// the database that all tests share.
func options(t *testing.T) standalone.Options {
	t.Helper()
	// The user that PostgreSQL runs as must be able to pass through.
	root := t.TempDir()
	for dir := root; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		require.NoError(t, os.Chmod(dir, 0o755))
	}
	o := standalone.Options{Data: filepath.Join(root, "data"), AnyPort: true, Speed: 1, Out: io.Discard}
	if _, err := localpg.Find(t.Context()); err != nil {
		o.DatabaseURL = testenv.EmptyPostgres(t)
	}
	return o
}

func read(t *testing.T, parts ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(parts...))
	require.NoError(t, err)
	return strings.TrimSpace(string(text))
}

func hooks(t *testing.T, data string) map[string]client.Hook {
	t.Helper()
	c, err := client.New(client.Options{URL: read(t, data, "url"), Token: read(t, data, "token")})
	require.NoError(t, err)
	found := map[string]client.Hook{}
	for h, err := range c.Hooks.List(t.Context(), client.HookFilter{}) {
		require.NoError(t, err)
		found[h.Name] = h
	}
	return found
}

// waitFor waits for a line on the screen.
func waitFor(t *testing.T, out *screen, pattern string) {
	t.Helper()
	line := regexp.MustCompile(`(?m)` + pattern)
	require.EventuallyWithT(t, func(c *assert.CollectT) { require.Regexp(c, line, out.String()) }, 3*time.Minute, 20*time.Millisecond)
}

func TestStandaloneDeliversStopsAndContinues(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.Demo, o.Speed = true, 20
	data := o.Data

	out, stop := start(t, o)
	token := read(t, data, "token")
	require.Contains(t, out.String(), token)
	waitFor(t, out, `package\.created +package:\d+ +everything +#1 +200 .* ✓ verified$`)
	waitFor(t, out, `shipment\.created +shipment:\d+ +cloudevents +#1 +200 .* ✓ verified$`)
	waitFor(t, out, `order\.created +order:\d+ +flaky +#1 +503 .* ✓ verified$`)
	waitFor(t, out, `order\.created +order:\d+ +flaky +#2 +503 .* ✓ verified$`)
	require.NotContains(t, out.String(), "✗")
	require.NotContains(t, out.String(), "\x1b")
	first := hooks(t, data)
	require.Len(t, first, 3)
	metrics := regexp.MustCompile(`http://\S+/metrics`).FindAllString(out.String(), -1)
	require.Len(t, metrics, 2)
	for _, url := range metrics {
		require.Contains(t, get(t, url), "whisperer_build_info")
	}
	for _, file := range []string{"token", "master.key", "demo.json", "whisperer.log"} {
		info, err := os.Stat(filepath.Join(data, file))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), file)
	}
	stop()
	require.NoFileExists(t, filepath.Join(data, "url"))
	require.NoFileExists(t, filepath.Join(data, "pg", "cluster", "postmaster.pid"), "PostgreSQL is left running")
	for _, address := range regexp.MustCompile(`127\.0\.0\.1:\d+`).FindAllString(head(out), -1) {
		_, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
		require.ErrorIs(t, err, syscall.ECONNREFUSED, "something is left running on %s", address)
	}

	// A second start continues with everything: its token, its hooks, and the scheduled retries.
	o.Speed = 1
	out, stop = start(t, o)
	require.Equal(t, token, read(t, data, "token"))
	again := hooks(t, data)
	for name, h := range first {
		require.Equal(t, h.ID, again[name].ID)
	}
	waitFor(t, out, `flaky +#3 +200 .* ✓ verified$`)
	require.NotContains(t, out.String(), "✗")
	stop()
}

func TestStandaloneHasItsDataToItself(t *testing.T) {
	t.Parallel()
	o := options(t)
	_, stop := start(t, o)
	require.Empty(t, hooks(t, o.Data), "without the demo there are no hooks")
	err := standalone.Run(t.Context(), o)
	require.ErrorIs(t, err, standalone.ErrInUse)
	stop()
}

func TestStandaloneKeepsToTheAddressItWasGiven(t *testing.T) {
	t.Parallel()
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	o := options(t)
	o.Listen = taken.Addr().String()
	err = standalone.Run(t.Context(), o)
	require.ErrorContains(t, err, "address already in use")
}

func TestStandaloneStoppedWhileStartingIsNoError(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, standalone.Run(ctx, options(t)))
}

// head returns the part of the output that lists the addresses.
func head(out *screen) string {
	text, _, _ := strings.Cut(out.String(), "Try in another terminal")
	return text
}

func get(t *testing.T, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	answer, err := (&http.Client{}).Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return string(body)
}
