package cli

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/receiver"
)

type listenCommand struct {
	Host      string        `help:"Address to listen on." default:"127.0.0.1" placeholder:"ADDRESS"`
	Port      int           `help:"Port to listen on; 0 for a free one." default:"9000" short:"p" placeholder:"PORT"`
	Secret    []string      `help:"Verify signatures with this secret or public key; may be repeated, as during a rotation." env:"WHISPERER_SECRET" sep:"none" placeholder:"TEXT"`
	Status    int           `help:"Answer with this status." default:"200" placeholder:"STATUS"`
	Delay     time.Duration `help:"Answer after this time." placeholder:"DURATION"`
	Error     string        `help:"Instead of answering, reset the connection, hang until the sender gives up, or send garbage." enum:"reset,hang,garbage," default:"" placeholder:"reset|hang|garbage"`
	FailFirst int           `help:"Apply --status, --delay and --error only to the first N attempts of each delivery; answer 200 to later ones." placeholder:"N"`
	Header    []string      `help:"Answer with this header too, as 'Name: value'; may be repeated." sep:"none" placeholder:"HEADER"`
	Body      string        `help:"Answer with this body." placeholder:"TEXT"`
	Forward   string        `help:"Forward every verified webhook to this URL, and return its answer." placeholder:"URL"`
	JWKS      string        `help:"Verify HTTP Message Signatures (RFC 9421) with the key set at this URL; 'installation' for the tenant's own." name:"jwks" placeholder:"URL"`
	Relay     bool          `help:"Instead of listening, show copies of what the installation sends to the tenant's receivers (--forward sends them on)."`
	Hook      string        `help:"With --relay: only requests to this hook: its id, the start of its id, or its name." placeholder:"HOOK"`
	EventType []string      `help:"With --relay: only requests with events of this type or pattern; may be repeated." short:"e" sep:"none" placeholder:"TYPE"`
	Brief     bool          `help:"One line per webhook, without headers and body."`
	Count     int           `help:"Stop after this many webhooks." placeholder:"N"`
}

// Help describes what a target URL can ask for.
func (c *listenCommand) Help() string {
	return "A hook's own target URL can ask for an answer, too, by status, delay, error, fail-first and retry-after:\n" +
		"http://127.0.0.1:9000/shop?status=503&delay=2s&fail-first=3\n\n" +
		"With --relay nothing has to reach this machine: copies come through the API, and receivers are not affected.\n" +
		"whisperer listen --relay --hook shop --forward http://localhost:3000/webhooks --secret whsec_..."
}

func (c *listenCommand) behaviour() (receiver.Behaviour, error) {
	b := receiver.Behaviour{
		Status: c.Status, Delay: c.Delay, Fault: receiver.Fault(c.Error), FailFirst: c.FailFirst, Body: c.Body, Header: http.Header{},
	}
	for _, line := range c.Header {
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			return b, usage("--header: %q is not 'Name: value'", line)
		}
		b.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	if err := b.Validate(); err != nil {
		return b, usage("--%s", err)
	}
	return b, nil
}

// keys returns the given secrets and public keys.
func (c *listenCommand) keys() (keys []signature.VerifyKey, err error) {
	for _, s := range c.Secret {
		key, err := signature.ParseVerifyKey(s)
		if err != nil {
			return nil, usage("--secret: %s", err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// Run listens until it is interrupted.
func (c *listenCommand) Run(ctx context.Context, a *app) error {
	behaviour, err := c.behaviour()
	if err != nil {
		return err
	}
	if to, err := url.Parse(c.Forward); c.Forward != "" && (err != nil || to.Host == "" || to.Scheme != "http" && to.Scheme != "https") {
		return usage("--forward: %q is no URL such as http://localhost:3000/webhooks", c.Forward)
	}
	if c.Relay {
		return c.relay(ctx, a)
	}
	if c.Hook != "" || len(c.EventType) > 0 {
		return usage("--hook and --event-type: are for --relay; without it everything that is sent here is shown")
	}
	keys, err := c.keys()
	if err != nil {
		return err
	}
	set, err := c.keySet(ctx, a)
	if err != nil {
		return err
	}
	answer := behaviour.Answer
	if c.Forward != "" {
		answer = receiver.Forward(c.Forward)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(c.Host, strconv.Itoa(c.Port)))
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	server := &http.Server{
		Handler: receiver.New(receiver.Options{
			Keys:   func(string) []signature.VerifyKey { return keys },
			KeySet: set, Answer: answer, Seen: c.counted(c.seen(a), enough),
		}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	fmt.Fprintf(a.Err, "listening on http://%s/ (ctrl-c to stop)\n", listener.Addr())
	if len(keys) == 0 && set == nil {
		fmt.Fprintln(a.Err, "neither --secret nor --jwks given: signatures are not checked")
	}
	closed := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(closed)
		end(server)
	})
	if err := server.Serve(listener); ctx.Err() == nil {
		return fmt.Errorf("serve: %w", err)
	}
	<-closed
	return nil
}

// listenEnd is how long responses in progress may take when the listener stops.
const listenEnd = 250 * time.Millisecond

func end(server *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), listenEnd)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		_ = server.Close() // responses took too long
	}
}

// counted ends the command after --count webhooks.
func (c *listenCommand) counted(seen func(*receiver.Received), enough func()) func(*receiver.Received) {
	if c.Count <= 0 {
		return seen
	}
	var mu sync.Mutex
	left := c.Count
	return func(r *receiver.Received) {
		mu.Lock()
		defer mu.Unlock()
		if left == 0 {
			return
		}
		seen(r)
		if left--; left == 0 {
			enough()
		}
	}
}

// received is a webhook in the output of --json, one object per line.
type received struct {
	At         time.Time        `json:"at"`
	Path       string           `json:"path"`
	DeliveryID string           `json:"delivery_id"`
	EventID    string           `json:"event_id"`
	EventType  string           `json:"event_type"`
	Attempt    int              `json:"attempt"`
	Replay     bool             `json:"replay"`
	Signature  receiver.Verdict `json:"signature"`
	// SignatureError says what is wrong with the signature.
	SignatureError string `json:"signature_error,omitempty"`
	// Status is 0 if Error happened instead of a response.
	Status  int            `json:"status"`
	Error   receiver.Fault `json:"error,omitempty"`
	Headers http.Header    `json:"headers"`
	Body    string         `json:"body"`
	// Hook and URL are those of a relayed request.
	Hook *uuid.UUID `json:"hook,omitempty"`
	URL  string     `json:"url,omitempty"`
}

// jsonOf returns a webhook for the output of --json.
func jsonOf(r *receiver.Received) received {
	return received{
		At: r.At.UTC(), Path: r.Path, DeliveryID: r.DeliveryID, EventID: r.EventID, EventType: r.EventType, Attempt: r.Attempt, Replay: r.Replay,
		Signature: r.Verdict, SignatureError: r.Why, Status: r.Answer.Status, Error: r.Answer.Fault, Headers: r.Header, Body: string(r.Body),
	}
}

func (c *listenCommand) seen(a *app) func(*receiver.Received) {
	if a.asJSON() {
		var mu sync.Mutex
		return func(r *receiver.Received) {
			mu.Lock()
			defer mu.Unlock()
			_ = a.encode(jsonOf(r), "")
		}
	}
	p := receiver.NewPrinter(a.Out, a.Color).Fit(a.Width)
	p.Head()
	return func(r *receiver.Received) { c.show(p, r, r.Path) }
}

// show prints a webhook; hook is the content of the column of that name.
func (c *listenCommand) show(p *receiver.Printer, r *receiver.Received, hook string) {
	line := receiver.Line{
		At: r.At, EventType: r.EventType, Hook: hook, Attempt: r.Attempt, Status: r.Answer.Status, Fault: r.Answer.Fault,
		Verdict: r.Verdict, Why: r.Why, Replay: r.Replay,
	}
	line.Entity, line.After = r.About()
	if c.Brief {
		p.Line(line)
		return
	}
	p.Received(line, r)
}
