package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/receiver"
)

const (
	// relayQueue is how many copies wait for --forward; further ones are dropped, so that the API does not have to
	// wait.
	relayQueue = 256
	// A broken connection is re-established after relayAgain. After each failure the delay doubles, up to
	// relayAgainMost.
	relayAgain, relayAgainMost = 250 * time.Millisecond, 5 * time.Second
	// noWorker is the time after which the command reports that no worker has answered.
	noWorker = 5 * time.Second
	// installationKeys is the value of --jwks for the tenant's own key set.
	installationKeys = "installation"
	// hiddenValue replaces the integrator's header values.
	hiddenValue = "[hidden]"
)

// keySet returns the key set of --jwks, or nil for none. A relay finds the tenant's own keys without it.
func (c *listenCommand) keySet(ctx context.Context, a *app) (*receiver.KeySet, error) {
	at := c.JWKS
	switch {
	case at == "" && !c.Relay:
		return nil, nil //nolint:nilnil // not asked for
	case at == "", at == installationKeys:
		server, err := a.client()
		if err != nil {
			return nil, err
		}
		at = ""
		for key, err := range server.SigningKeys.List(ctx) {
			if err != nil {
				return nil, err
			}
			at = key.JWKSURL
			break
		}
		switch {
		case at == "" && c.JWKS == "":
			return nil, nil //nolint:nilnil // no hook of the tenant is signed so
		case at == "":
			return nil, usage("--jwks: the tenant has no signing keys; it gets them with its first hook with config.signature of the preset rfc9421")
		}
	}
	set := receiver.NewKeySet(at)
	if _, err := set.Load(ctx, 0); err != nil {
		return nil, usage("--jwks: %s", err)
	}
	return set, nil
}

// relay is a running command with --relay.
type relay struct {
	app     *app
	api     *client.Client
	filter  client.RelayFilter
	keys    []signature.VerifyKey
	set     *receiver.KeySet
	forward func(context.Context, *receiver.Received) receiver.Answer
	show    func(*relayed)
	queue   chan *relayed
	// names are the hooks' names, or what replaces them.
	names map[uuid.UUID]string

	saying sync.Mutex

	mu      sync.Mutex
	workers map[string]bool // workers that have announced copies of their requests
	dropped int             // because --forward was too slow
}

// relayed is a received copy.
type relayed struct {
	*receiver.Received

	request *api.RelayedRequest
	name    string // of the hook
}

// relay shows copies until it is interrupted, or until the API refuses.
func (c *listenCommand) relay(ctx context.Context, a *app) error {
	if c.Status != http.StatusOK || c.Delay != 0 || c.Error != "" || c.FailFirst != 0 || len(c.Header) > 0 || c.Body != "" {
		return usage("--relay: receivers have answered already; --status, --delay, --error, --fail-first, --header and --body are for what is sent here")
	}
	r := &relay{app: a, queue: make(chan *relayed, relayQueue), names: map[uuid.UUID]string{}, workers: map[string]bool{}}
	var err error
	if r.api, err = a.client(); err != nil {
		return err
	}
	if r.keys, err = c.keys(); err != nil {
		return err
	}
	if c.Forward != "" {
		r.forward = receiver.Forward(c.Forward)
	}
	r.filter.EventTypes = c.EventType
	if c.Hook != "" {
		if r.filter.Hook, err = findHook(ctx, r.api, c.Hook); err != nil {
			return err
		}
	}
	if r.set, err = c.keySet(ctx, a); err != nil {
		return err
	}
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	r.show = c.shown(a, enough)
	if len(r.keys) == 0 && r.set == nil {
		fmt.Fprintln(a.Err, "no --secret given: signatures are not checked")
	}
	var wg sync.WaitGroup
	wg.Go(func() { r.work(ctx) })
	err = r.follow(ctx)
	enough()
	wg.Wait()
	return err
}

// shown returns a function that prints a copy like a received webhook, and counts it.
func (c *listenCommand) shown(a *app, enough func()) func(*relayed) {
	var show func(*relayed)
	if a.asJSON() {
		show = func(r *relayed) {
			line := jsonOf(r.Received)
			line.Hook, line.URL = &r.request.Hook, r.request.URL
			_ = a.encode(line, "")
		}
	} else {
		p := receiver.NewPrinter(a.Out, a.Color).Fit(a.Width)
		head := sync.OnceFunc(p.Head)
		show = func(r *relayed) {
			head()
			c.show(p, r.Received, r.name)
		}
	}
	left := c.Count
	return func(r *relayed) {
		show(r)
		if left--; left == 0 {
			enough()
		}
	}
}

// say prints a line for people.
func (r *relay) say(format string, args ...any) {
	r.saying.Lock()
	defer r.saying.Unlock()
	fmt.Fprintf(r.app.Err, format+"\n", args...)
}

// follow connects to the API, and reconnects when the connection has ended.
func (r *relay) follow(ctx context.Context) error {
	r.say("copying what is sent to receivers from %s (ctrl-c to stop)", r.api.URL())
	alone := time.AfterFunc(noWorker, r.nobody)
	defer alone.Stop()
	wait, ever, away := relayAgain, false, false
	for {
		err := r.api.Relay(ctx, r.filter, func(m *api.RelayMessage) error {
			if away {
				r.say("connected again")
			}
			wait, ever, away = relayAgain, true, false
			r.take(ctx, m)
			return nil
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case !ever, !errors.Is(err, client.ErrUnavailable):
			return err
		case !away:
			away = true
			r.say("%s\nconnecting again; what is sent meanwhile is not shown", strings.ReplaceAll(err.Error(), "\n", ": "))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait = min(2*wait, relayAgainMost)
	}
}

// nobody warns that there may be no copies because no worker has answered.
func (r *relay) nobody() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.workers) == 0 {
		r.say("no delivery-worker has answered: none runs, it is of an older release, or NATS does not let it (whisperer nats permissions)")
	}
}

// take handles a message. It must not block, because the API drops slow readers.
func (r *relay) take(ctx context.Context, m *api.RelayMessage) {
	switch {
	case m.Worker != "":
		r.mu.Lock()
		if !r.workers[m.Worker] {
			r.workers[m.Worker] = true
			r.say("worker %s copies", oneLine(m.Worker))
		}
		r.mu.Unlock()
	case m.Dropped > 0:
		r.say("%d not shown: there were more than can be copied", m.Dropped)
	case m.End != "":
		r.say("%s", oneLine(m.End))
	case m.Request != nil:
		got, err := r.read(ctx, m.Request)
		if err != nil {
			r.say("a copy cannot be read: %s", err)
			return
		}
		select {
		case r.queue <- got:
		default:
			r.mu.Lock()
			r.dropped++
			r.mu.Unlock()
		}
	}
}

// read converts a copy into the webhook that would have been received here.
func (r *relay) read(ctx context.Context, m *api.RelayedRequest) (*relayed, error) {
	req, err := http.NewRequestWithContext(ctx, m.Method, m.URL, http.NoBody)
	if err != nil {
		return nil, err
	}
	for _, h := range m.Headers {
		req.Header.Add(h.Name, h.Value)
	}
	got := &relayed{Received: receiver.Take(time.Now(), req, m.Body), request: m}
	got.Host = strings.TrimSuffix(req.URL.Host, map[string]string{"http": ":80", "https": ":443"}[req.URL.Scheme])
	got.EventType = cmp.Or(got.EventType, strings.Join(m.EventTypes, ","))
	return got, nil
}

// work verifies, forwards and prints copies one after the other, in the order of their arrival.
func (r *relay) work(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case got := <-r.queue:
			r.mu.Lock()
			n := r.dropped
			r.dropped = 0
			r.mu.Unlock()
			if n > 0 {
				r.say("%d not shown: --forward answers too slowly", n)
			}
			r.settle(ctx, got)
			if ctx.Err() == nil {
				r.show(got)
			}
		}
	}
}

// settle determines whether a copy's signature is right, and the response, from --forward or from the receiver.
func (r *relay) settle(ctx context.Context, got *relayed) {
	m := got.request
	if got.Answer.Fault = receiver.Fault(m.ErrorClass); m.Status != nil {
		got.Answer = receiver.Answer{Status: *m.Status}
	}
	got.name = r.nameOf(ctx, m.Hook)
	if m.Body == nil && m.BodySize > 0 {
		got.Verdict = receiver.Unchecked
		r.say("the body of delivery %s is too large to be copied (%d bytes)", m.Deliveries[0], m.BodySize)
		return
	}
	got.Judge(ctx, r.keys, r.set)
	switch {
	case r.forward == nil:
	case got.Good():
		sent := *got.Received
		sent.Header = http.Header{}
		for name, values := range got.Header {
			if values[0] != hiddenValue {
				sent.Header[name] = values
			}
		}
		got.Answer = r.forward(ctx, &sent)
	default:
		got.Answer = receiver.Answer{Status: http.StatusUnauthorized}
	}
}

// nameOf returns a hook's name, or the beginning of its id.
func (r *relay) nameOf(ctx context.Context, id uuid.UUID) string {
	name, known := r.names[id]
	if !known {
		if h, err := r.api.Hooks.Get(ctx, id); err == nil {
			name = h.Name
		}
		name = cmp.Or(name, id.String()[:8])
		r.names[id] = name
	}
	return name
}
