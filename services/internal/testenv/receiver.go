package testenv

import (
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Receiver is the HTTP server behind a test's hooks. It reads every request completely, keeps it, and answers 200 at
// once unless Answer or React says otherwise. It ignores requests that break off.
type Receiver struct {
	*httptest.Server

	mu       sync.Mutex
	requests []Received
	counts   map[string]int
	answers  map[string][]Answer
	react    func(Received) Answer
	delay    time.Duration
	forget   bool
	inFlight int
}

// Received is a complete request.
type Received struct {
	Method string
	URL    string // the URL that it was sent to
	Path   string
	Number int // number among the requests to the path, from 1
	Header http.Header
	Body   string
	At     time.Time
}

// Answer is how a Receiver answers a request.
type Answer struct {
	Status int // 0 means 200
	Header http.Header
	Body   string
	Delay  time.Duration   // before the answer, unless the sender disconnects
	Hold   <-chan struct{} // the answer waits until this is closed
}

// NewReceiver starts a Receiver that is closed with the test.
func NewReceiver(tb testing.TB) *Receiver {
	tb.Helper()
	r := &Receiver{counts: map[string]int{}, answers: map[string][]Answer{}}
	r.Server = httptest.NewServer(r)
	tb.Cleanup(r.Close)
	return r
}

// Answer sets the answers to the next requests to the path; the last one is repeated.
func (r *Receiver) Answer(path string, answers ...Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers[path] = answers
}

// React sets the function that answers requests to all paths without answers of their own; nil removes it. It may be
// called concurrently.
func (r *Receiver) React(react func(Received) Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.react = react
}

// ServeHTTP implements http.Handler.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(q.Body)
	if err != nil {
		return
	}
	answer := r.receive(Received{Method: q.Method, URL: "http://" + q.Host + q.RequestURI, Path: q.URL.Path, Header: q.Header, Body: string(body), At: time.Now()})
	if answer.Hold != nil {
		<-answer.Hold
	}
	if answer.Delay > 0 {
		select {
		case <-time.After(answer.Delay):
		case <-q.Context().Done():
		}
	}
	r.mu.Lock()
	r.inFlight--
	r.mu.Unlock()
	maps.Copy(w.Header(), answer.Header)
	if answer.Status != 0 {
		w.WriteHeader(answer.Status)
	}
	_, _ = io.WriteString(w, answer.Body)
}

// receive keeps the request and returns its answer.
func (r *Receiver) receive(q Received) Answer {
	r.mu.Lock()
	r.inFlight++
	r.counts[q.Path]++
	q.Number = r.counts[q.Path]
	if !r.forget {
		r.requests = append(r.requests, q)
	}
	react, delay, queue := r.react, r.delay, r.answers[q.Path]
	if len(queue) > 1 {
		r.answers[q.Path] = queue[1:]
	}
	r.mu.Unlock()
	var answer Answer
	switch {
	case len(queue) > 0:
		answer = queue[0]
	case react != nil:
		answer = react(q)
	}
	answer.Delay += delay
	return answer
}

// Delay delays every answer from now on.
func (r *Receiver) Delay(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delay = d
}

// Forget makes the receiver only count requests from now on, for tests that send many or large ones.
func (r *Receiver) Forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget = true
}

// All returns all requests so far, in the order of their arrival.
func (r *Receiver) All() []Received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

// Got returns the requests to the path so far.
func (r *Receiver) Got(path string) []Received {
	var got []Received
	for _, q := range r.All() {
		if q.Path == path {
			got = append(got, q)
		}
	}
	return got
}

// Count returns the number of requests to the path so far.
func (r *Receiver) Count(path string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[path]
}

// InFlight returns how many requests are waiting for their answer.
func (r *Receiver) InFlight() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.inFlight
}

// Await waits up to some minutes until there are n requests to the path, and returns them.
func (r *Receiver) Await(tb testing.TB, path string, n int) []Received {
	tb.Helper()
	require.Eventually(tb, func() bool { return r.Count(path) >= n }, 5*time.Minute, 5*time.Millisecond, "requests to %s", path)
	return r.Got(path)
}
