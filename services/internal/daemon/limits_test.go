package daemon_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

func TestEachIsLimitedOnItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := daemon.NewLimits(time.Second, 2)
		require.Zero(t, l.Wait("a"))
		require.Zero(t, l.Wait("a"))
		require.Equal(t, time.Second, l.Wait("a"))
		require.Zero(t, l.Wait("b"))
		<-time.After(time.Second)
		require.Zero(t, l.Wait("a"))
		require.Positive(t, l.Wait("a"))
	})
}
