package seed_test

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/seed"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

func TestAMadeUpHistoryHasWhatIsLookedUp(t *testing.T) {
	t.Parallel()
	db := testenv.OpenStore(t)
	plain := testenv.Plain(t, db.URL)
	told := 0
	hooks, err := seed.History(t.Context(), db.DB, plain, seed.Options{
		Hooks: 40, Attempts: 10_000, EventTypes: []string{"order.created"}, Progress: func(n int) { told = n },
	})
	require.NoError(t, err)
	require.Len(t, hooks, 32, "of the default tenant")
	require.InEpsilon(t, 10_000, told, 0.15)
	var attempts int
	require.NoError(t, plain.QueryRowContext(t.Context(), `SELECT count(*) FROM attempts`).Scan(&attempts))
	require.Equal(t, told, attempts)

	resting, err := db.History.CountResting(t.Context(), webhook.DefaultTenant)
	require.NoError(t, err)
	require.Equal(t, 1, resting, "the one whose deliveries are parked by the breaker")
	ill, err := db.History.ListUnhealthy(t.Context(), webhook.DefaultTenant, 10)
	require.NoError(t, err)
	require.Len(t, ill, 1)
	sample, err := seed.Sample(t.Context(), plain, webhook.DefaultTenant, told, 100)
	require.NoError(t, err)
	require.Len(t, sample, 100)
	stats, err := db.History.HookStats(t.Context(), webhook.DefaultTenant, hooks[0], time.Now())
	require.NoError(t, err)
	require.Greater(t, stats.Month[webhook.Delivered], 1000)
}
