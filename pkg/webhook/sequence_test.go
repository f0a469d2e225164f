package webhook_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestASequenceKnowsItsStream(t *testing.T) {
	t.Parallel()
	logged, own := webhook.SequenceIn(webhook.OMS, 42), webhook.SequenceIn(webhook.Own, 7)
	require.EqualValues(t, 42, logged, "in the event log it is the number, as rows from before there were two streams have it")
	require.Equal(t, webhook.OMS, logged.Stream())
	require.Equal(t, webhook.Own, own.Stream())
	require.EqualValues(t, 7, own.Number())
	require.Less(t, uint64(own), uint64(math.MaxInt64), "it fits into a bigint")

	require.True(t, logged.Before(43))
	require.False(t, logged.Before(42))
	require.True(t, own.Before(webhook.SequenceIn(webhook.Own, 8)))
	require.False(t, logged.Before(own), "different streams have no order")
	require.False(t, own.Before(logged))
}
