package filter_test

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
)

// alertEvents returns operational events as the worker publishes them. hook.failing is first because the page shows
// its result.
func alertEvents() []webhook.Event {
	const of = `{"hook_id":"0190a5a0-0000-7000-8000-000000000001","name":"ERP <West>","target_url":"https://erp.example/hooks"`
	return []webhook.Event{
		{Type: "hook.failing", Data: []byte(of + `,"failures":120,"last_error":"timeout","failing_since":"2026-03-01T09:30:00Z","percent":70,"at":"2026-03-04T21:30:00Z"}`)},
		{Type: "hook.disabled", Data: []byte(of + `,"reason":"The receiver answered 410 Gone."}`)},
		{Type: "hook.recovered", Data: []byte(of + `,"failures":0,"last_error":"","at":"2026-03-04T21:30:00Z"}`)},
		{Type: "hook.failing", Data: []byte(`{"hook_id":"0190a5a0-0000-7000-8000-000000000001","name":"","target_url":"https://erp.example/hooks","failures":1,"last_error":"status","percent":50}`)},
		{Type: "delivery.dead", Data: []byte(`{"delivery_id":"d-1","hook_id":"0190a5a0-0000-7000-8000-000000000001","event_id":"e-1","event_type":"order.created","reason":"exhausted","attempts":24,"last_status":503,"last_error":"status"}`)},
	}
}

// Every recipe of docs/alerts.md must produce output for each operational event that it is for.
func TestAlertRecipesMakeWhatTheySay(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/alerts.md")
	require.NoError(t, err)
	blocks := map[string][]string{}
	for _, m := range regexp.MustCompile("(?s)```(?:cel|json) (\\w+)\n(.*?)```").FindAllSubmatch(page, -1) {
		blocks[string(m[1])] = append(blocks[string(m[1])], string(m[2]))
	}
	require.Len(t, blocks, 4)
	made := map[string][]map[string]any{}
	for name, b := range blocks {
		require.Len(t, b, 2, name)
		config, err := json.Marshal(map[string]string{
			"format": "raw", "transform": b[0], "routing_key": "R0", "from": "whisperer@example.com", "to": "ops@example.com",
		})
		require.NoError(t, err)
		h := &webhook.Hook{EventTypes: []string{"hook.failing"}}
		h.Config, err = webhook.ParseConfig(config)
		require.NoError(t, err)
		transform, err := filter.NewTransform(h)
		require.NoError(t, err, name)
		for i, e := range alertEvents() {
			sent, err := transform.Make(&e)
			require.NoError(t, err, "%s of %s", name, e.Type)
			if i == 0 {
				require.JSONEq(t, b[1], string(sent.Data), name)
			}
			var object map[string]any
			require.NoError(t, json.Unmarshal(sent.Data, &object), name)
			made[name] = append(made[name], object)
		}
	}
	require.Equal(t, ":rotating_light: Webhook https://erp.example/hooks is failing, last error status: 50 % of the time until it is disabled has passed", made["slack"][3]["text"])
	require.Equal(t, ":white_check_mark: Webhook ERP &lt;West&gt; has recovered", made["slack"][2]["text"])
	require.Equal(t, ":rotating_light: Delivery d-1 of order.created is dead: exhausted", made["slack"][4]["text"])
	failing, recovered, dead := made["pagerduty"][0], made["pagerduty"][2], made["pagerduty"][4]
	require.Equal(t, failing["dedup_key"], recovered["dedup_key"], "what was triggered is resolved")
	require.Equal(t, "resolve", recovered["event_action"])
	require.Equal(t, "trigger", dead["event_action"])
	require.NotEqual(t, failing["dedup_key"], dead["dedup_key"])
}
