//go:build faults

package faults_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// refuses reports whether the event log has no space left for a small event.
func (w *world) refuses() bool {
	w.t.Helper()
	e := event(uuid.NewString(), "order:0", "{}")
	sent := time.Now()
	if err := w.bus.PublishEvents(w.t.Context(), []bus.Outgoing{e}); err != nil {
		require.ErrorContains(w.t, err, "maximum bytes exceeded")
		return true
	}
	w.events.write(publication{Event: e.ID, Sent: sent, Acked: time.Now()})
	return false
}

// uncalled returns the number of deliveries whose callback has not arrived.
func (w *world) uncalled() (n int) {
	w.t.Helper()
	h := w.history()
	for _, p := range h.published {
		for _, hook := range w.hooks {
			d := h.deliveries[webhook.DeliveryID(hook.ID, p.Event)]
			id := webhook.DeliveryID(webhook.CallbackHookID(hook.ID), fmt.Sprintf("%scallback:%s:%d:%s", webhook.ReservedIDPrefix, d.ID, d.Attempts, webhook.Delivered))
			if _, ok := delivered(h, id); !ok {
				n++
			}
		}
	}
	return n
}

// TestF34AFullEventLogAndCallbacks fills a small event log while no worker runs, until publishers are refused. Each delivery
// has a callback, and still everything is delivered once a worker is back.
func TestF34AFullEventLogAndCallbacks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	n, rounds := 2, 1
	if *full {
		n, rounds = hooks, 5
	}
	for i := range n {
		path := fmt.Sprintf("/good/%d", i)
		w.hooks = append(w.hooks, w.hook(w.receiver.URL+path, func(h *webhook.Hook) {
			h.Callback = &webhook.Callback{URL: w.receiver.URL + "/callback" + path}
		}))
	}
	small := []string{"WHISPERER_OMS_MAX_BYTES=1048576", "WHISPERER_HOUSEKEEP_EVERY=1s"}
	p := w.run(small...) // creates the event log
	var faults []window
	for range rounds {
		p.stop(t) // before any event: processed events would be trimmed and make space
		began := time.Now()
		stop := w.load(200, 5)
		require.Eventually(t, w.refuses, patience, 50*time.Millisecond, "the event log becomes full")
		w.lasts(2 * time.Second)
		require.True(t, w.refuses(), "it stays full while nothing is delivered")
		p = w.run(small...)
		faults = append(faults, window{began, time.Now()})
		w.lasts(time.Second)
		stop()
		w.settled(patience)
	}
	got := w.check(check{fault: "F34 a full event log, and callbacks", faults: faults})
	require.Eventually(t, func() bool { return w.uncalled() == 0 }, patience, time.Second, "callbacks are missing")
	callbacks := 0
	for i := range n {
		callbacks += w.receiver.Count(fmt.Sprintf("/callback/good/%d", i))
	}
	require.Equal(t, got.acked*len(w.hooks), callbacks, "none came twice")
	require.Eventually(t, func() bool { return !w.refuses() }, patience, 50*time.Millisecond, "there is room again")
}

// neighbour is another installation, with its own database on the same servers. It publishes in the namespace; its workers get
// the namespace from their environment, as usual.
func (w *world) neighbour(namespace string) (n *world, database string) {
	w.t.Helper()
	_, err := w.administrator().ExecContext(w.t.Context(), `CREATE DATABASE neighbour`)
	require.NoError(w.t, err)
	url := w.pg.URL("neighbour")
	_, err = store.Migrate(w.t.Context(), url)
	require.NoError(w.t, err)
	n = &world{
		t: w.t, dir: filepath.Join(w.dir, "neighbour"), chance: w.chance, key: seal.NewKey(), pg: w.pg, pgOpts: w.pgOpts, nats: w.nats, natsAt: w.natsAt,
	}
	require.NoError(w.t, os.Mkdir(n.dir, 0o755))
	n.events = newLedger[publication](w.t, filepath.Join(n.dir, "published.jsonl"), true)
	n.receiver = newReceiver(w.t, n.dir)
	ring, err := seal.ParseRing(n.key)
	require.NoError(w.t, err)
	n.db, err = store.Open(url, 4, ring)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = n.db.Close() })
	n.bus, err = bus.Connect(w.t.Context(), bus.Options{URL: w.natsURL(), Name: "neighbour", Namespace: bus.Namespace(namespace), Log: zap.NewNop()})
	require.NoError(w.t, err)
	w.t.Cleanup(n.bus.Close)
	return n, "WHISPERER_DATABASE_URL=" + url
}

// TestF35TwoInstallationsOnOneNATS starts a worker of another database on the NATS account of a running installation. The
// worker takes nothing, and says to whom the streams belong and what to do. With a namespace both installations work side by
// side.
func TestF35TwoInstallationsOnOneNATS(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.goodHooks(2)
	w.run()
	rate := 40
	if *full {
		rate = 100
	}
	stop := w.load(rate, 1)
	n, database := w.neighbour("shop-2")
	n.goodHooks(2)
	theirs, err := w.db.Installation(t.Context())
	require.NoError(t, err)
	ours, err := n.db.Installation(t.Context())
	require.NoError(t, err)
	words := []string{"belongs to another installation", theirs.String(), ours.String(), "WHISPERER_NAMESPACE", "migrate streams --adopt"}
	refused := n.start(database)
	require.Eventually(t, func() bool {
		if n.said(words...) == 0 {
			return false
		}
		ready, reasons := refused.readiness(t)
		for _, word := range words {
			if !strings.Contains(reasons, word) {
				return false
			}
		}
		return !ready
	}, patience, 50*time.Millisecond, "it says whose the streams are and what to do")
	w.lasts(seconds(5, 70))
	require.True(t, refused.alive(), "it waits for somebody to do it")
	require.False(t, refused.ready(t.Context()))
	require.LessOrEqual(t, n.said(words...), 3, "it says so once a minute")
	refused.stop(t)
	require.Empty(t, n.history().deliveries)
	require.Empty(t, n.history().receipts)
	n.run(database, "WHISPERER_NAMESPACE=shop-2", "WHISPERER_OMS_MAX_BYTES=268435456") // the server has no space for two of the usual size
	require.Zero(t, n.said("does nothing"), "its variables are known")
	stopNeighbour := n.load(rate, 1)
	w.lasts(seconds(4, 60))
	stop()
	stopNeighbour()
	for _, each := range []struct {
		installation *world
		fault        string
	}{{w, "F35 the first installation on a NATS account"}, {n, "F35 the second one, with a namespace"}} {
		got := each.installation.check(check{fault: each.fault})
		require.Len(t, each.installation.history().deliveries, got.acked*len(each.installation.hooks), "%s: none is of the other", each.fault)
	}
}

// TestF36WhatAnOperatorMayChangeOfStreams changes streams from outside. A new size of the event log survives restarts; settings
// that would drop events are repaired by a running worker and by one that starts.
func TestF36WhatAnOperatorMayChangeOfStreams(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.goodHooks(2)
	p := w.run()
	s := w.stranger()
	stop := w.load(40, 1)
	const size = 3 << 30
	s.change(bus.StreamOMS, "", "max_bytes", size)
	restarts := 1
	if *full {
		restarts = 10
	}
	for range restarts {
		p.stop(t)
		p = w.run()
	}
	require.Positive(t, w.said("stream differs from the configured settings", fmt.Sprintf("%q", bus.StreamOMS), "max_bytes"))
	w.lasts(seconds(4, 60)) // a worker checks the streams in that time
	require.EqualValues(t, size, s.config(bus.StreamOMS, "")["max_bytes"])
	require.False(t, w.told(bus.StreamOMS), "nothing was put right")

	changed := time.Now()
	s.change(bus.StreamOMS, "", "discard", "old")
	require.Eventually(t, func() bool {
		return s.config(bus.StreamOMS, "")["discard"] == "new" && w.told(bus.StreamOMS)
	}, alarm+slack(), 50*time.Millisecond)
	soon := time.Since(changed)
	p.stop(t)
	s.change(bus.StreamOMS, "", "discard", "old")
	s.change(bus.StreamOMS, "", "max_age", time.Hour)
	w.run()
	config := s.config(bus.StreamOMS, "")
	require.Equal(t, "new", config["discard"])
	require.Zero(t, config["max_age"])
	require.EqualValues(t, size, config["max_bytes"])
	stop()
	w.check(check{fault: "F36 settings of a stream changed", note: fmt.Sprintf("%d restarts, put right within %s,", restarts, short(soon))})
}
