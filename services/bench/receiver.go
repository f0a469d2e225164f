package bench

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// What the receiver can be asked for.
const (
	verbExpect   = "expect"
	verbProgress = "progress"
	verbRelease  = "release"
	verbGot      = "got"
)

// pathPrefix is the prefix of hooks' paths; the hook's index follows.
const pathPrefix = "/h/"

// expectation says what will come; earlier deliveries are forgotten.
type expectation struct {
	Hooks, Events int
	Delay         time.Duration
	// Close makes connections end after an answer.
	Close bool
	// Hanging is the index of a hook whose requests are not answered before a release; -1 for none.
	Hanging int
	// Later makes the receiver reject deliveries at first: until a release, or for Wait and up to Spread more.
	Later        Later
	Wait, Spread time.Duration
}

// progress is how far the reception has come.
type progress struct {
	// Received counts distinct deliveries.
	Received int64
	// Last is the Unix time of the last of them, in nanoseconds.
	Last int64
	// Reached counts the hooks that have got any.
	Reached int
}

// got has everything that came.
type got struct {
	// Latencies are those of all deliveries in nanoseconds, from publishing to arrival.
	Latencies  []int64
	Duplicates int
	// Unreadable counts requests that have no mark or match no hook.
	Unreadable int64
	// Unsigned counts requests without a signature.
	Unsigned int64
	// Held counts requests that hang.
	Held int64
	Last int64
	// Disorder is the maximum number of later events, by sequence, that an event came after.
	Disorder int
	// First is the Unix time of each hook's first delivery, in nanoseconds; 0 for none.
	First []int64
}

// began returns when the first delivery of any hook came, or the current time if there was none.
func (g *got) began() time.Time {
	first := time.Now().UnixNano()
	for _, at := range g.First {
		if at > 0 {
			first = min(first, at)
		}
	}
	return time.Unix(0, first)
}

// receiver is the program behind all hooks' target URLs.
type receiver struct {
	server *http.Server
	tls    *httptest.Server
	now    atomic.Pointer[reception]
}

// reception is what came since an expectation was set.
type reception struct {
	expectation
	hooks                                               []tally
	received, reached, last, unreadable, unsigned, held atomic.Int64
	released                                            chan struct{}
	release                                             func()
	later                                               later
}

// tally has one hook's deliveries.
type tally struct {
	mu         sync.Mutex
	seen       []bool // by the event's sequence
	first      int64  // Unix time in nanoseconds
	latencies  []int64
	duplicates int
	newest     int // sequence
	disorder   int
}

func newReceiver() role {
	r := &receiver{}
	r.server = &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second}
	r.expect(expectation{Hanging: -1})
	r.tls = httptest.NewUnstartedServer(r)
	return role{stop: func() {
		r.now.Load().release()
		_ = r.server.Close()
		_ = r.tls.Config.Close()
	}, verbs: map[string]verb{
		verbStart: taking(r.start),
		verbExpect: taking(func(_ context.Context, e expectation) (any, error) {
			r.expect(e)
			return nil, nil
		}),
		verbProgress: taking(func(context.Context, any) (any, error) {
			x := r.now.Load()
			return progress{Received: x.received.Load(), Last: x.last.Load(), Reached: int(x.reached.Load())}, nil
		}),
		verbRelease: taking(func(context.Context, any) (any, error) {
			r.now.Load().release()
			return nil, nil
		}),
		verbGot: taking(func(context.Context, any) (any, error) { return r.now.Load().got(), nil }),
	}}
}

// targets are the URLs to which a hook's index is appended.
type targets struct{ Plain, TLS string }

// start listens, and writes the certificate of the authority to trust for TLS.
func (r *receiver) start(ctx context.Context, authority string) (any, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	go func() { _ = r.server.Serve(listener) }() // ends when it is closed
	r.tls.StartTLS()
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: r.tls.Certificate().Raw})
	if err := os.WriteFile(authority, certificate, 0o600); err != nil {
		return nil, fmt.Errorf("write certificate: %w", err)
	}
	return targets{Plain: "http://" + listener.Addr().String() + pathPrefix, TLS: r.tls.URL + pathPrefix}, nil
}

func (r *receiver) expect(e expectation) {
	x := &reception{expectation: e, hooks: make([]tally, e.Hooks), released: make(chan struct{}), later: later{dues: map[[2]int]time.Time{}}}
	x.release = sync.OnceFunc(func() { close(x.released) })
	for i := range x.hooks {
		x.hooks[i].seen, x.hooks[i].latencies = make([]bool, e.Events), make([]int64, 0, e.Events)
	}
	if before := r.now.Swap(x); before != nil {
		before.release()
	}
}

// ServeHTTP answers 200, at once unless the expectation says otherwise.
func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	now, x := time.Now(), r.now.Load()
	body := make([]byte, max(0, q.ContentLength))
	_, err := io.ReadFull(q.Body, body)
	seq, at, ok := readMark(body)
	hook, errPath := strconv.Atoi(strings.TrimPrefix(q.URL.Path, pathPrefix))
	if err != nil || errPath != nil || !ok || hook >= x.Hooks || seq >= x.Events {
		x.unreadable.Add(1)
		return
	}
	if len(q.Header["Webhook-Signature"]) == 0 {
		x.unsigned.Add(1)
	}
	if hook == x.Hanging {
		x.held.Add(1)
		select {
		case <-x.released:
		case <-q.Context().Done():
		}
		return
	}
	if x.Close {
		w.Header().Set("Connection", "close")
	}
	due, refused := x.refuse(w, hook, seq, now)
	if refused {
		return
	}
	if !due.IsZero() {
		at = due
	}
	x.count(hook, seq, now, now.Sub(at))
	if x.Delay > 0 {
		select {
		case <-time.After(x.Delay):
		case <-q.Context().Done():
		}
	}
	w.WriteHeader(http.StatusOK)
}

func (x *reception) count(hook, seq int, now time.Time, latency time.Duration) {
	t := &x.hooks[hook]
	t.mu.Lock()
	again := t.seen[seq]
	if again {
		t.duplicates++
	} else {
		t.seen[seq] = true
		t.latencies = append(t.latencies, int64(latency))
		t.newest = max(t.newest, seq)
		t.disorder = max(t.disorder, t.newest-seq)
	}
	if t.first == 0 {
		t.first = now.UnixNano()
		x.reached.Add(1)
	}
	t.mu.Unlock()
	if again {
		return
	}
	at := now.UnixNano()
	for last := x.last.Load(); last < at && !x.last.CompareAndSwap(last, at); last = x.last.Load() {
	}
	x.received.Add(1)
}

func (x *reception) got() got {
	g := got{Unreadable: x.unreadable.Load(), Unsigned: x.unsigned.Load(), Held: x.held.Load(), Last: x.last.Load()}
	for i := range x.hooks {
		t := &x.hooks[i]
		t.mu.Lock()
		g.Latencies = append(g.Latencies, t.latencies...)
		g.Duplicates += t.duplicates
		g.Disorder = max(g.Disorder, t.disorder)
		g.First = append(g.First, t.first)
		t.mu.Unlock()
	}
	return g
}
