package bench

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestFiguresOfNoDeliveryAreZero(t *testing.T) {
	t.Parallel()
	now := time.Now()
	none := loaded{begin: now, recorded: now.Add(time.Second)}
	f := none.figures(used{})
	require.Zero(t, f.Deliveries)
	require.Zero(t, f.PerSecond)
	require.Zero(t, f.RecordedAfter, "there was no last arrival to count from")

	one := loaded{begin: now, recorded: now.Add(3 * time.Second), got: got{Last: now.Add(time.Second).UnixNano(), Latencies: []int64{1}}}
	require.InDelta(t, 2.0, one.figures(used{}).RecordedAfter, 0.001)
}

func TestABacklogBeginsWithTheFirstDeliveryOfAnyHook(t *testing.T) {
	t.Parallel()
	at := time.Now().Add(-time.Minute)
	g := got{First: []int64{0, at.Add(time.Second).UnixNano(), at.UnixNano()}}
	require.Equal(t, at.UnixNano(), g.began().UnixNano(), "a hook that got none has no first")
	require.WithinDuration(t, time.Now(), (&got{First: []int64{0}}).began(), time.Minute)
}
