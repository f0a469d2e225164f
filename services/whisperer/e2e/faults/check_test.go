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
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// memoryLimit is the most that a worker may ever have in memory, in MiB.
const memoryLimit = 256

// check says what has to be true of a world after its fault.
type check struct {
	fault string
	// bound is how many deliveries may have come twice.
	bound int
	// unflagged is how many of them may have come with the number of an attempt before: where nobody left alive knew of it.
	unflagged int
	// began and ended frame the fault.
	began, ended time.Time
	// recovery is how long after the end of the fault everything published before it may take to arrive.
	recovery time.Duration
	// repeat is how long after a receipt its repetition comes at the latest; 0 for no limit.
	repeat time.Duration
	// settle is how long after the load the last delivery may take to be recorded; 0 is a minute.
	settle time.Duration
	note   string
}

// history is what both ledgers and Postgres say, put together.
type history struct {
	published  []publication
	receipts   map[uuid.UUID][]receipt // by delivery, in the order of time
	deliveries map[uuid.UUID]webhook.Delivery
}

// check joins the publisher's ledger, the receiver's and Postgres, and fails the test for every promise that was broken.
func (w *world) check(c check) {
	w.t.Helper()
	h := w.settled(cmp.Or(c.settle, time.Minute))
	r := result{fault: c.fault, acked: len(h.published), bound: c.bound, note: c.note}
	var problems []string
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	var latest time.Duration
	for _, p := range h.published {
		for _, hook := range w.hooks {
			id := webhook.DeliveryID(hook.ID, p.Event)
			r.deliveries++
			first, ok := delivered(h, id)
			if !ok {
				r.lost++
				problem("lost: event %s for %s: %s", p.Event, hook.TargetURL, describe(h, id))
				continue
			}
			if p.Acked.Before(c.ended) {
				latest = max(latest, first.At.Sub(c.ended))
			}
		}
	}
	r.recovery = latest
	r.extras, r.unflagged = w.extras(h, c.repeat, problem)
	r.control, r.during, r.after = w.latencies(h, c.began, c.ended)
	memory := 0
	for _, p := range w.alive() {
		memory = max(memory, p.memory())
	}
	r.note = fmt.Sprintf("%s rss %d MiB", c.note, memory)
	results.add(r)
	w.t.Logf("%+v", r)
	if r.extras > c.bound {
		problem("%d deliveries came twice, more than %d", r.extras, c.bound)
	}
	if r.unflagged > c.unflagged {
		problem("%d attempts came twice under one number, more than %d", r.unflagged, c.unflagged)
	}
	if c.recovery > 0 && r.recovery > c.recovery {
		problem("recovery took %s, more than %s", r.recovery, c.recovery)
	}
	if memory > memoryLimit {
		problem("a worker had %d MiB in memory", memory)
	}
	w.silent(problem)
	if len(problems) > 10 {
		problems = append(problems[:10], fmt.Sprintf("and %d more", len(problems)-10))
	}
	require.Empty(w.t, problems)
}

// settled waits until everything that was acknowledged is at its end.
func (w *world) settled(limit time.Duration) history {
	w.t.Helper()
	deadline := time.Now().Add(limit)
	for {
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
		w.lasts(500 * time.Millisecond)
	}
}

func (w *world) history() history {
	w.t.Helper()
	h := history{receipts: map[uuid.UUID][]receipt{}, deliveries: map[uuid.UUID]webhook.Delivery{}, published: w.events.read(w.t)}
	page := postgres.Page{Limit: 5000}
	for more := true; more; {
		var list []webhook.Delivery
		var err error
		list, more, err = w.db.Deliveries(w.t.Context(), webhook.DefaultTenant, postgres.DeliveryFilter{}, page)
		require.NoError(w.t, err)
		for _, d := range list {
			h.deliveries[d.ID] = d
		}
		if len(list) > 0 {
			page.Older = &postgres.Position{At: list[len(list)-1].PublishedAt, ID: list[len(list)-1].ID}
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

// delivered returns the first receipt that was answered well, where Postgres says that there is one.
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

// extras counts receipts of what had been answered well before, and those of them whose attempt has no number of its
// own; each has to be the same delivery with the same bytes, and an attempt in the ledger.
func (w *world) extras(h history, repeat time.Duration, problem func(string, ...any)) (extras, unflagged int) {
	w.t.Helper()
	for id, list := range h.receipts {
		numbers := map[string]bool{}
		again := false
		for i, r := range list {
			if r.Faulty != "" {
				problem("signature of %s: %s", id, r.Faulty)
			}
			if r.Sum != list[0].Sum {
				problem("delivery %s came with other bytes", id)
			}
			if numbers[r.Attempt] {
				unflagged++
			}
			numbers[r.Attempt] = true
			if i == 0 || list[i-1].Status >= http.StatusMultipleChoices {
				continue
			}
			again = true
			extras++
			if gap := r.At.Sub(list[i-1].At); repeat > 0 && gap > repeat {
				problem("delivery %s came again after %s", id, gap)
			}
		}
		if again {
			w.accounted(id, list, problem)
		}
	}
	return extras, unflagged
}

// accounted checks that each receipt is an attempt in the ledger.
func (w *world) accounted(id uuid.UUID, list []receipt, problem func(string, ...any)) {
	w.t.Helper()
	_, attempts, err := w.db.Delivery(w.t.Context(), webhook.DefaultTenant, id)
	if err != nil {
		problem("delivery %s: %v", id, err)
		return
	}
	known := map[string]bool{}
	for _, a := range attempts {
		known[fmt.Sprint(a.Number)] = true
	}
	for _, r := range list {
		if !known[r.Attempt] {
			problem("attempt %s of delivery %s is not in the ledger", r.Attempt, id)
		}
	}
}

// latencies are 99th percentiles from publication to arrival: of events published before the fault, during and after it.
func (w *world) latencies(h history, began, ended time.Time) (before, during, after time.Duration) {
	var lists [3][]time.Duration
	for _, p := range h.published {
		i := 0
		switch {
		case p.Sent.After(ended):
			i = 2
		case p.Sent.After(began):
			i = 1
		}
		for _, hook := range w.hooks {
			if list := h.receipts[webhook.DeliveryID(hook.ID, p.Event)]; len(list) > 0 {
				lists[i] = append(lists[i], max(0, list[0].At.Sub(p.Sent)))
			}
		}
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

// silent checks that no log has a secret or a payload in it.
func (w *world) silent(problem func(string, ...any)) {
	w.t.Helper()
	logs, err := filepath.Glob(filepath.Join(w.dir, "*.log"))
	require.NoError(w.t, err)
	for _, name := range logs {
		content, err := os.ReadFile(name)
		require.NoError(w.t, err)
		for _, word := range []string{secret[len("whsec_"):], canary, w.key} {
			if bytes.Contains(content, []byte(word)) {
				problem("%s says what must not be said", filepath.Base(name))
			}
		}
		if bytes.Contains(content, []byte("panic:")) || bytes.Contains(content, []byte("DATA RACE")) {
			problem("%s tells of a panic", filepath.Base(name))
		}
	}
}
