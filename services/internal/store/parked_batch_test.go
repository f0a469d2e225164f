package store_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

func TestWhatCanBeSentInBatches(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	batches := map[string]uuid.NullUUID{"B": {UUID: uuid.New(), Valid: true}, "C": {UUID: uuid.New(), Valid: true}, "": {}}
	row := func(entity, batch string, together int, age time.Duration) store.BatchCandidate {
		return store.BatchCandidate{Entity: entity, Batch: batches[batch], Together: together, ParkedAt: noon.Add(-age)}
	}
	const fresh, old = 0, time.Minute
	for name, c := range map[string]struct {
		ordering webhook.Ordering
		list     []store.BatchCandidate
		want     []bool
	}{
		"a full batch, and the rest waits": {
			webhook.OrderNone,
			[]store.BatchCandidate{row("x", "", 0, fresh), row("x", "", 0, fresh), row("y", "", 0, fresh)},
			[]bool{true, true, false},
		},
		"the rest has waited": {
			webhook.OrderNone,
			[]store.BatchCandidate{row("x", "", 0, fresh), row("x", "", 0, fresh), row("y", "", 0, old)},
			[]bool{true, true, true},
		},
		"a batch that is whole": {
			webhook.OrderEntity,
			[]store.BatchCandidate{row("x", "B", 2, fresh), row("y", "B", 2, fresh), row("x", "", 0, old)},
			[]bool{true, true, true},
		},
		"one that is not keeps its entities back": {
			webhook.OrderEntity,
			[]store.BatchCandidate{row("x", "B", 2, fresh), row("x", "", 0, old), row("y", "", 0, old), row("", "", 0, old)},
			[]bool{false, false, true, true},
		},
		"and the batches of those, and theirs": {
			webhook.OrderEntity,
			[]store.BatchCandidate{row("x", "B", 2, fresh), row("x", "C", 2, fresh), row("y", "C", 2, fresh), row("y", "", 0, old), row("z", "", 0, old)},
			[]bool{false, false, false, false, true},
		},
		"what has no entity keeps nothing back": {
			webhook.OrderEntity,
			[]store.BatchCandidate{row("", "B", 2, fresh), row("", "", 0, old)},
			[]bool{false, true},
		},
		"in the hook's order it keeps all back": {
			webhook.OrderHook,
			[]store.BatchCandidate{row("x", "", 0, old), row("x", "B", 2, fresh), row("y", "", 0, old)},
			[]bool{true, false, false},
		},
		"without an order it keeps nothing back": {
			webhook.OrderNone,
			[]store.BatchCandidate{row("x", "B", 2, fresh), row("x", "", 0, old)},
			[]bool{false, true},
		},
		"nothing": {webhook.OrderEntity, nil, []bool{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, store.ReadyForBatches(c.list, &webhook.Batch{MaxEvents: 2, MaxWait: time.Second}, c.ordering, noon))
		})
	}
}
