package webhook_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestWhichStatusesCountAsDelivered(t *testing.T) {
	t.Parallel()
	for config, want := range map[string]map[int]bool{
		`{}`:                                 {199: false, 200: true, 299: true, 300: false, 409: false},
		`{"success":{}}`:                     {204: true, 302: false},
		`{"success":{"statuses":[200,409]}}`: {200: true, 201: false, 409: true, 410: false},
		`{"success":{"statuses":["302"]}}`:   {302: true, 200: false, 301: false},
		`{"success":{"statuses":["200-202",302]}}`: {200: true, 202: true, 203: false, 302: true},
		`{"success":{"condition":"true"}}`:         {200: true, 500: false},
	} {
		c, err := webhook.ParseConfig(json.RawMessage(config))
		require.NoError(t, err, config)
		for status, counts := range want {
			require.Equal(t, counts, c.Success.Counts(status), "%s %d", config, status)
		}
	}
	for config, pointer := range map[string]string{
		`{"success":[200]}`:                    "/success",
		`{"success":{"status":200}}`:           "/success/status",
		`{"success":{"statuses":[100]}}`:       "/success/statuses",
		`{"success":{"statuses":["300-200"]}}`: "/success/statuses",
		`{"success":{"statuses":["2xx"]}}`:     "/success/statuses",
		`{"success":{"statuses":[null]}}`:      "/success/statuses",
		`{"success":{"condition":true}}`:       "/success/condition",
	} {
		_, err := webhook.ParseConfig(json.RawMessage(config))
		var invalid *webhook.ValidationError
		require.ErrorAs(t, err, &invalid, config)
		require.Equal(t, pointer, invalid.Fields[0].Pointer, config)
	}
}
