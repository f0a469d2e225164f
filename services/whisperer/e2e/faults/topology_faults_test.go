//go:build faults

package faults_test

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// alarm is the time within which a change from outside must be noticed, logged and repaired.
const alarm = 10 * time.Second

// flaky fails every tenth request, so that some deliveries are always waiting for a retry.
func flaky(_ string, n int) testenv.Answer {
	if n%10 == 0 {
		return testenv.Answer{Status: http.StatusServiceUnavailable, Delay: 20 * time.Millisecond}
	}
	return testenv.Answer{Delay: 20 * time.Millisecond}
}

// told reports whether a worker has logged an error that the stream or consumer was repaired.
func (w *world) told(name string) bool {
	w.t.Helper()
	return w.said(`"level":"error"`, "repair", fmt.Sprintf("%q", name)) > 0
}

// said counts the lines in the workers' logs that contain all the words.
func (w *world) said(words ...string) int {
	w.t.Helper()
	n := 0
	for _, p := range w.workers {
		content, err := os.ReadFile(p.log)
		require.NoError(w.t, err)
		for line := range strings.Lines(string(content)) {
			if !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(line, word) }) {
				n++
			}
		}
	}
	return n
}

// TestF21ConsumersDeletedAndSettingsChanged deletes each consumer and changes settings of streams and consumers from outside,
// under load. The streams keep their messages, so nothing is lost. Deliveries in flight when the consumer fanout or retry was
// deleted may arrive twice.
func TestF21ConsumersDeletedAndSettingsChanged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.goodHooks(hooks)
	w.receiver.reacts(flaky)
	w.run()
	w.run()
	s := w.stranger()
	stop := w.load(40, 1)
	w.lasts(3 * time.Second)
	began := time.Now()
	consumers := map[string]string{
		string(bus.EventRecorder): bus.StreamOMS, string(bus.Retry): bus.StreamRetries, string(bus.FactRecorder): bus.StreamLedger,
	}
	for _, name := range w.bus.Streams().Durables(bus.Fanout) {
		consumers[name] = bus.StreamOMS
	}
	for consumer, stream := range consumers {
		s.done("CONSUMER.DELETE."+stream+"."+consumer, nil)
	}
	var slowest time.Duration
	for consumer, stream := range consumers {
		require.Eventually(t, func() bool { return s.config(stream, consumer) != nil && w.told(consumer) }, alarm+slack(), 50*time.Millisecond, consumer)
	}
	slowest = max(slowest, time.Since(began))
	w.lasts(2 * time.Second)
	changed := time.Now()
	partition := w.bus.Streams().Durables(bus.Fanout)[1+w.bus.Partition(webhook.DefaultTenant)]
	s.change(bus.StreamOMS, partition, "max_ack_pending", 1)
	s.change(bus.StreamRetries, string(bus.Retry), "max_deliver", 1)
	for _, stream := range []string{bus.StreamOMS, bus.StreamRetries, bus.StreamLedger} {
		s.change(stream, "", "max_age", time.Hour)
	}
	require.Eventually(t, func() bool {
		right := s.config(bus.StreamOMS, partition)["max_ack_pending"] == float64(bus.MaxInHand(bus.Fanout)) &&
			s.config(bus.StreamRetries, string(bus.Retry))["max_deliver"] == float64(-1)
		for _, stream := range []string{bus.StreamOMS, bus.StreamRetries, bus.StreamLedger} {
			right = right && s.config(stream, "")["max_age"] == float64(0) && w.told(stream)
		}
		return right
	}, alarm+slack(), 50*time.Millisecond)
	slowest = max(slowest, time.Since(changed))
	ended := time.Now()
	w.lasts(4 * time.Second)
	stop()
	for _, p := range w.workers {
		p.awaitReady(t, patience)
	}
	w.check(check{
		fault: "F21 consumers deleted, settings changed", bound: 2 * underWay, unmarked: 2 * underWay, faults: []window{{began, ended}},
		recovery: again + slack(), note: fmt.Sprintf("put right within %s,", short(slowest)),
	})
}

// deleted deletes a whole stream from outside, under load.
func deleted(t *testing.T, stream string, cut bool, note string) *world {
	t.Helper()
	w := newWorld(t, false)
	w.goodHooks(hooks)
	w.receiver.reacts(flaky)
	for range 2 {
		w.run("WHISPERER_SWEEP_AFTER=3s", "WHISPERER_HOUSEKEEP_EVERY=1s")
	}
	s := w.stranger()
	stop := w.load(40, 1)
	w.lasts(4 * time.Second)
	began := time.Now()
	s.done("STREAM.DELETE."+stream, nil)
	require.Eventually(t, func() bool { return s.config(stream, "") != nil && w.told(stream) }, alarm+slack(), 50*time.Millisecond)
	ended := time.Now()
	w.lasts(8 * time.Second)
	stop()
	for _, p := range w.workers {
		p.awaitReady(t, patience)
	}
	c := check{
		fault: "F21 stream " + stream + " deleted", bound: 2 * underWay, unmarked: 2 * underWay, faults: []window{{began, ended}},
		recovery: 2*again + slack(), note: fmt.Sprintf("there again after %s, %s,", short(ended.Sub(began)), note),
	}
	if cut {
		c.cut = window{began, ended}
	}
	w.check(c)
	return w
}

// TestLongF21RETRIESDeleted deletes the retries. PostgreSQL knows all waiting deliveries, and the sweep repairs them. Nothing
// is lost.
func TestLongF21RETRIESDeleted(t *testing.T) {
	w := deleted(t, bus.StreamRetries, false, "what waited was swept")
	require.Positive(t, w.said("lost deliveries found and parked"), "something waited")
}

// TestLongF21LEDGERDeleted deletes the ledger's stream. Facts that were not recorded yet are gone, although receivers got the
// deliveries. They count as lost here, because nothing can report them. This affects the last moments before the deletion.
func TestLongF21LEDGERDeleted(t *testing.T) {
	deleted(t, bus.StreamLedger, true, "what was not recorded is not known")
}

// TestLongF21OMSDeleted deletes the event log. Events that no worker had taken are gone with it, and must be published again.
// Those that were taken are delivered. Publishers get an error until the stream exists again.
func TestLongF21OMSDeleted(t *testing.T) {
	deleted(t, bus.StreamOMS, true, "what was not taken is gone")
}
