//go:build faults

package faults_test

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// memoryLimit is the limit of a worker's memory at any time, in MiB.
const memoryLimit = 256

// window is the time of one fault.
type window struct{ began, ended time.Time }

// check holds the conditions that must be true of a world after its faults.
type check struct {
	fault string
	// bound is the maximum number of requests beyond the first successful one.
	bound int
	// unmarked is the maximum number of those that may reuse an earlier attempt's number, because no living worker knew of that
	// attempt.
	unmarked int
	faults   []window
	// recovery is the time after the end of a fault within which everything published before must arrive.
	recovery time.Duration
	// repeat is the time within which a repetition must follow a receipt, or the end of the fault during which the receipt
	// came; 0 for no limit.
	repeat time.Duration
	// settle is the time after the load within which the last delivery must be recorded; 0 for the usual patience.
	settle time.Duration
	// sick is the hook at which the fault is aimed. It does not count for the latency of healthy hooks.
	sick uuid.UUID
	// cut is a power cut, which may lose up to a second of what was acknowledged before; zero for none.
	cut  window
	note string
}

// grace is the time before a power cut whose data may be lost, including the time that a disk needs to sync.
const grace = 2 * time.Second

// history joins both ledgers and the records in PostgreSQL.
type history struct {
	published  []publication
	receipts   map[uuid.UUID][]receipt // by delivery, in order of time
	deliveries map[uuid.UUID]webhook.Delivery
}

// arrival is a delivery that arrived.
type arrival struct {
	sent, acked, first time.Time
	sick               bool
}

// check compares the publisher's ledger, the receiver's and PostgreSQL, and fails the test for each broken promise.
func (w *world) check(c check) result {
	w.t.Helper()
	h := w.settled(cmp.Or(c.settle, patience))
	r := result{fault: c.fault, acked: len(h.published), bound: c.bound}
	var p problems
	var arrived []arrival
	for _, e := range h.published {
		for _, hook := range w.hooks {
			id := webhook.DeliveryID(hook.ID, e.Event)
			if first, ok := delivered(h, id); ok {
				arrived = append(arrived, arrival{e.Sent, e.Acked, first.At, hook.ID == c.sick})
				continue
			}
			r.lost++
			if e.Acked.Before(c.cut.ended) && e.Acked.After(c.cut.began.Add(-grace)) {
				continue
			}
			p.add("lost: event %s for %s: %s", e.Event, hook.TargetURL, describe(h, id))
		}
	}
	for _, f := range c.faults {
		for _, a := range arrived {
			if a.acked.Before(f.ended) {
				r.recovery = max(r.recovery, a.first.Sub(f.ended))
			}
		}
	}
	r.extras, r.same, r.unmarked = w.extras(h, c, &p)
	r.before, r.during, r.after = latencies(arrived, c.faults)
	memory := 0
	for _, worker := range w.alive() {
		memory = max(memory, worker.memory())
	}
	r.note = strings.TrimSpace(fmt.Sprintf("%s %d MiB", c.note, memory))
	results.add(r)
	p.limit("requests beyond the first", r.extras, c.bound)
	p.limit("attempts under the number of another", r.unmarked, c.unmarked)
	p.limit("MiB of memory in a worker", memory, memoryLimit)
	if c.recovery > 0 && r.recovery > c.recovery {
		p.add("recovery took %s, more than %s", r.recovery, c.recovery)
	}
	w.silent(&p)
	require.Empty(w.t, p.list())
	return r
}

// problems collects the promises that were broken.
type problems struct {
	first []string
	more  int
}

func (p *problems) add(format string, args ...any) {
	if len(p.first) == 10 {
		p.more++
		return
	}
	p.first = append(p.first, fmt.Sprintf(format, args...))
}

func (p *problems) limit(what string, got, most int) {
	if got > most {
		p.add("%d %s, and not at most %d", got, what, most)
	}
}

func (p *problems) list() []string {
	if p.more > 0 {
		return append(p.first, fmt.Sprintf("and %d more", p.more))
	}
	return p.first
}

// settled waits until every delivery of an acknowledged event is final.
func (w *world) settled(limit time.Duration) history {
	w.t.Helper()
	deadline := time.Now().Add(limit)
	for {
		began := time.Now()
		h := w.history()
		open := 0
		for _, p := range h.published {
			for _, hook := range w.hooks {
				if d, ok := h.deliveries[webhook.DeliveryID(hook.ID, p.Event)]; !ok || !d.State.Final() {
					open++
				}
			}
		}
		if open == 0 || time.Now().After(deadline) {
			return h
		}
		w.lasts(max(500*time.Millisecond, time.Since(began)))
	}
}

func (w *world) history() history {
	w.t.Helper()
	h := history{receipts: map[uuid.UUID][]receipt{}, deliveries: map[uuid.UUID]webhook.Delivery{}, published: w.events.read(w.t)}
	page := store.Page{Limit: 5000}
	for more := true; more; {
		var list []webhook.Delivery
		var err error
		list, more, err = w.db.History.ListDeliveries(w.t.Context(), webhook.DefaultTenant, store.DeliveryFilter{}, page)
		require.NoError(w.t, err)
		for _, d := range list {
			h.deliveries[d.ID] = d
		}
		if len(list) > 0 {
			page.Older = &store.Position{At: list[len(list)-1].PublishedAt, ID: list[len(list)-1].ID}
		}
	}
	for _, r := range w.receiver.ledger.read(w.t) {
		id, err := uuid.Parse(r.ID)
		require.NoError(w.t, err, "webhook-id")
		h.receipts[id] = append(h.receipts[id], r)
	}
	for _, list := range h.receipts {
		slices.SortFunc(list, func(a, b receipt) int { return a.At.Compare(b.At) })
	}
	return h
}

// delivered returns the first successful receipt of a delivery that is recorded as delivered.
func delivered(h history, id uuid.UUID) (receipt, bool) {
	if h.deliveries[id].State != webhook.Delivered {
		return receipt{}, false
	}
	for _, r := range h.receipts[id] {
		if r.Status < http.StatusMultipleChoices {
			return r, true
		}
	}
	return receipt{}, false
}

func describe(h history, id uuid.UUID) string {
	d, recorded := h.deliveries[id]
	if !recorded {
		return fmt.Sprintf("not recorded, %d receipts", len(h.receipts[id]))
	}
	return fmt.Sprintf("%s %s after %d attempts, next at %s, %d receipts", d.State, d.Reason, d.Attempts, d.NextAt, len(h.receipts[id]))
}

// extras counts the receipts after a successful one, those among them with the same bytes, and those whose attempt reuses a
// number. Each must be a recorded attempt.
func (w *world) extras(h history, c check, p *problems) (extras, same, unmarked int) {
	w.t.Helper()
	for id, list := range h.receipts {
		numbers := map[string]bool{}
		again := false
		for i, r := range list {
			if r.Faulty != "" {
				p.add("signature of %s: %s", id, r.Faulty)
			}
			if r.Sum != list[0].Sum {
				p.add("delivery %s came with other bytes", id)
			}
			if numbers[r.Attempt] {
				unmarked++
			}
			numbers[r.Attempt] = true
			if i == 0 || list[i-1].Status >= http.StatusMultipleChoices {
				continue
			}
			again = true
			extras++
			if r.ID == list[0].ID && r.Sum == list[0].Sum {
				same++
			}
			if gap := r.At.Sub(c.calm(list[i-1].At)); c.repeat > 0 && gap > c.repeat {
				p.add("delivery %s came again after %s", id, gap)
			}
		}
		if again {
			w.accounted(id, list, p)
		}
	}
	return extras, same, unmarked
}

// calm returns the given time, or the end of the fault at that time, because the fault may also hurt the worker that takes
// over.
func (c check) calm(at time.Time) time.Time {
	for _, f := range c.faults {
		if !at.Before(f.began) && at.Before(f.ended) {
			return f.ended
		}
	}
	return at
}

// accounted checks that each receipt is a recorded attempt.
func (w *world) accounted(id uuid.UUID, list []receipt, p *problems) {
	w.t.Helper()
	_, attempts, err := w.db.History.GetDelivery(w.t.Context(), webhook.DefaultTenant, id)
	if err != nil {
		p.add("delivery %s: %v", id, err)
		return
	}
	known := map[string]bool{}
	for _, a := range attempts {
		known[fmt.Sprint(a.Number)] = true
	}
	for _, r := range list {
		if !known[r.Attempt] {
			p.add("attempt %s of delivery %s is not in the ledger", r.Attempt, id)
		}
	}
}

// latencies returns the 99th percentiles of the time from publication to arrival, for events published before the first fault,
// during a fault, and after one.
func latencies(arrived []arrival, faults []window) (before, during, after time.Duration) {
	var lists [3][]time.Duration
	for _, a := range arrived {
		i := 2
		switch {
		case a.sick:
			continue
		case len(faults) == 0 || a.sent.Before(faults[0].began):
			i = 0
		case slices.ContainsFunc(faults, func(f window) bool { return !a.sent.Before(f.began) && a.sent.Before(f.ended) }):
			i = 1
		}
		lists[i] = append(lists[i], max(0, a.first.Sub(a.sent)))
	}
	return p99(lists[0]), p99(lists[1]), p99(lists[2])
}

func p99(list []time.Duration) time.Duration {
	if len(list) == 0 {
		return 0
	}
	slices.Sort(list)
	return list[(len(list)-1)*99/100]
}

// silent checks that no log contains a secret or a payload.
func (w *world) silent(p *problems) {
	w.t.Helper()
	logs, err := filepath.Glob(filepath.Join(w.dir, "*.log"))
	require.NoError(w.t, err)
	for _, name := range logs {
		content, err := os.ReadFile(name)
		require.NoError(w.t, err)
		for _, word := range []string{secret[len("whsec_"):], canary, w.key} {
			if bytes.Contains(content, []byte(word)) {
				p.add("%s says what must not be said", filepath.Base(name))
			}
		}
		if bytes.Contains(content, []byte("panic:")) || bytes.Contains(content, []byte("DATA RACE")) {
			p.add("%s tells of a panic", filepath.Base(name))
		}
	}
}
