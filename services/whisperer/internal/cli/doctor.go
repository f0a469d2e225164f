package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/doctor"
)

// errSick says that the doctor found a problem.
var errSick = errors.New("problems found: see MEND BY")

type doctorCommand struct {
	DatabaseURL string `help:"The database of the services." env:"WHISPERER_DATABASE_URL" name:"database-url" placeholder:"URL"`
	NATSURL     string `help:"The NATS of the services." env:"WHISPERER_NATS_URL" name:"nats-url" placeholder:"URL"`
	Monitoring  string `help:"Monitoring URLs of the NATS nodes, such as http://nats:8222, separated by commas." env:"WHISPERER_NATS_MONITORING" name:"nats-monitoring" placeholder:"URLS"`
	namespaceFlag
	MasterKey   string `help:"The master keys of the services." env:"WHISPERER_MASTER_KEY" placeholder:"KEYS"`
	EgressAllow string `help:"Private networks that target URLs may reach, as configured in the services." env:"WHISPERER_EGRESS_ALLOW" placeholder:"CIDRS"`
	EgressPorts string `help:"Ports that target URLs may use, as configured in the services." env:"WHISPERER_EGRESS_PORTS" default:"80,443,8080,8443" placeholder:"PORTS"`
	streamFlags
	Probe       string `help:"A public URL to test outgoing requests with; empty for none." default:"https://example.com/" placeholder:"URL"`
	Listen      string `help:"Where to receive the test webhook (default: 127.0.0.1:0, and :0 in a container)." placeholder:"HOST:PORT"`
	ReceiverURL string `help:"URL by which the installation reaches this receiver (default: the address of --listen, or else this machine's)." name:"receiver-url" placeholder:"URL"`
}

// Help describes how to call it.
func (c *doctorCommand) Help() string {
	return "Run it with the services' environment and a token. Exit code 1 for problems, not for warnings."
}

// Run runs all checks and prints the findings.
func (c *doctorCommand) Run(ctx context.Context, a *app) error {
	credentials, err := natsCredentials(a.Environ)
	if err != nil {
		return usage("%s", err)
	}
	o := doctor.Options{
		NATS: credentials, NATSMonitoring: c.Monitoring, Environ: a.Environ,
		DatabaseURL: c.DatabaseURL, NATSURL: c.NATSURL, MasterKey: c.MasterKey, EgressAllow: c.EgressAllow, EgressPorts: c.EgressPorts,
		Streams: c.options(c.Namespace), Probe: c.Probe, Version: a.Version,
	}
	if _, err := os.Stat("/.dockerenv"); err == nil {
		o.Container = true
	}
	if _, err := os.Stat(DataDir); err == nil {
		o.Data = DataDir
	}
	findings := doctor.Check(ctx, o)
	findings = append(findings, c.api(ctx, a)...)
	err = a.print(findings, func(t *table) {
		t.head("AREA", "LEVEL", "FINDING", "MEND BY")
		for _, f := range findings {
			t.row(f.Area, string(f.Level), f.Text, f.Mend)
		}
	})
	if err != nil {
		return err
	}
	for _, f := range findings {
		if f.Level == doctor.Problem {
			return errSick
		}
	}
	return nil
}

// api calls the API as a user does, and sends one event through the whole system.
func (c *doctorCommand) api(ctx context.Context, a *app) []doctor.Finding {
	found := func(level doctor.Level, mend, format string, args ...any) []doctor.Finding {
		return []doctor.Finding{{Area: "api", Level: level, Text: fmt.Sprintf(format, args...), Mend: mend}}
	}
	server, err := a.client()
	if err != nil {
		return found(doctor.Problem, "set WHISPERER_URL and WHISPERER_TOKEN", "%s", err)
	}
	list := []doctor.Finding{serverClock(ctx, server.URL())}
	_, err = take(server.Hooks.List(ctx, client.HookFilter{PageSize: 1}), 1)
	switch {
	case errors.Is(err, client.ErrUnavailable):
		return found(doctor.Problem, "set WHISPERER_URL, or start subscription-api and look at its log", "%s", err)
	case errors.Is(err, client.ErrRefused):
		return append(list, found(doctor.Problem, "whisperer token create NAME --role editor", "the token is refused: %s", err)...)
	case err != nil:
		return append(list, found(doctor.Problem, "look at the log of subscription-api", "%s", err)...)
	}
	list = append(list, found(doctor.OK, "", "the API at %s answers", server.URL())...)
	return append(list, c.testWebhook(ctx, server, inContainer(a.Environ)))
}

// serverClock compares our clock with the Date in the API's responses (RFC 9110, section 6.6.1), which has whole
// seconds.
func serverClock(ctx context.Context, url string) doctor.Finding {
	f := doctor.Finding{Area: "api", Level: doctor.Skipped, Text: "the API's clock is not known"}
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, url+"/whisperer/docs", nil)
	if err != nil {
		return f
	}
	answer, err := (&http.Client{Timeout: healthTimeout}).Do(req)
	if err != nil {
		return f
	}
	defer answer.Body.Close()
	at, err := http.ParseTime(answer.Header.Get("Date"))
	if err != nil {
		return f
	}
	if off := time.Since(at).Abs(); off > 3*time.Second {
		f.Level, f.Text, f.Mend = doctor.Warning, fmt.Sprintf("the clock of the API is %s off ours", off.Round(time.Second)), "timedatectl set-ntp true   # on both machines"
		return f
	}
	f.Level, f.Text = doctor.OK, "the clock of the API agrees with ours"
	return f
}
