package receiver_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/receiver"
)

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func keys(t *testing.T, secrets ...string) func(string) []signature.VerifyKey {
	t.Helper()
	var list []signature.VerifyKey
	for _, s := range secrets {
		k, err := signature.ParseVerifyKey(s)
		require.NoError(t, err)
		list = append(list, k)
	}
	return func(string) []signature.VerifyKey { return list }
}

// webhook returns a signed request as a worker makes it.
func webhook(t *testing.T, url string, at time.Time, body string, secrets ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set(signature.HeaderID, "d-1")
	r.Header.Set(signature.HeaderTimestamp, strconv.FormatInt(at.Unix(), 10))
	r.Header.Set("X-Whisperer-Delivery", "d-1")
	r.Header.Set("X-Whisperer-Event-Id", "e-1")
	r.Header.Set("X-Whisperer-Event", "package.created")
	r.Header.Set("X-Whisperer-Attempt", "2")
	for _, s := range secrets {
		key, err := signature.ParseKey(s)
		require.NoError(t, err)
		r.Header.Add(signature.HeaderSignature, signature.Sign("d-1", at, []byte(body), []signature.Key{key}))
	}
	return r
}

func serve(t *testing.T, o receiver.Options) (url string, seen <-chan *receiver.Received) {
	t.Helper()
	got := make(chan *receiver.Received, 10)
	o.Seen = func(r *receiver.Received) { got <- r }
	server := httptest.NewServer(receiver.New(o))
	t.Cleanup(server.Close)
	return server.URL, got
}

func send(t *testing.T, r *http.Request) (status int, body string) {
	t.Helper()
	answer, err := (&http.Client{}).Do(r)
	require.NoError(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, string(text)
}

func TestReceiverJudgesSignatures(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, c := range []struct {
		name    string
		keys    []string
		signed  []string
		at      time.Time
		verdict receiver.Verdict
		status  int
	}{
		{"a signature by its secret is verified", []string{secret}, []string{secret}, now, receiver.Verified, 200},
		{"any one of several secrets will do", []string{"new", secret}, []string{secret}, now, receiver.Verified, 200},
		{"another secret is wrong", []string{secret}, []string{"another"}, now, receiver.Wrong, 401},
		{"no signature is unsigned", []string{secret}, nil, now, receiver.Unsigned, 401},
		{"an old signature is stale", []string{secret}, []string{secret}, now.Add(-time.Hour), receiver.Stale, 401},
		{"without a secret nothing is checked", nil, []string{secret}, now, receiver.Unchecked, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			url, seen := serve(t, receiver.Options{Keys: keys(t, c.keys...), Answer: receiver.Behaviour{Status: 200}.Answer})
			status, _ := send(t, webhook(t, url+"/path", c.at, `{"data":1}`, c.signed...))
			require.Equal(t, c.status, status)
			got := <-seen
			require.Equal(t, c.verdict, got.Verdict)
			require.Equal(t, "d-1 e-1 package.created /path 2", strings.Join([]string{
				got.DeliveryID, got.EventID, got.EventType, got.Path, strconv.Itoa(got.Attempt),
			}, " "))
			require.JSONEq(t, `{"data":1}`, string(got.Body))
		})
	}
}

func TestReceivedTellsWhatItsBodySaysOfTheEvent(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 12, 10, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name, body, entity string
		ago                time.Duration
	}{
		{"the time in oms", `{"event_time":"2026-03-12T09:59:58Z","data":1}`, "", 2 * time.Second},
		{"time and entity in cloudevents", `{"time":"2026-03-12T09:59:59Z","subject":"package:61"}`, "package:61", time.Second},
		{"a time in the future is now", `{"event_time":"2026-03-12T11:00:00Z"}`, "", 0},
		{"nothing in another body", `[1]`, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := &receiver.Received{At: now, Body: []byte(c.body)}
			entity, ago := r.About()
			require.Equal(t, c.entity, entity)
			require.Equal(t, c.ago, ago)
		})
	}
}

func TestReceiverAnswersAsTold(t *testing.T) {
	t.Parallel()
	url, _ := serve(t, receiver.Options{Keys: keys(t), Answer: receiver.Behaviour{Status: 503, Delay: time.Millisecond}.Answer})
	begin := time.Now()
	status, _ := send(t, webhook(t, url, time.Now(), `{}`))
	require.Equal(t, 503, status)
	require.GreaterOrEqual(t, time.Since(begin), time.Millisecond)
}

func TestReceiverRefusesWhatIsTooLarge(t *testing.T) {
	t.Parallel()
	url, _ := serve(t, receiver.Options{Keys: keys(t), Answer: receiver.Behaviour{Status: 200}.Answer})
	status, _ := send(t, webhook(t, url, time.Now(), strings.Repeat("x", 4<<20+1)))
	require.Equal(t, http.StatusRequestEntityTooLarge, status)
}

func TestForwardCarriesTheWebhookAndItsAnswer(t *testing.T) {
	t.Parallel()
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = w.Write([]byte(r.Header.Get("X-Whisperer-Delivery") + " " + string(body)))
	}))
	defer behind.Close()
	url, seen := serve(t, receiver.Options{Keys: keys(t), Answer: receiver.Forward(behind.URL)})
	status, body := send(t, webhook(t, url, time.Now(), `{"data":1}`))
	require.Equal(t, http.StatusTooManyRequests, status)
	require.Equal(t, `d-1 {"data":1}`, body)
	require.Equal(t, "7", (<-seen).Answer.Header.Get("Retry-After"))
}

func TestForwardSaysWhenNobodyIsThere(t *testing.T) {
	t.Parallel()
	answer := receiver.Forward("http://127.0.0.1:1/")(context.Background(), &receiver.Received{Method: http.MethodPost})
	require.Equal(t, http.StatusBadGateway, answer.Status)
	require.Contains(t, string(answer.Body), "connection refused")
}

func TestTargetURLSaysHowToAnswer(t *testing.T) {
	t.Parallel()
	url, _ := serve(t, receiver.Options{Keys: keys(t), Answer: receiver.Behaviour{Status: 204}.Answer})
	for _, c := range []struct {
		name, query string
		status      int
		body        string
	}{
		{"nothing: as the receiver was told", "", 204, ""},
		{"what is no word of ours means nothing", "?shop=12", 204, ""},
		{"a status", "?status=503", 503, ""},
		{"a delay", "?status=200&delay=1ms", 200, ""},
		{"a failure of the first attempts, of which this is one", "?status=500&fail-first=2", 500, ""},
		{"a failure of the first attempts, and this is a later one", "?status=500&fail-first=1", 200, ""},
		{"a status that there is not", "?status=99", 400, "target URL: status: must be from 200 to 599\n"},
		{"nonsense", "?delay=soon", 400, "target URL: delay: \"soon\" cannot be read\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			status, body := send(t, webhook(t, url+"/"+c.query, time.Now(), `{}`))
			require.Equal(t, c.status, status)
			require.Equal(t, c.body, body)
		})
	}
}

func TestFaultsAreNoAnswers(t *testing.T) {
	t.Parallel()
	url, seen := serve(t, receiver.Options{Keys: keys(t), Answer: receiver.Behaviour{Status: 200}.Answer})
	for fault, want := range map[receiver.Fault]string{
		receiver.Reset: "reset by peer", receiver.Garbage: "malformed HTTP", receiver.Hang: "deadline exceeded",
	} {
		ends := time.Minute
		if fault == receiver.Hang {
			ends = 2 * time.Second
		}
		ctx, cancel := context.WithTimeout(t.Context(), ends)
		r := webhook(t, url+"/?error="+string(fault), time.Now(), `{}`).WithContext(ctx)
		_, err := (&http.Client{}).Do(r) //nolint:bodyclose // there is none
		require.ErrorContains(t, err, want)
		require.Equal(t, fault, (<-seen).Answer.Fault)
		cancel()
	}
}
