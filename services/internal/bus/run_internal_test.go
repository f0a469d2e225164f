package bus

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

func TestAClockThatIsSetBackBeginsARun(t *testing.T) {
	t.Parallel()
	s := &Subscription{}
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	follow := func(seq uint64, deliveries uint64, at time.Time) Run {
		return s.follow(&jetstream.MsgMetadata{Sequence: jetstream.SequencePair{Stream: seq}, NumDelivered: deliveries, Timestamp: at})
	}
	require.Equal(t, Run{ID: 1, After: 4}, follow(5, 1, noon))
	require.Equal(t, Run{ID: 1, After: 4}, follow(6, 1, noon))
	require.Equal(t, Run{ID: 1, After: 4}, follow(5, 2, noon.Add(-time.Hour)), "one that comes again is older")
	require.Equal(t, Run{ID: 2, After: 6}, follow(7, 1, noon.Add(-time.Microsecond)))
	require.Equal(t, Run{ID: 2, After: 6}, follow(8, 1, noon))
}
