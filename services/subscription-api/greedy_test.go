package subscriptionapi_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
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

// ask sends a request and returns the response; err is ctx's error if ctx ended first.
func ask(ctx context.Context, method, target, token, body string) (status int, retryAfter string, err error) {
	r, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Authorization", "Token "+token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return answer.StatusCode, answer.Header.Get("Retry-After"), err
}

// TestWhoLooksUpTooMuchKeepsNobodyElseWaiting has one viewer send 40 requests at once that take PostgreSQL very long,
// while another tenant works.
func TestWhoLooksUpTooMuchKeepsNobodyElseWaiting(t *testing.T) {
	t.Parallel()
	db := testenv.OpenStore(t)
	db.MakeTenant(t, "greedy")
	greedy := db.MakeToken(t, store.NewToken{Name: "greedy", Tenant: "greedy", Role: store.Viewer})
	good := db.MakeToken(t, store.NewToken{Name: "good", Tenant: webhook.DefaultTenant, Role: store.Editor})
	numbers := make([]string, 3000)
	for i := range numbers {
		numbers[i] = fmt.Sprint(i)
	}
	data := []byte(`{"a":[` + strings.Join(numbers, ",") + `]}`)
	var events []webhook.Event
	for i := range 100 {
		at := time.Now().Add(-time.Duration(i) * time.Minute).UTC().Truncate(time.Microsecond)
		for _, tenant := range []string{"greedy", webhook.DefaultTenant} {
			events = append(events, webhook.Event{
				ID: fmt.Sprint(i), Tenant: tenant, Type: "package.created", Time: at, PublishedAt: at, Seq: webhook.Sequence(len(events) + 1), Data: data,
			})
		}
	}
	recorder := db.Ledger.NewRecorder()
	defer recorder.Close()
	require.NoError(t, recorder.WriteEvents(t.Context(), events))
	s, err := subscriptionapi.New(t.Context(), subscriptionapi.Config{
		Shared: settings.Shared{
			DatabaseURL: db.URL, NATSURL: "nats://127.0.0.1:1", MasterKey: seal.NewKey(), EgressPorts: "80", Replicas: 1,
		},
		Listen: "127.0.0.1:0", HealthListen: "127.0.0.1:0",
		HookQuota: 1000, MaxConnections: 1000, WrongTokens: 1_000_000, MaxConnectionsPerAddress: 1000, ShutdownTimeout: 5 * time.Second,
	}, daemon.Process{Version: "test", Log: zap.NewNop()})
	require.NoError(t, err)
	stop, err := daemon.Start(t.Context(), zap.NewNop(), s.Components()...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stop()) })

	root := "http://" + s.Addr() + "/whisperer/"
	from := "from=" + url.QueryEscape(time.Now().Add(-24*time.Hour).Format(time.RFC3339))
	expensive := root + "events/?" + from + "&data_path=" + url.QueryEscape(`$.a[*] ? (exists ($.a[*] ? (@ == -1)))`)
	ctx, cancel := context.WithCancel(t.Context())
	var (
		crowd    sync.WaitGroup
		mu       sync.Mutex
		statuses = map[int]int{}
		refused  = make(chan struct{}, 1)
	)
	for range 40 {
		crowd.Go(func() {
			for ctx.Err() == nil {
				status, retryAfter, err := ask(ctx, http.MethodGet, expensive, greedy, "")
				if err != nil {
					continue
				}
				mu.Lock()
				statuses[status]++
				if retryAfter == "" {
					statuses[0]++
				}
				mu.Unlock()
				select {
				case refused <- struct{}{}:
				default:
				}
			}
		})
	}
	<-refused
	var took []time.Duration
	for i := range 60 {
		for _, work := range []struct {
			method, path, body string
			status             int
		}{
			{http.MethodGet, "hooks/", "", http.StatusOK},
			{http.MethodGet, "events/?limit=5", "", http.StatusOK},
			{http.MethodGet, "events/" + fmt.Sprint(i) + "/", "", http.StatusOK},
			{http.MethodPost, "hooks/", fmt.Sprintf(`{"event_type":"package.created","target_url":"http://example.com/%d"}`, i), http.StatusCreated},
			{http.MethodGet, "deliveries/", "", http.StatusOK},
		} {
			began := time.Now()
			status, _, err := ask(t.Context(), work.method, root+work.path, good, work.body)
			require.NoError(t, err)
			require.Equal(t, work.status, status, work.path)
			took = append(took, time.Since(began))
		}
	}
	require.Eventually(t, func() bool { // requests that time out are recorded as well
		mu.Lock()
		defer mu.Unlock()
		return statuses[http.StatusServiceUnavailable] > 0 && statuses[http.StatusTooManyRequests] > 0
	}, time.Minute, 10*time.Millisecond)
	cancel()
	crowd.Wait()
	slices.Sort(took)
	t.Logf("the other tenant: p50 %s, p99 %s; the greedy one's answers by status: %v", took[len(took)/2], took[len(took)*99/100], statuses)
	require.Zero(t, statuses[0], "an answer without Retry-After")
	require.Zero(t, statuses[http.StatusOK])
}
