// Package fuzz_test sends requests to the API as it runs in production: valid according to its OpenAPI document, just
// invalid, and absurd. It compares every response with the document. `make test` sends 20,000 requests, `make
// faults-full` a million. A failure prints a curl command line, and the seed that reproduces it:
//
//	go test ./services/subscription-api/fuzz -count 1 -args -requests 200000 -seed 7
package fuzz_test

import (
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/settings"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
	subscriptionapi "github.com/whisperer-oms/whisperer/services/subscription-api"
)

var (
	requests = flag.Int("requests", 20_000, "how many requests are sent")
	seed     = flag.Uint64("seed", 1, "where chance begins")
)

const (
	// callers is how many callers send requests concurrently, each for a tenant of its own.
	callers = 8
	// tooMany is the number of failures after which the test stops.
	tooMany = 20
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

// target is the API under test.
type target struct {
	addr string
	// receiver is the only address that hooks' URLs may have.
	receiver string
	db       *store.DB
	logs     *observer.ObservedLogs
	document *document
	failures atomic.Int32
}

// startTarget runs the API, with its own database and nats-server, until the test ends.
func startTarget(t *testing.T) *target {
	t.Helper()
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") }))
	t.Cleanup(receiver.Close)
	key := seal.NewKey()
	config := subscriptionapi.Config{
		Shared: settings.Shared{
			DatabaseURL: testenv.Postgres(t), NATSURL: testenv.NATS(t), MasterKey: key, Replicas: 1, OMSMaxBytes: 8 << 30,
			EgressAllow: "127.0.0.1/32", EgressPorts: "1", // whatever URLs are generated, nothing leaves this machine
		},
		Listen: "127.0.0.1:0", HealthListen: "127.0.0.1:0",
		HookQuota: 1_000_000, MaxConnections: 1000, WrongTokens: 1_000_000, MaxConnectionsPerAddress: 1000,
		ShutdownTimeout: 5 * time.Second, RetryWait: 50 * time.Millisecond, // there is no worker to make the attempt
	}
	require.NoError(t, config.Validate())
	ring, err := seal.ParseRing(key)
	require.NoError(t, err)
	core, logs := observer.New(zapcore.ErrorLevel)
	s, err := subscriptionapi.New(t.Context(), config, daemon.Process{Version: "test", Log: zap.New(core)})
	require.NoError(t, err)
	stop, err := daemon.Start(t.Context(), zap.NewNop(), s.Components()...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stop()) })
	db, err := store.Open(config.DatabaseURL, callers, ring)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	awaitReady(t, s.HealthAddr())
	return &target{addr: s.Addr(), receiver: receiver.URL, db: db, logs: logs, document: loadDocument(t, s.Addr())}
}

func awaitReady(t *testing.T, health string) {
	t.Helper()
	client := &http.Client{Timeout: time.Minute}
	require.Eventually(t, func() bool {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+health+"/readyz", nil)
		require.NoError(t, err)
		res, err := client.Do(r)
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	}, time.Minute, 20*time.Millisecond)
}

func TestTheAPIAnswersWhateverItIsSentAsItsDocumentSays(t *testing.T) {
	t.Parallel()
	api := startTarget(t)
	total := newTally()
	var wg sync.WaitGroup
	for n := range callers {
		c := newCaller(t, api, n)
		wg.Go(func() {
			defer c.wire.close()
			for i := n; i < *requests && api.failures.Load() < tooMany; i += callers {
				c.turn(i)
			}
			total.add(c.tally)
		})
	}
	wg.Wait()
	for _, entry := range api.logs.All() {
		t.Errorf("logged an error: %s %v", entry.Message, entry.ContextMap())
	}
	t.Logf("seed %d: %s", *seed, total)
	if t.Failed() {
		t.Logf("again: go test ./services/subscription-api/fuzz -count 1 -args -requests %d -seed %d", *requests, *seed)
		return
	}
	for id := range api.document.operations {
		require.Positive(t, total.accepted[id], "no valid request to %s was accepted", id)
	}
	if *requests >= 10_000 { // each kind of damage must have occurred
		require.Subset(t, slices.Collect(maps.Keys(total.refused)), []string{"body", "bytes", "path", "query", "header", "method"})
	}
}

// tally counts requests: accepted ones by operation, refused ones by what was wrong.
type tally struct {
	mu                sync.Mutex
	sent              int
	statuses          map[int]int
	accepted, refused map[string]int
}

func newTally() *tally {
	return &tally{statuses: map[int]int{}, accepted: map[string]int{}, refused: map[string]int{}}
}

func (t *tally) count(r *request, status int) {
	t.sent++
	t.statuses[status]++
	switch {
	case r.expect == accepted && status < 300:
		t.accepted[r.op.id]++
	case status >= 400:
		for _, e := range r.evils {
			t.refused[e.where]++
		}
	}
}

func (t *tally) add(other *tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent += other.sent
	for status, n := range other.statuses {
		t.statuses[status] += n
	}
	for id, n := range other.accepted {
		t.accepted[id] += n
	}
	for where, n := range other.refused {
		t.refused[where] += n
	}
}

// String formats the counts for people.
func (t *tally) String() string {
	return fmt.Sprintf("%d requests; by status: %v; refused by what was wrong: %v", t.sent, t.statuses, t.refused)
}
