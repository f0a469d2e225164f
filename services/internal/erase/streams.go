package erase

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// work is the part of a batch outside of PostgreSQL.
type work struct {
	bus    *bus.Bus
	events map[store.EventKey]bool
	// told has the prefixes of the ids of callbacks about the events' deliveries.
	told   map[string]bool
	counts map[string]int64
}

func newWork(b *bus.Bus, events []store.EventKey) *work {
	w := &work{bus: b, events: map[store.EventKey]bool{}, told: map[string]bool{}, counts: map[string]int64{}}
	for _, k := range events {
		w.events[k] = true
	}
	return w
}

func (w *work) add(place string, n int64) {
	if n > 0 {
		w.counts[place] += n
	}
}

// note counts the results for messages of a stream.
func (w *work) note(stream string, became bus.Wiped, n int64) {
	switch became {
	case bus.Overwritten:
		w.add(stream+"_overwritten", n)
	case bus.Deleted:
		w.add(stream+"_deleted", n)
	case bus.Kept:
		w.add(stream+"_kept", n)
	case bus.Absent:
	}
}

// stored erases messages in the streams of events.
func (w *work) stored(ctx context.Context, list []store.Stored) error {
	for _, e := range list {
		became, err := w.bus.EraseEvent(ctx, e.Seq, e.At)
		if err != nil {
			return err
		}
		w.note(strings.ToLower(e.Seq.Stream().String()), became, 1)
	}
	return nil
}

func (w *work) streams(ctx context.Context, traces store.Traces) error {
	if err := w.stored(ctx, traces.Events); err != nil {
		return err
	}
	hooks := map[uuid.UUID]bool{uuid.Nil: true}
	for _, d := range traces.Retries {
		became, err := w.bus.Retries().Erase(ctx, d.Hook, d.ID, d.PublishedAt)
		if err != nil {
			return err
		}
		w.note("retries", became, 1)
		hooks[d.Hook] = true
		w.told[webhook.ReservedIDPrefix+webhook.CallbackIDPrefix(d.ID)] = true
	}
	for hook := range hooks {
		counts, err := w.bus.Retries().EraseDue(ctx, hook, w.isOurs)
		if err != nil {
			return err
		}
		for became, n := range counts {
			w.note("retries", became, n)
		}
	}
	counts, err := w.bus.Aside().Erase(ctx, func(*bus.SetAside) (bool, error) { return false, nil },
		func(b *whispererv1.LedgerBatch) (bool, error) { return w.facts(b), nil })
	for became, n := range counts {
		w.note("setaside", became, n)
	}
	return err
}

// isOurs reports whether a retry belongs to an event of the batch, or is a callback about its deliveries.
func (w *work) isOurs(retry *whispererv1.Retry) bool {
	id := retry.GetEventId()
	if w.events[store.EventKey{Tenant: retry.GetTenant(), ID: id}] {
		return true
	}
	for range 2 { // cut off the number of attempts and the state
		if at := strings.LastIndexByte(id, ':'); at >= 0 {
			id = id[:at]
		}
	}
	return w.told[id+":"]
}

// facts removes the payloads of the batch's events from facts, and reports whether there were any.
func (w *work) facts(batch *whispererv1.LedgerBatch) (found bool) {
	for _, f := range batch.GetFacts() {
		if w.events[store.EventKey{Tenant: f.GetTenant(), ID: f.GetEventId()}] && Strip(f.GetAttempt()) {
			found = true
		}
	}
	return found
}

// Strip removes everything from an attempt's record that may contain its event's payload, and reports whether there
// was anything.
func Strip(a *whispererv1.AttemptFact) bool {
	had := a.GetRequestHeaders() != "" || a.GetResponseHeaders() != "" || len(a.GetResponseBody()) > 0 || a.GetError() != ""
	if had {
		a.RequestHeaders, a.ResponseHeaders, a.ResponseBody, a.Error = "", "", nil, ""
	}
	return had
}
