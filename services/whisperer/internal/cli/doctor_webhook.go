package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/doctor"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/load"
)

// Limits and content of the test webhook.
const (
	loopEvents = 3
	loopSettle = 10 * time.Second
)

// inContainer reports whether this program runs in a container, in which case the installation is not on 127.0.0.1.
func inContainer(environ []string) bool {
	for _, file := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(file); err == nil {
			return true
		}
	}
	return slices.ContainsFunc(environ, func(v string) bool { return strings.HasPrefix(v, "KUBERNETES_SERVICE_HOST=") })
}

// receiverPlace is where the test webhook is received.
type receiverPlace struct {
	listener net.Listener
	// url is the receiver's address as seen by the installation.
	url string
	// own is this machine's address in url, if it was detected rather than given; allow is WHISPERER_EGRESS_ALLOW
	// with that address added.
	own   netip.Addr
	allow string
}

// place starts to listen. If that is on all addresses, the URL uses the one from which this machine reaches the API.
func (c *doctorCommand) place(ctx context.Context, api string, container bool) (receiverPlace, error) {
	listen := firstText(c.Listen, "127.0.0.1:0")
	if c.Listen == "" && container {
		listen = ":0"
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", listen)
	if err != nil {
		return receiverPlace{}, err
	}
	p := receiverPlace{listener: listener, url: firstText(c.ReceiverURL, "http://"+listener.Addr().String())}
	at, err := netip.ParseAddrPort(listener.Addr().String())
	if err != nil || c.ReceiverURL != "" || !at.Addr().IsUnspecified() {
		return p, nil //nolint:nilerr // it has a URL
	}
	if p.own, err = ownAddr(ctx, api); err != nil {
		_ = listener.Close()
		return receiverPlace{}, fmt.Errorf("find this machine's address: %w", err)
	}
	p.url = "http://" + netip.AddrPortFrom(p.own, at.Port()).String()
	p.allow = c.EgressAllow
	if policy, err := egress.ParsePolicy(c.EgressAllow, c.EgressPorts); err != nil || !slices.ContainsFunc(policy.Allow, func(n netip.Prefix) bool { return n.Contains(p.own) }) {
		p.allow = strings.Trim(c.EgressAllow+","+p.own.String(), ",")
	}
	return p, nil
}

// ownAddr returns the address from which this machine reaches the API. It sends nothing.
func ownAddr(ctx context.Context, api string) (netip.Addr, error) {
	u, err := url.Parse(api)
	if err != nil {
		return netip.Addr{}, err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp", net.JoinHostPort(u.Hostname(), firstText(u.Port(), "80")))
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	at, err := netip.ParseAddrPort(conn.LocalAddr().String())
	return at.Addr().Unmap(), err
}

// testWebhook creates a hook, publishes some events, receives and verifies their webhooks, and deletes the hook.
func (c *doctorCommand) testWebhook(ctx context.Context, server *client.Client, container bool) doctor.Finding {
	p, err := c.place(ctx, server.URL(), container)
	if err != nil {
		return doctor.Finding{Area: "webhook", Level: doctor.Problem, Text: err.Error(), Mend: "give --listen a free address, and --receiver-url"}
	}
	defer p.listener.Close()
	return p.judge(load.Run(ctx, load.Options{
		API: server, Publish: server.Events.PublishBatch, Listener: p.listener, URL: p.url,
		Hooks: 1, Rate: loopEvents, Duration: time.Second, Size: 100, Settle: loopSettle,
		Progress: func(int, int, string) {}, Note: func(string) {},
	}))
}

// judge turns the result of the test webhooks into a finding.
func (p receiverPlace) judge(r *load.Report, err error) doctor.Finding {
	f := doctor.Finding{Area: "webhook", Level: doctor.Problem}
	switch {
	case errors.Is(err, webhook.ErrInvalid):
		f.Level, f.Text = doctor.Skipped, "no test webhook was sent, since target URLs may not be this machine: "+err.Error()
		f.Mend = "give --listen and a public --receiver-url for it"
		if p.own.IsValid() {
			f.Text = fmt.Sprintf("no test webhook was sent, since target URLs may not be %s, this machine: %s", p.own, err)
			f.Mend = "WHISPERER_EGRESS_ALLOW=" + p.allow + "   # for API and workers, while the doctor runs; or give --listen and a public --receiver-url"
		}
	case errors.Is(err, client.ErrRefused):
		f.Level, f.Text, f.Mend = doctor.Skipped, "no test webhook was sent: "+err.Error(), "use an editor's token"
	case errors.Is(err, load.ErrUnreachable):
		f.Text = "an event was published and no webhook came to this machine"
		f.Mend = "is a delivery-worker running? whisperer delivery list --since 5m says what it met"
		if p.own.IsValid() {
			f.Text += " at " + p.url
			f.Mend = "is a delivery-worker running, with WHISPERER_EGRESS_ALLOW=" + p.allow + "? whisperer delivery list --since 5m says what it met"
		}
	case err != nil:
		f.Text, f.Mend = err.Error(), "look at the log of subscription-api"
	case r.Lost > 0 || r.Unverified > 0:
		f.Text, f.Mend = fmt.Sprintf("%d of %d test webhooks came, %d of them not verified", r.Received, r.Expected, r.Unverified), "look at the log of delivery-worker"
	default:
		f.Level, f.Text = doctor.OK, fmt.Sprintf("%d test events came back as signed webhooks, within %.0f ms", r.Received, r.Latency.Max)
	}
	return f
}
