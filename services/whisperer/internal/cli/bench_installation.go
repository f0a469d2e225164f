package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/load"
)

type benchCommand struct {
	Installation benchInstallation `cmd:"" default:"withargs" help:"Publish events and receive their webhooks here (the word installation can be left out)."`
}

type benchInstallation struct {
	Rate        float64       `help:"Events a second." default:"50" placeholder:"N"`
	Duration    time.Duration `help:"How long to publish." default:"10s" placeholder:"DURATION"`
	Hooks       int           `help:"Hooks per event." default:"1" placeholder:"N"`
	Size        int           `help:"Size of the events' data in bytes." default:"1024" placeholder:"BYTES"`
	Listen      string        `help:"Where to receive." default:"127.0.0.1:0" placeholder:"HOST:PORT"`
	ReceiverURL string        `help:"URL by which the installation reaches this receiver (default: the address of --listen)." name:"receiver-url" placeholder:"URL"`
	NATS        string        `help:"Publish to this NATS server instead of the API." name:"nats" env:"WHISPERER_NATS_URL" placeholder:"URL"`
	namespaceFlag
	Settle time.Duration `help:"Count webhooks as lost after this long without any arriving." default:"60s" placeholder:"DURATION"`
}

// Help describes the requirements.
func (c *benchInstallation) Help() string {
	return "It creates its own hooks and deletes them afterwards; no other hook gets its events. Workers must reach the receiver:\n" +
		"WHISPERER_EGRESS_ALLOW and WHISPERER_EGRESS_PORTS must allow it unless its address is public.\n" +
		"Exit code 1 if a webhook was lost."
}

// Run measures the installation.
func (c *benchInstallation) Run(ctx context.Context, a *app) error {
	if c.Rate <= 0 || c.Duration <= 0 || c.Hooks < 1 || c.Hooks > 1000 || c.Size < 0 || c.Size > 900<<10 {
		return usage("--rate and --duration must be above 0, --hooks from 1 to 1000, --size from 0 to 921600")
	}
	server, err := a.client()
	if err != nil {
		return err
	}
	publish := load.Publisher(server.Events.PublishBatch)
	if c.NATS != "" {
		nats, err := a.connectNATS(ctx, c.NATS, c.Namespace)
		if err != nil {
			return err
		}
		defer nats.Close()
		publish = natsPublisher(nats, firstText(a.Tenant, webhook.DefaultTenant))
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	bar := a.progress("webhooks")
	report, err := load.Run(ctx, load.Options{
		API: server, Publish: publish, Listener: listener, URL: firstText(c.ReceiverURL, "http://"+listener.Addr().String()),
		Hooks: c.Hooks, Rate: c.Rate, Duration: c.Duration, Size: c.Size, Settle: c.Settle,
		Progress: bar.set, Note: func(text string) { fmt.Fprintf(a.Err, "\n%s\n", oneLine(text)) },
	})
	bar.end()
	if err != nil {
		return err
	}
	if err := a.printLoad(report); err != nil {
		return err
	}
	if report.Lost > 0 {
		return fmt.Errorf("%d webhooks did not come", report.Lost)
	}
	return nil
}

func (a *app) printLoad(r *load.Report) error {
	return a.print(r, func(t *table) {
		t.row("events accepted", fmt.Sprintf("%d in %.1f s, %d calls had to be made again", r.Accepted, r.Seconds, r.Refused))
		t.row("webhooks", fmt.Sprintf("%d of %d, %d lost, %d more than once, %d not verified", r.Received, r.Expected, r.Lost, r.Repeated, r.Unverified))
		t.row("a second", strconv.FormatFloat(r.PerSecond, 'f', 0, 64))
		l := r.Latency
		t.row("latency", fmt.Sprintf("p50 %.1f ms, p95 %.1f ms, p99 %.1f ms, at most %.1f ms", l.P50, l.P95, l.P99, l.Max))
	})
}

// connectNATS connects within natsTimeout.
func (a *app) connectNATS(ctx context.Context, url, namespace string) (*bus.Bus, error) {
	credentials, err := natsCredentials(a.Environ)
	if err != nil {
		return nil, usage("%s", err)
	}
	ctx, cancel := context.WithTimeout(ctx, natsTimeout)
	defer cancel()
	nats, err := bus.Connect(ctx, bus.Options{URL: url, Name: "whisperer-cli", Namespace: bus.Namespace(namespace), Credentials: credentials, Log: zap.NewNop()})
	if err != nil {
		return nil, errors.Join(client.ErrUnavailable, err)
	}
	return nats, nil
}

// natsPublisher publishes to NATS as an order management system does.
func natsPublisher(nats *bus.Bus, tenant string) load.Publisher {
	return func(ctx context.Context, events []client.Event) error {
		out := make([]bus.Outgoing, len(events))
		for i := range events {
			body, err := json.Marshal(events[i])
			if err != nil {
				return fmt.Errorf("encode event: %w", err)
			}
			out[i] = bus.Outgoing{Tenant: tenant, Type: events[i].Type, ID: events[i].ID, Body: body}
		}
		return nats.PublishEvents(ctx, out)
	}
}
