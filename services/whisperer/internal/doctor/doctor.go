// Package doctor checks an installation's dependencies, and says how to fix what is wrong.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
)

// Level is the severity of a finding.
type Level string

// The levels.
const (
	OK Level = "ok"
	// Warning: it works now, but may not for long.
	Warning Level = "warning"
	// Problem: it does not work.
	Problem Level = "problem"
	// Skipped: it could not be checked.
	Skipped Level = "skipped"
)

// Finding is the result of one check.
type Finding struct {
	Area  string `json:"area"`
	Level Level  `json:"level"`
	Text  string `json:"text"`
	// Mend says how to fix the finding, with a command if there is one; empty if nothing has to be done.
	Mend string `json:"mend,omitempty"`
}

// Options have the same settings as the services' environment. What is empty is not checked.
type Options struct {
	DatabaseURL string
	NATSURL     string
	// NATS says as which user to connect.
	NATS bus.Credentials
	// NATSMonitoring are the addresses of the nodes' monitoring endpoints, separated by commas.
	NATSMonitoring string
	// Environ is checked for unknown names.
	Environ     []string
	MasterKey   string
	EgressAllow string
	EgressPorts string
	// Probe is a public URL to send a request to, in the way receivers are called.
	Probe string
	// Container says that this program runs in a Docker container.
	Container bool
	// Data is the folder of a standalone system whose disk is checked.
	Data string
	// Streams are the services' settings of the streams.
	Streams bus.Options
	Version string
}

// Thresholds of findings.
const (
	// skewWarning is the clock difference that is reported: receivers refuse signatures that are five minutes off,
	// and schedules use NATS' clock.
	skewWarning = 2 * time.Second
	skewProblem = 60 * time.Second
	// fullWarning and fullProblem are used fractions of a limit.
	fullWarning = 0.7
	fullProblem = 0.9
	// checkTimeout bounds each group of checks.
	checkTimeout = 15 * time.Second
)

// report collects findings.
type report struct {
	area string
	list *[]Finding
}

func (r report) add(level Level, mend, format string, args ...any) {
	*r.list = append(*r.list, Finding{Area: r.area, Level: level, Text: fmt.Sprintf(format, args...), Mend: mend})
}

// Check runs all checks, one after the other.
func Check(ctx context.Context, o Options) []Finding {
	var list []Finding
	for _, area := range []struct {
		name  string
		check func(context.Context, report, Options)
	}{{"keys", keys}, {"database", database}, {"nats", nats}, {"egress", outward}, {"disk", disk}} {
		within, cancel := context.WithTimeout(ctx, checkTimeout)
		area.check(within, report{area: area.name, list: &list}, o)
		cancel()
	}
	return list
}

func keys(_ context.Context, r report, o Options) {
	for _, warning := range daemon.Unknown(o.Environ) {
		r.add(Warning, "unset it, or write it as it is in docs/configuration.md", "%s", warning)
	}
	for _, problem := range daemon.Published(o.Environ) {
		r.add(Problem, "make another: docs/operations.md#keys; passwords: change them on the server too", "%s", problem)
	}
	if o.MasterKey == "" {
		r.add(Skipped, "set WHISPERER_MASTER_KEY as the services have it", "the master key is not known here")
		return
	}
	if _, err := seal.ParseRing(o.MasterKey); err != nil {
		r.add(Problem, "openssl rand -base64 32", "WHISPERER_MASTER_KEY cannot be used: %s", err)
		return
	}
	r.add(OK, "", "%d master keys, the first one seals", strings.Count(o.MasterKey, ",")+1)
}

// skew compares a clock that was read between two times of ours.
func skew(r report, whose string, clock, before, after time.Time) {
	off := time.Duration(0)
	switch {
	case clock.Before(before):
		off = before.Sub(clock)
	case clock.After(after):
		off = clock.Sub(after)
	}
	const mend = "timedatectl set-ntp true   # on both machines"
	switch {
	case off >= skewProblem:
		r.add(Problem, mend, "the clock of %s is %s off ours", whose, off.Round(time.Second))
	case off >= skewWarning:
		r.add(Warning, mend, "the clock of %s is %s off ours", whose, off.Round(time.Millisecond))
	default:
		r.add(OK, "", "the clock of %s agrees with ours", whose)
	}
}

// full checks how full something is, in bytes; a limit of 0 means none.
func full(r report, what string, used, limit int64, mend string) {
	if limit <= 0 {
		r.add(OK, "", "%s: %s used, without a limit", what, size(used))
		return
	}
	share(r, fmt.Sprintf("%s: %s of %s used", what, size(used), size(limit)), used, limit, mend)
}

// share checks how much of a limit is used.
func share(r report, text string, used, limit int64, mend string) {
	switch part := float64(used) / float64(limit); {
	case part >= fullProblem:
		r.add(Problem, mend, "%s", text)
	case part >= fullWarning:
		r.add(Warning, mend, "%s", text)
	default:
		r.add(OK, "", "%s", text)
	}
}

// size formats a number of bytes.
func size(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, names := float64(n)/unit, "KMGTPE"
	for value >= unit && len(names) > 1 {
		value, names = value/unit, names[1:]
	}
	return fmt.Sprintf("%.1f %ciB", value, names[0])
}

// outward checks the rules for target URLs, and then calls the probe as a receiver is called: name, connection, TLS,
// answer.
func outward(ctx context.Context, r report, o Options) {
	policy, err := egress.ParsePolicy(o.EgressAllow, o.EgressPorts)
	if err != nil {
		r.add(Problem, "mend WHISPERER_EGRESS_ALLOW and WHISPERER_EGRESS_PORTS", "%s", err)
		return
	}
	if o.EgressAllow != "" {
		r.add(Warning, "unset WHISPERER_EGRESS_ALLOW where no receiver is inside your network", "target URLs may reach %s", o.EgressAllow)
	}
	if o.Container {
		thisMachine(ctx, r, policy, net.DefaultResolver.LookupNetIP)
	}
	if o.Probe == "" {
		r.add(Skipped, "give --probe a public URL", "nothing outside was called")
		return
	}
	c := egress.NewClient(egress.Options{Policy: policy, Version: o.Version})
	defer c.Close()
	target, err := c.Prepare(o.Probe)
	if err != nil {
		r.add(Problem, "give --probe a public URL", "%s: %s", o.Probe, err)
		return
	}
	answer := c.Do(ctx, egress.Request{Target: target, Method: "GET", Timeout: checkTimeout})
	switch {
	case answer.Status != 0:
		r.add(OK, "", "%s answers (%d): DNS, connections and TLS work from here", o.Probe, answer.Status)
	case answer.Class == "dns_error":
		r.add(Problem, "resolvectl status   # or /etc/resolv.conf; in Kubernetes allow port 53 in the NetworkPolicy", "%s: %s", o.Probe, answer.Err)
	case strings.HasPrefix(string(answer.Class), "tls"):
		r.add(Problem, "update-ca-certificates   # and look at the clock", "%s: %s", o.Probe, answer.Err)
	default:
		r.add(Problem, "allow workers to connect to the internet: firewall, NAT, NetworkPolicy", "%s: %s", o.Probe, answer.Err)
	}
}

// thisMachine checks whether receivers on a container's host can be reached.
func thisMachine(ctx context.Context, r report, policy egress.Policy, lookup func(ctx context.Context, network, host string) ([]netip.Addr, error)) {
	const name = "host.docker.internal"
	addrs, err := lookup(ctx, "ip", name)
	if err != nil || len(addrs) == 0 {
		r.add(Warning, `extra_hosts: ["host.docker.internal:host-gateway"]   # of API and workers, as docker-compose.yml has it`,
			"%s has no address in this container: receivers on its machine cannot be reached", name)
		return
	}
	addr := addrs[0].Unmap()
	for _, network := range policy.Allow {
		if network.Contains(addr) {
			r.add(OK, "", "receivers on this container's machine are reached as http://%s:PORT/ (%s)", name, addr)
			return
		}
	}
	r.add(OK, fmt.Sprintf("WHISPERER_EGRESS_ALLOW=%s   # where receivers on this machine are to be reached", addr),
		"webhooks may not go to this container's machine (%s, %s)", name, addr)
}

// disk checks the disk of a standalone system's data.
func disk(_ context.Context, r report, o Options) {
	if o.Data == "" {
		return
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(o.Data, &fs); err != nil {
		if !errors.Is(err, syscall.ENOENT) {
			r.add(Warning, "", "%s: %s", o.Data, err)
		}
		return
	}
	total := int64(fs.Blocks) * int64(fs.Bsize)                                    //nolint:gosec,unconvert // types differ between systems
	free := int64(fs.Bavail) * int64(fs.Bsize)                                     //nolint:gosec,unconvert // types differ between systems
	full(r, "disk of "+o.Data, total-free, total, "make room, or move the folder") // NATS refuses publishers when the disk is full
}
