package bus

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAProcessThatWasStoppedDoubtsWhatItHadBefore(t *testing.T) {
	t.Parallel()
	b := &Bus{}
	had := time.Now()
	require.False(t, b.Stopped(had), "the first beat says nothing")
	b.pulse.beat.Add(-int64(stoppedFor - time.Second))
	require.False(t, b.Stopped(had), "the server waits for longer")

	b.pulse.beat.Add(-int64(stoppedFor))
	require.True(t, b.Stopped(had))
	require.True(t, b.Stopped(had), "the second question has the same answer")
	require.False(t, b.Stopped(time.Now().Add(time.Millisecond)), "what it gets from now on is its own")
}
