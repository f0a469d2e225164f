//go:build faults

package faults_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	reference "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/whisperer-oms/whisperer/pkg/signature"
)

// answer is how the receiver reacts to a request.
type answer struct {
	status int // 0 is 200
	delay  time.Duration
	header http.Header
	body   string
}

// receiver is all good receivers of one world, by path. It writes each request down before it answers.
type receiver struct {
	*httptest.Server

	ledger *ledger[receipt]
	ours   []signature.VerifyKey
	theirs *reference.Webhook

	tolerance time.Duration // of timestamps; more than usual where the sender's clock is wrong

	mu       sync.Mutex
	react    func(path string, n int) answer // to the nth request to the path, from 1; nil for 200 at once
	count    map[string]int
	inFlight int
}

func newReceiver(t *testing.T, dir string) *receiver {
	t.Helper()
	key, err := signature.ParseVerifyKey(secret)
	require.NoError(t, err)
	theirs, err := reference.NewWebhook(secret)
	require.NoError(t, err)
	r := &receiver{
		ledger: newLedger[receipt](t, filepath.Join(dir, "received.jsonl"), false),
		ours:   []signature.VerifyKey{key}, theirs: theirs, count: map[string]int{}, tolerance: signature.DefaultTolerance,
	}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

// reacts sets how requests are answered from now on.
func (r *receiver) reacts(react func(path string, n int) answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.react = react
}

// underWay is how many requests are being answered.
func (r *receiver) underWay() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.inFlight
}

// got is how many requests came to the path.
func (r *receiver) got(path string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count[path]
}

// verify returns what is wrong with a signature, and whether its time alone is further off than receivers usually take.
func (r *receiver) verify(header http.Header, body []byte, at time.Time) (faulty string, untimely bool) {
	if err := signature.Verify(header, body, r.ours, at, r.tolerance); err != nil {
		return err.Error(), false
	}
	if err := r.theirs.VerifyIgnoringTimestamp(body, header); err != nil {
		return "reference library: " + err.Error(), false
	}
	if err := r.theirs.Verify(body, header); err != nil {
		if r.tolerance > signature.DefaultTolerance {
			return "", true
		}
		return "reference library: " + err.Error(), false
	}
	return "", false
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return // half a request is none
	}
	at := time.Now()
	sum := sha256.Sum256(body)
	got := receipt{
		ID: q.Header.Get("webhook-id"), Hook: q.URL.Path, Event: q.Header.Get("X-Whisperer-Event-Id"),
		Attempt: q.Header.Get("X-Whisperer-Attempt"), Sum: hex.EncodeToString(sum[:]), At: at,
	}
	got.Faulty, got.Untimely = r.verify(q.Header, body, at)
	r.mu.Lock()
	r.inFlight++
	r.count[q.URL.Path]++
	a := answer{}
	if r.react != nil {
		a = r.react(q.URL.Path, r.count[q.URL.Path])
	}
	r.mu.Unlock()
	if a.status == 0 {
		a.status = http.StatusOK
	}
	got.Status = a.status
	r.ledger.write(got)
	if a.delay > 0 {
		timer := time.NewTimer(a.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-q.Context().Done():
		}
	}
	r.mu.Lock()
	r.inFlight--
	r.mu.Unlock()
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}
