package webhook_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestAHookMayBeginBeforeItsCreation(t *testing.T) {
	t.Parallel()
	created := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		`"2026-03-01T00:00:00+01:00"`: time.Date(2026, 2, 28, 23, 0, 0, 0, time.UTC),
		`"PT24H"`:                     created.Add(-24 * time.Hour),
		`"P7D"`:                       created.Add(-7 * 24 * time.Hour),
		`"P1W2DT3H4M5S"`:              created.Add(-(9*24+3)*time.Hour - 4*time.Minute - 5*time.Second),
		`"PT90M"`:                     created.Add(-90 * time.Minute),
		`"36h"`:                       created.Add(-36 * time.Hour),
	} {
		c, err := webhook.ParseConfig(json.RawMessage(`{"start_from":` + text + `}`))
		require.NoError(t, err, text)
		require.Equal(t, want, c.StartFrom.Since(created), text)
	}
	c, err := webhook.ParseConfig(json.RawMessage(`{"start_from":null}`))
	require.NoError(t, err)
	require.Nil(t, c.StartFrom)
	for _, text := range []string{
		`""`, `"P"`, `"PT"`, `"P1DT"`, `"1D"`, `"P1H"`, `"PT1D"`, `"P1D1W"`, `"P-1D"`, `"P91D"`, `"-1h"`, `"0s"`, `"PT0S"`, `"P1Y"`,
		`"PT1.5H"`, `"P99999999999D"`, `"yesterday"`, `"1999-01-01T00:00:00Z"`, `"2026-03-01"`, `24`, `{}`,
	} {
		_, err := webhook.ParseConfig(json.RawMessage(`{"start_from":` + text + `}`))
		var invalid *webhook.ValidationError
		require.ErrorAs(t, err, &invalid, text)
		require.Equal(t, "/start_from", invalid.Fields[0].Pointer)
	}
}
