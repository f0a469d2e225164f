package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

const (
	// changes is how many hooks are created, one after the other, while events for them are published.
	changes = 100
	// changeProbes and probeEvery are the maximum number and the interval of the events published for one of them.
	changeProbes = 1000
	probeEvery   = 2 * time.Millisecond
)

// measureChanges creates hooks. It returns the sorted times in milliseconds from a hook's commit until the first
// event that reaches it arrives, which includes the delivery of that event.
func (b *bench) measureChanges(ctx context.Context, y *system) ([]float64, error) {
	ring, err := seal.ParseRing(y.key)
	if err != nil {
		return nil, err
	}
	db, err := store.Open(y.postgres.URL("postgres"), 1, ring)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if err := b.receiver.do(ctx, verbExpect, expectation{Hooks: changes, Events: changeProbes, Hanging: -1}, nil); err != nil {
		return nil, err
	}
	took := make([]float64, 0, changes)
	for n := range changes {
		committed, err := b.change(ctx, y, db, n)
		if err != nil {
			return nil, err
		}
		var g got
		if err := b.receiver.do(ctx, verbGot, nil, &g); err != nil {
			return nil, err
		}
		if g.First[n] == 0 {
			return nil, fmt.Errorf("hook %d of %d never got an event", n+1, changes)
		}
		took = append(took, float64(time.Unix(0, g.First[n]).Sub(committed))/float64(time.Millisecond))
	}
	slices.Sort(took)
	return took, nil
}

// change creates hook n and publishes events for it until one arrives. It returns when the hook was committed.
func (b *bench) change(ctx context.Context, y *system, db *store.DB, n int) (committed time.Time, err error) {
	name := "bench.change.n" + strconv.Itoa(n)
	h, err := newHook(b.targets.Plain+strconv.Itoa(n), name)
	if err != nil {
		return committed, err
	}
	if _, err := db.Hooks.CreateMany(ctx, actor, webhook.DefaultTenant, []webhook.Hook{h}, math.MaxInt32); err != nil {
		return committed, err
	}
	committed = time.Now()
	text, err := json.Marshal(map[string]any{"data": markEdge + strings.Repeat("0", seqDigits) + "|" + strings.Repeat("0", atDigits) + markEdge})
	if err != nil {
		return committed, fmt.Errorf("make probe: %w", err)
	}
	probe := template{text: text, mark: strings.Index(string(text), markEdge)}
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	for seq := range changeProbes {
		err := y.bus.PublishEvents(ctx, []bus.Outgoing{{
			Tenant: webhook.DefaultTenant, Type: name, ID: fmt.Sprintf("change-%d-%d", n, seq), Body: probe.fill(seq, time.Now()),
		}})
		if err != nil {
			return committed, err
		}
		var p progress
		if err := b.receiver.do(ctx, verbProgress, nil, &p); err != nil || p.Reached > n {
			return committed, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return committed, ctx.Err()
		}
	}
	return committed, nil
}
