package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/receiver"
)

type listenCommand struct {
	Host    string        `help:"Address to listen on." default:"127.0.0.1" placeholder:"ADDRESS"`
	Port    int           `help:"Port to listen on; 0 for a free one." default:"9000" short:"p" placeholder:"PORT"`
	Secret  []string      `help:"Verify signatures with this secret; repeat it during a rotation." env:"WHISPERER_SECRET" sep:"none" placeholder:"TEXT"`
	Status  int           `help:"Answer with this status." default:"200" placeholder:"STATUS"`
	Delay   time.Duration `help:"Answer after this time." placeholder:"DURATION"`
	Forward string        `help:"Send every verified webhook on to this URL and answer what that answers." placeholder:"URL"`
	Brief   bool          `help:"One line per webhook, without headers and body."`
}

// Run listens until it is interrupted.
func (c *listenCommand) Run(ctx context.Context, a *app) error {
	if c.Status < 200 || c.Status > 599 {
		return usage("--status: must be from 200 to 599")
	}
	var keys []signature.VerifyKey
	for _, s := range c.Secret {
		key, err := signature.ParseVerifyKey(s)
		if err != nil {
			return usage("--secret: %s", err)
		}
		keys = append(keys, key)
	}
	answer := receiver.Fixed(c.Status, c.Delay)
	if c.Forward != "" {
		answer = receiver.Forward(c.Forward)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(c.Host, strconv.Itoa(c.Port)))
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	server := &http.Server{
		Handler: receiver.New(receiver.Options{
			Keys:   func(string) []signature.VerifyKey { return keys },
			Answer: answer, Seen: c.seen(a),
		}),
		ReadHeaderTimeout: 10 * time.Second,
	}
	fmt.Fprintf(a.Err, "listening on http://%s/ (ctrl-c to stop)\n", listener.Addr())
	if len(keys) == 0 {
		fmt.Fprintln(a.Err, "no --secret given: signatures are not checked")
	}
	stopped := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stopped()
	if err := server.Serve(listener); ctx.Err() == nil {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}

// received is a webhook as --json has it, one object on each line.
type received struct {
	At         time.Time        `json:"at"`
	Path       string           `json:"path"`
	DeliveryID string           `json:"delivery_id"`
	EventID    string           `json:"event_id"`
	EventType  string           `json:"event_type"`
	Attempt    int              `json:"attempt"`
	Replay     bool             `json:"replay"`
	Signature  receiver.Verdict `json:"signature"`
	Status     int              `json:"status"`
	Headers    http.Header      `json:"headers"`
	Body       string           `json:"body"`
}

func (c *listenCommand) seen(a *app) func(*receiver.Received) {
	if a.JSON {
		var mu sync.Mutex
		return func(r *receiver.Received) {
			mu.Lock()
			defer mu.Unlock()
			_ = json.NewEncoder(a.Out).Encode(received{
				At: r.At.UTC(), Path: r.Path, DeliveryID: r.DeliveryID, EventID: r.EventID, EventType: r.EventType,
				Attempt: r.Attempt, Replay: r.Replay, Signature: r.Verdict, Status: r.Answer.Status, Headers: r.Header,
				Body: string(r.Body),
			})
		}
	}
	p := receiver.NewPrinter(a.Out, a.Color)
	p.Head()
	return func(r *receiver.Received) {
		line := receiver.Line{
			At: r.At, EventType: r.EventType, Hook: r.Path, Attempt: r.Attempt, Status: r.Answer.Status,
			Verdict: r.Verdict, Replay: r.Replay,
		}
		line.Entity, line.After = r.About()
		if c.Brief {
			p.Line(line)
			return
		}
		p.Received(line, r)
	}
}
