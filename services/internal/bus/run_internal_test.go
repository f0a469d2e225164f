package bus

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

func TestAClockThatIsSetBackBeginsARun(t *testing.T) {
	t.Parallel()
	x := &source{sub: &Subscription{}, consumer: &consumerOf{}}
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	number := uint64(0)
	follow := func(seq uint64, deliveries uint64, at time.Time) Run {
		number++
		run, _ := x.follow(&jetstream.MsgMetadata{Sequence: jetstream.SequencePair{Stream: seq, Consumer: number}, NumDelivered: deliveries, Timestamp: at})
		return run
	}
	require.Equal(t, Run{ID: 1, After: 4}, follow(5, 1, noon))
	require.Equal(t, Run{ID: 1, After: 4}, follow(6, 1, noon))
	require.Equal(t, Run{ID: 1, After: 4}, follow(5, 2, noon.Add(-time.Hour)), "one that comes again is older")
	require.Equal(t, Run{ID: 2, After: 6}, follow(7, 1, noon.Add(-time.Microsecond)))
	require.Equal(t, Run{ID: 2, After: 6}, follow(8, 1, noon))
}

// TestWhatOthersGotOfAPartitionBeginsARun has two partitions, which share one run.
func TestWhatOthersGotOfAPartitionBeginsARun(t *testing.T) {
	t.Parallel()
	s := &Subscription{stretch: Run{After: 40}} // other subscriptions had got these before this one began
	a, b := &source{sub: s, consumer: &consumerOf{}, handed: 3}, &source{sub: s, consumer: &consumerOf{}}
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	follow := func(x *source, number, seq, deliveries uint64) Run {
		run, _ := x.follow(&jetstream.MsgMetadata{Sequence: jetstream.SequencePair{Stream: seq, Consumer: number}, NumDelivered: deliveries, Timestamp: noon})
		return run
	}
	require.Equal(t, Run{ID: 1, After: 40}, follow(b, 1, 20, 1), "it may be of before what others had of the other partition")
	require.Equal(t, Run{ID: 1, After: 40}, follow(a, 4, 41, 1))
	require.Equal(t, Run{ID: 1, After: 40}, follow(a, 5, 60, 1), "what is between is the other partition's")
	require.Equal(t, Run{ID: 1, After: 40}, follow(b, 2, 50, 1))
	require.Equal(t, Run{ID: 2, After: 69}, follow(a, 7, 70, 1), "somebody else got the sixth")
	require.Equal(t, Run{ID: 2, After: 69}, follow(b, 3, 61, 1))
	require.Equal(t, Run{ID: 3, After: 69}, follow(b, 5, 61, 2), "one that comes again does not say what others got before")
	require.Equal(t, Run{ID: 4, After: 79}, follow(b, 6, 80, 1))
	require.Equal(t, Run{ID: 4, After: 79}, follow(a, 8, 71, 1))
}

// consumerOf stands for a consumer that was created long ago.
type consumerOf struct{ jetstream.Consumer }

func (*consumerOf) CachedInfo() *jetstream.ConsumerInfo { return &jetstream.ConsumerInfo{} }
