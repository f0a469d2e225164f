package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/broker"
)

// secondSync is the longest sync interval of a server. A power failure loses what it has acknowledged since the last
// sync.
const secondSync = time.Second

// node is what a nats-server's monitoring endpoint returns.
type node struct {
	Name    string `json:"server_name"`
	Version string `json:"version"`
	Config  struct {
		Sync   time.Duration `json:"sync_interval"`
		Always bool          `json:"sync_always"`
	} `json:"config"`
	Connections []struct {
		Name string `json:"name"`
	} `json:"connections"`
}

// durability says which of the profiles of docs/operations.md applies, from each node's settings and the event log's
// replicas.
func durability(ctx context.Context, r report, o Options, replicas int) {
	if o.NATSMonitoring == "" {
		r.add(Skipped, "set WHISPERER_NATS_MONITORING to http://host:8222 of each NATS node, separated by commas",
			"how often NATS syncs, and with it what a power cut takes, is not known here: the streams have %d copies", replicas)
		return
	}
	always, slowest := true, time.Duration(0)
	for address := range strings.SplitSeq(o.NATSMonitoring, ",") {
		n, err := ask(ctx, strings.TrimSpace(address), "/varz", "/jsz")
		if err != nil {
			r.add(Problem, "look at WHISPERER_NATS_MONITORING, and set http_port in nats-server's configuration", "%s", err)
			return
		}
		if err := broker.CheckVersion(n.Version); err != nil {
			r.add(Problem, "upgrade nats-server, one node at a time", "node %s: %s", n.Name, err)
		}
		always, slowest = always && n.Config.Always, max(slowest, n.Config.Sync)
	}
	switch {
	case always && replicas > 1:
		r.add(OK, "", "durability R%d strict: survives the loss of any one node, and a power cut of all at once", replicas)
	case always:
		r.add(OK, "", "durability strict: survives a power cut, while the disk lives")
	case slowest > secondSync:
		r.add(Problem, "set sync_interval: 1s or always in jetstream of nats-server's configuration, and restart the nodes one by one",
			"NATS syncs every %s: a power cut takes what was acknowledged since", slowest)
	case replicas > 1:
		r.add(OK, "", "durability R%d: survives the loss of any one node; a power cut of two at once may take the last %s", replicas, slowest)
	default:
		r.add(OK, "", "durability fast: survives a crash of any process; a power cut may take the last %s", slowest)
	}
}

// versions compares the versions of all connected programs with this one's, because containers of an old tag may
// still be running.
func versions(ctx context.Context, r report, o Options) {
	others := map[string][]string{}
	for address := range strings.SplitSeq(o.NATSMonitoring, ",") {
		if address == "" {
			return // durability reports that
		}
		n, err := ask(ctx, strings.TrimSpace(address), "/connz?limit=1024")
		if err != nil {
			r.add(Warning, "look at WHISPERER_NATS_MONITORING", "%s", err)
			return
		}
		for _, c := range n.Connections {
			words := strings.Fields(c.Name)
			if len(words) < 2 || words[0] != "subscription-api" && words[0] != "delivery-worker" {
				continue
			}
			if version := words[len(words)-1]; version != o.Version {
				others[version] = append(others[version], words[0])
			}
		}
	}
	for version, programs := range others {
		slices.Sort(programs)
		r.add(Warning, "make up   # or the same image.tag everywhere; in an upgrade wait until it is through",
			"programs are of version %s, and this one is of %s: %s", version, o.Version, strings.Join(programs, ", "))
	}
	if len(others) == 0 {
		r.add(OK, "", "all programs that are connected are of version %s", o.Version)
	}
}

// ask queries a node's monitoring endpoint.
func ask(ctx context.Context, address string, pages ...string) (node, error) {
	var n node
	for _, page := range pages {
		url := strings.TrimSuffix(address, "/") + page
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return n, fmt.Errorf("read address of NATS' monitoring: %w", err)
		}
		answer, err := (&http.Client{Timeout: connectTimeout}).Do(req)
		if err != nil {
			return n, fmt.Errorf("ask NATS' monitoring: %w", err)
		}
		err = json.NewDecoder(answer.Body).Decode(&n)
		_ = answer.Body.Close()
		if err != nil {
			return n, fmt.Errorf("read %s: %w", url, err)
		}
	}
	return n, nil
}
