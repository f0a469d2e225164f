package webhook_test

import (
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestABatchHasAnIDOfItsOwnThatItsDeliveriesAloneDecide(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		hook := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "hook"))
		ids := make([]uuid.UUID, rapid.IntRange(1, webhook.MaxBatch).Draw(t, "n"))
		for i := range ids {
			ids[i] = webhook.DeliveryID(hook, string(rune('a'+i)))
		}
		id := webhook.BatchID(hook, ids)
		require.Equal(t, id, webhook.BatchID(hook, slices.Clone(ids)))
		if len(ids) == 1 {
			require.Equal(t, ids[0], id)
			return
		}
		require.NotContains(t, ids, id)
		less := slices.Delete(slices.Clone(ids), 0, 1)
		require.NotEqual(t, id, webhook.BatchID(hook, less))
		turned := slices.Clone(ids)
		slices.Reverse(turned)
		require.NotEqual(t, id, webhook.BatchID(hook, turned))
	})
}
