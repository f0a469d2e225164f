package bus_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestWhatAnOperatorSetStaysUntilItIsAppliedOnPurpose(t *testing.T) {
	t.Parallel()
	url := testenv.NATS(t)
	js := client(t, url)
	b := program(t, bus.Options{URL: url, OMSMaxBytes: 2 << 20, OwnMaxBytes: 1 << 20})
	require.NoError(t, b.Streams().Ensure(t.Context()))
	settings, err := b.Streams().Settings(t.Context())
	require.NoError(t, err)
	require.Empty(t, settings)
	edited := configs(t, js)["OMS"]
	edited.MaxBytes = 3 << 20
	_, err = js.UpdateStream(t.Context(), edited)
	require.NoError(t, err)

	for range 2 { // a restart, and a check of the topology
		started := program(t, bus.Options{URL: url, OMSMaxBytes: 2 << 20, OwnMaxBytes: 4 << 20})
		require.NoError(t, started.Streams().Ensure(t.Context()))
		repaired, err := started.Streams().Repair(t.Context())
		require.NoError(t, err)
		require.Empty(t, repaired)
		require.EqualValues(t, 3<<20, configs(t, js)["OMS"].MaxBytes)
		require.EqualValues(t, 1<<20, configs(t, js)["OWN"].MaxBytes)
		settings, err := started.Streams().Settings(t.Context())
		require.NoError(t, err)
		require.Equal(t, []bus.Setting{
			{Stream: "OMS", Name: "max_bytes", Have: 3 << 20, Want: 2 << 20},
			{Stream: "OWN", Name: "max_bytes", Have: 1 << 20, Want: 4 << 20},
		}, settings)
	}
	require.NoError(t, b.Streams().ApplySettings(t.Context()))
	require.EqualValues(t, 2<<20, configs(t, js)["OMS"].MaxBytes)
	settings, err = b.Streams().Settings(t.Context())
	require.NoError(t, err)
	require.Empty(t, settings)
}
