package bench

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
)

// verbPost makes the plain client POST.
const verbPost = "post"

// errand is the plain client's work: the deliveries of a scenario, without anything that makes them reliable.
type errand struct {
	URL           string
	Hooks, Events int
	Rate          float64
	Goroutines    int
	// Token is the API's, for requests to the API; Status is the expected status, 0 means 200.
	Token  string
	Status int
	// Batch is the number of events per request; 0 for a single event outside of a list.
	Batch int
	// Body is the delivered body, and Mark the position of its mark.
	Body []byte
	Mark int
}

// plain is the bare limit: net/http's client and nothing else.
type plain struct{ http *http.Client }

func newClient() role {
	transport := &http.Transport{ //nolint:forbidigo // the yardstick for egress, and it calls this bench's own receiver only
		DialContext:         (&net.Dialer{Timeout: 5 * time.Second}).DialContext,
		MaxIdleConns:        4096,
		MaxIdleConnsPerHost: 1024,
		DisableCompression:  true,
		TLSClientConfig:     &tls.Config{ClientSessionCache: tls.NewLRUClientSessionCache(0), MinVersion: tls.VersionTLS12},
		ReadBufferSize:      16 << 10,
		WriteBufferSize:     16 << 10,
	}
	p := &plain{http: &http.Client{Transport: transport}} //nolint:forbidigo // as above
	return role{stop: transport.CloseIdleConnections, verbs: map[string]verb{verbPost: taking(p.run)}}
}

// run returns when all requests are answered, with the duration of each in nanoseconds. The error is that of the
// first failed request.
func (p *plain) run(ctx context.Context, e errand) (any, error) {
	body := template{text: e.Body, mark: e.Mark}
	urls := make([]string, e.Hooks)
	for i := range urls {
		if urls[i] = e.URL; e.Token == "" {
			urls[i] += strconv.Itoa(i)
		}
	}
	var failed atomic.Pointer[error]
	took := make([]int64, e.Events*e.Hooks)
	post := func(n, hook int, at time.Time) {
		seq, last := n*max(1, e.Batch), min(e.Events, (n+1)*max(1, e.Batch))
		text := body.fill(seq, at)
		if e.Batch > 0 {
			text = body.batch(seq, last, at)
		}
		if err := p.post(ctx, urls[hook], &e, text); err != nil {
			failed.CompareAndSwap(nil, &err)
		}
		for ; seq < last; seq++ {
			took[seq*e.Hooks+hook] = int64(time.Since(at))
		}
	}
	requests := (e.Events + max(1, e.Batch) - 1) / max(1, e.Batch)
	if e.Rate > 0 {
		paced(ctx, requests, e.Rate, func(seq int) {
			var all sync.WaitGroup
			at := time.Now()
			for hook := range e.Hooks {
				all.Go(func() { post(seq, hook, at) })
			}
			all.Wait()
		})
	} else {
		together(ctx, requests*e.Hooks, e.Goroutines, func(n int) { post(n/e.Hooks, n%e.Hooks, time.Now()) })
	}
	if err := failed.Load(); err != nil {
		return nil, *err
	}
	return took, ctx.Err()
}

func (p *plain) post(ctx context.Context, url string, e *errand, body []byte) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	q.Header.Set("Content-Type", envelope.TypeJSON)
	if e.Token != "" {
		q.Header.Set("Authorization", "Token "+e.Token)
	}
	r, err := p.http.Do(q)
	if err != nil {
		return fmt.Errorf("post: %w", err)
	}
	defer r.Body.Close()
	answer, err := io.ReadAll(r.Body)
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if r.StatusCode != cmp.Or(e.Status, http.StatusOK) {
		return fmt.Errorf("post: the answer was %d: %s", r.StatusCode, answer)
	}
	return nil
}

// together calls do n times from several goroutines; each takes the next number when it has finished one.
func together(ctx context.Context, n, goroutines int, do func(n int)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	all.Wait()
}

// paced starts n calls of do at a rate per second, whether or not earlier ones have finished, and waits for all of
// them.
func paced(ctx context.Context, n int, rate float64, do func(n int)) {
	var all sync.WaitGroup
	defer all.Wait()
	begin := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	<-timer.C
	for i := range n {
		timer.Reset(time.Until(begin.Add(time.Duration(float64(i) / rate * float64(time.Second)))))
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		all.Go(func() { do(i) })
	}
}
