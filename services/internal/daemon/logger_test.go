package daemon_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

func TestJSONLoggerWritesForMachines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := daemon.NewLogger("info", "json", &out)
	require.NoError(t, err)
	log.Debug("below the level")
	log.Info("delivery attempted", zap.Duration("duration", 1500*time.Millisecond))

	var line map[string]any
	require.NoError(t, json.Unmarshal(out.Bytes(), &line), out.String())
	require.Equal(t, "info", line["level"])
	require.Equal(t, "delivery attempted", line["message"])
	require.Equal(t, "1.5s", line["duration"])
	_, err = time.Parse(time.RFC3339Nano, line["time"].(string))
	require.NoError(t, err)
}

func TestConsoleLoggerWritesForPeople(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := daemon.NewLogger("debug", "console", &out)
	require.NoError(t, err)
	log.Debug("started")
	require.Regexp(t, `^\d\d:\d\d:\d\d\.\d{3}\tDEBUG\tstarted\n$`, out.String())
}

func TestLoggerRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	_, err := daemon.NewLogger("loud", "json", nil)
	require.ErrorContains(t, err, `"loud"`)
	_, err = daemon.NewLogger("info", "xml", nil)
	require.ErrorContains(t, err, `"xml"`)
}

func TestVersionPrefersWhatWasLinkedIn(t *testing.T) {
	t.Parallel()
	require.Equal(t, "v1.2.3", daemon.Version("v1.2.3"))
	require.NotEmpty(t, daemon.Version(""))
}
