//go:build faults

package faults_test

import (
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
)

// debut is a set of hooks that start to want an event because of a request to the API. Each wants a type of its own, and its
// event is published as soon as the request was answered.
type debut struct {
	prefix string
	n      int
	by     string // what makes a hook want the event: created, given types or resumed
	http   bool   // publish over HTTP instead of NATS
}

// String returns the line of the table to which the hooks belong.
func (d debut) String() string {
	switch {
	case d.by != "created":
		return "hooks given types or resumed"
	case d.http:
		return "new hooks, events over HTTP"
	}
	return "new hooks, events over NATS"
}

// debuts returns, for each way of publishing, n hooks that are created, and fewer that start to want events otherwise.
func debuts(prefix string, n int) (list []debut) {
	for i, by := range []string{"created", "given types", "resumed"} {
		for _, http := range []bool{false, true} {
			d := debut{prefix: fmt.Sprintf("%s%d%t", prefix, i, http), n: n, by: by, http: http}
			if by != "created" {
				d.n = n / 10
			}
			list = append(list, d)
		}
	}
	return list
}

// enter makes the requests for the hooks, four at a time.
func (w *world) enter(a *api, d debut) {
	w.t.Helper()
	const hands = 4
	var open sync.WaitGroup
	for hand := range hands {
		open.Go(func() {
			for i := hand; i < d.n; i += hands {
				if err := w.enterOne(a, d, i); err != nil {
					w.t.Errorf("%s: %v", d, err)
					return
				}
			}
		})
	}
	open.Wait()
}

func (w *world) enterOne(a *api, d debut, i int) error {
	name := fmt.Sprintf("%s%d", d.prefix, i)
	types, status := fmt.Sprintf(`"event_types":["%s.>"]`, name), `"status":"active"`
	made := types + "," + status
	change := ""
	switch d.by {
	case "given types":
		made, change = `"event_types":["other.>"],`+status, types
	case "resumed":
		made, change = types+`,"status":"paused"`, status
	}
	var hook struct {
		ID uuid.UUID `json:"id"`
	}
	made = fmt.Sprintf(`{"target_url":"%s/%s","secret_key":"%s",%s}`, w.receiver.URL, name, secret, made)
	if got, ok := a.post(w.t, "/whisperer/hooks/", name, made, &hook); !ok || got != http.StatusCreated {
		return fmt.Errorf("creating %s was answered with %d", name, got)
	}
	if change != "" {
		path := fmt.Sprintf("/whisperer/hooks/%s/", hook.ID)
		if got, ok := a.send(w.t, http.MethodPatch, path, name+"-changed", "{"+change+"}", &hook); !ok || got != http.StatusOK {
			return fmt.Errorf("changing %s was answered with %d", name, got)
		}
	}
	e := event(name+"-0", "", `{}`)
	e.Type = name + ".created"
	if !d.http {
		return w.bus.PublishEvents(w.t.Context(), []bus.Outgoing{e})
	}
	var published struct{}
	body := fmt.Sprintf(`{"event_id":"%s","event_type":"%s","data":{}}`, e.ID, e.Type)
	if got, ok := a.post(w.t, "/whisperer/events/", e.ID, body, &published); !ok || got != http.StatusAccepted {
		return fmt.Errorf("publishing %s was answered with %d", e.ID, got)
	}
	return nil
}

// arrive waits for the hooks' events, and fails the test for each missing one and for duplicates beyond the bound. Hooks of the
// same kind make one line of the table.
func (w *world) arrive(fault string, bound int, list []debut) {
	w.t.Helper()
	var order []string
	lines := map[string]*result{}
	for _, d := range list {
		line, there := lines[d.String()]
		if !there {
			line = &result{fault: fault + ": " + d.String(), bound: bound}
			lines[d.String()], order = line, append(order, d.String())
		}
		lost, doubled, took := w.reached(d.prefix, d.n, 1)
		line.acked, line.lost, line.extras, line.recovery = line.acked+d.n, line.lost+lost, line.extras+doubled, line.recovery+took
	}
	for _, name := range order {
		results.add(*lines[name])
		require.Zero(w.t, lines[name].lost, name)
		require.LessOrEqual(w.t, lines[name].extras, bound, name)
	}
	require.Empty(w.t, w.ended())
}

// TestF31NewHooks publishes right after hooks start to want events, with two workers: normally, with late notifications, and
// with notifications that one of them does not receive. Each event arrives, and no delivery is ended.
func TestF31NewHooks(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]*listenProxy{"as it is": nil, "late": {late: 300 * time.Millisecond}, "silent": {mute: true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, false)
			w.run()
			if p == nil {
				w.run()
			} else {
				w.run("WHISPERER_DATABASE_URL=" + p.start(t, w.pg.URL("postgres")))
			}
			a := w.administrated("WHISPERER_REQUEST_RATE=0")
			n := 200
			if *full {
				n = 1000
			}
			if p != nil && p.mute {
				w.enter(a, debut{prefix: "first", n: 1, by: "created"}) // no notification is received from now on
				w.lasts(seconds(0, 80))
			}
			list := debuts("new", n)
			for _, d := range list {
				w.enter(a, d)
			}
			w.arrive("F31 notifications "+name, 0, list)
		})
	}
}

// TestF31RightAfterAStalePhase repeatedly cuts workers off PostgreSQL, sometimes so briefly that nobody notices, and sometimes
// so long that nothing waits for them any more. Right after that, events for new hooks arrive, as do those for hooks created
// meanwhile.
func TestF31RightAfterAStalePhase(t *testing.T) {
	t.Parallel()
	for name, all := range map[string]bool{"one of two workers": false, "all workers": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, false)
			database, err := url.Parse(w.pg.URL("postgres"))
			require.NoError(t, err)
			p := newProxy(t, database.Host, false)
			database.Host = p.at
			behind := "WHISPERER_DATABASE_URL=" + database.String()
			if all {
				w.run(behind)
			} else {
				w.run()
			}
			w.run(behind)
			a := w.administrated("WHISPERER_REQUEST_RATE=0")
			const n = 100 // per round
			rounds := 2
			if *full {
				rounds = 10
			}
			var during, after []debut
			for round := range rounds {
				p.cut(true, true)
				w.lasts([]time.Duration{12 * time.Second, 2 * time.Second, 7 * time.Second}[round%3])
				meantime := debuts(fmt.Sprintf("during%d", round), n/5)
				for _, d := range meantime {
					w.enter(a, d)
				}
				p.mend()
				if round%2 == 1 {
					p.reset()
				}
				next := debuts(fmt.Sprintf("after%d", round), n)
				for _, d := range next {
					w.enter(a, d)
				}
				during, after = append(during, meantime...), append(after, next...)
				for _, worker := range w.workers {
					worker.awaitReady(t, patience)
				}
			}
			w.arrive("F31 while "+name+" hear of no changes", underWay, during)
			w.arrive("F31 right after "+name+" heard of no changes", underWay, after)
		})
	}
}
