package daemon_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

func TestADependencyIsAwaitedUnlessTryingAgainDoesNotMendIt(t *testing.T) {
	t.Parallel()
	away, final := errors.New("away"), errors.New("final")
	tries := 0
	err := daemon.Await(t.Context(), zap.NewNop(), "store", func(context.Context) error {
		tries++
		if tries == 1 {
			return away
		}
		return nil
	}, final)
	require.NoError(t, err)
	require.Equal(t, 2, tries)
	err = daemon.Await(t.Context(), zap.NewNop(), "store", func(context.Context) error { return final }, final)
	require.ErrorIs(t, err, final)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err = daemon.Await(ctx, zap.NewNop(), "store", func(context.Context) error { return away }, final)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "wait for store")
}
