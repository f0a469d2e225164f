package daemon_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

func TestMisspeltVariablesAreNamedWithTheNearest(t *testing.T) {
	t.Parallel()
	for variable, want := range map[string]string{
		"WHISPERER_NATS_ULR=x":       "WHISPERER_NATS_URL may be meant",
		"WHISPERER_NAT_URL=x":        "WHISPERER_NATS_URL may be meant",
		"WHISPERER_DATABASEURL=x":    "WHISPERER_DATABASE_URL may be meant",
		"WHISPERER_MASTERKEY=secret": "WHISPERER_MASTER_KEY may be meant",
		"WHISPERER_LOGLEVEL=debug":   "WHISPERER_LOG_LEVEL may be meant",
		"WHISPERER_NATS_CRED_FILE=x": "WHISPERER_NATS_CREDS_FILE may be meant",
		"WHISPERER_XYZZY=1":          "WHISPERER_XYZZY is no variable that Whisperer knows, and does nothing",
		"WHISPERER_=1":               "is no variable",
	} {
		t.Run(variable, func(t *testing.T) {
			t.Parallel()
			warnings := daemon.Unknown([]string{"PATH=/bin", variable, "WHISPERER_TEST_ENV=docker"})
			require.Len(t, warnings, 1)
			require.Contains(t, warnings[0], want)
			require.NotContains(t, warnings[0], "secret", "a value is nobody's business")
		})
	}
	require.Empty(t, daemon.Unknown([]string{"WHISPERER_HOOK_QUOTA=1", "WHISPERER_SLOTS=2", "WHISPERER_TOKEN=t", "WHISPERERS=1", "HOME=/"}))
}

func TestBrokenURLsAreNamedWithoutTheirPassword(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"postgres://me:se/cret@host/db", "localhost:5432", "mysql://me:secret@host/db", "postgres://me:%zzsecret@host/db"} {
		t.Run(url, func(t *testing.T) {
			t.Parallel()
			err := daemon.ValidateURL(url, "postgres", "postgresql")
			require.ErrorContains(t, err, "postgres://user:password@host")
			require.NotContains(t, err.Error(), "cret")
		})
	}
	for _, url := range []string{"postgres://me:secret@host/db", "postgresql://host", "postgres:///db?host=/run", "host=db user=me dbname=whisperer"} {
		require.NoError(t, daemon.ValidateURL(url, "postgres", "postgresql"))
	}
}
