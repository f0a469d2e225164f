package daemon_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

func TestSharesBoundEachAndAll(t *testing.T) {
	t.Parallel()
	s := daemon.NewShares(3, 10*time.Millisecond, 2, 1)
	const north, south, east = "north", "south", "east"
	take := func(names ...string) func() {
		release, err := s.Take(t.Context(), names...)
		require.NoError(t, err)
		return release
	}
	first, second := take(north), take(north)
	_, err := s.Take(t.Context(), north)
	require.ErrorIs(t, err, daemon.ErrShare)
	require.ErrorContains(t, err, "north")
	third := take(south)
	_, err = s.Take(t.Context(), east)
	require.ErrorIs(t, err, daemon.ErrBusy)
	second()
	fourth := take(south)
	third()
	third = take(south, "token")
	fourth()
	_, err = s.Take(t.Context(), south, "token")
	require.ErrorIs(t, err, daemon.ErrShare)
	require.ErrorContains(t, err, "token")
	fourth = take(south, south)
	for _, release := range []func(){first, third, fourth} {
		release()
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Take(ended, north, south)
	require.ErrorIs(t, err, context.Canceled)
	take(north, north)()
}
