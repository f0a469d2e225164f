package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// alertRecipes returns the recipes of docs/alerts.md by service.
func alertRecipes(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile(root + "/docs/alerts.md")
	require.NoError(t, err)
	recipes := map[string]string{}
	for _, m := range regexp.MustCompile("(?s)```cel (\\w+)\n(.*?)```").FindAllSubmatch(page, -1) {
		recipes[string(m[1])] = string(m[2])
	}
	require.Equal(t, []string{"email", "pagerduty", "slack", "teams"}, slices.Sorted(maps.Keys(recipes)))
	return recipes
}

// alertCommand returns the command in the page, with the target URL and the file filled in.
func alertCommand(t *testing.T, url, file string) []string {
	t.Helper()
	page, err := os.ReadFile(root + "/docs/alerts.md")
	require.NoError(t, err)
	found := regexp.MustCompile("(?s)```sh\nwhisperer (hook create .*?)\n```").FindSubmatch(page)
	require.NotNil(t, found)
	text := strings.NewReplacer("\\\n", "", "https://alerts.example.com/services/T0/B0/XX", url, "@alerts.json", "@"+file, `"`, "").Replace(string(found[1]))
	return strings.Fields(text)
}

// nonEmpty fails the test if a member is not a text, is empty, or is longer than the service accepts.
func nonEmpty(t *testing.T, of map[string]any, most int, names ...string) {
	t.Helper()
	for _, name := range names {
		text, isText := of[name].(string)
		require.True(t, isText && text != "" && len([]rune(text)) <= most, "%s is %v", name, of[name])
	}
}

// alertShapes returns functions that check bodies against the services' documentation.
func alertShapes() map[string]func(*testing.T, http.Header, map[string]any) {
	return map[string]func(*testing.T, http.Header, map[string]any){
		// https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
		"slack": func(t *testing.T, _ http.Header, b map[string]any) {
			nonEmpty(t, b, 40_000, "text")
			require.Len(t, b, 1)
			require.NotRegexp(t, `[<>]`, b["text"], "nothing that Slack takes for a link")
		},
		// https://learn.microsoft.com/en-us/connectors/teams/#when-a-teams-webhook-request-is-received and https://adaptivecards.io/explorer/
		"teams": func(t *testing.T, _ http.Header, b map[string]any) {
			require.Equal(t, "message", b["type"])
			attachments := b["attachments"].([]any)
			require.Len(t, attachments, 1)
			attachment := attachments[0].(map[string]any)
			require.Equal(t, "application/vnd.microsoft.card.adaptive", attachment["contentType"])
			card := attachment["content"].(map[string]any)
			require.Equal(t, []any{"AdaptiveCard", "1.4"}, []any{card["type"], card["version"]})
			for _, e := range card["body"].([]any) {
				switch element := e.(map[string]any); element["type"] {
				case "TextBlock":
					nonEmpty(t, element, 28_000, "text")
					require.Contains(t, []any{"good", "attention"}, element["color"])
				case "FactSet":
					for _, f := range element["facts"].([]any) {
						nonEmpty(t, f.(map[string]any), 28_000, "title", "value")
					}
				default:
					t.Errorf("there is no element %v", element["type"])
				}
			}
		},
		// https://developer.pagerduty.com/docs/send-alert-event
		"pagerduty": func(t *testing.T, _ http.Header, b map[string]any) {
			nonEmpty(t, b, 255, "routing_key", "dedup_key")
			require.Contains(t, []any{"trigger", "acknowledge", "resolve"}, b["event_action"])
			payload := b["payload"].(map[string]any)
			nonEmpty(t, payload, 1024, "summary", "source", "component")
			require.Contains(t, []any{"critical", "error", "warning", "info"}, payload["severity"])
			require.IsType(t, map[string]any{}, payload["custom_details"])
		},
		// https://postmarkapp.com/developer/api/email-api
		"email": func(t *testing.T, h http.Header, b map[string]any) {
			require.Equal(t, "server-token", h.Get("X-Postmark-Server-Token"))
			nonEmpty(t, b, 2_000, "From", "To", "Subject", "MessageStream")
			nonEmpty(t, b, 5<<20, "TextBody")
		},
	}
}

func TestAlertsReachTheServicesAsTheyDocumentIt(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	alerts := testenv.NewReceiver(t)
	dir := t.TempDir()
	for service, recipe := range alertRecipes(t) {
		config, err := json.Marshal(map[string]string{"format": "raw", "transform": recipe, "routing_key": "R0", "from": "whisperer@example.com", "to": "ops@example.com"})
		require.NoError(t, err)
		file := filepath.Join(dir, service+".json")
		require.NoError(t, os.WriteFile(file, config, 0o600))
		args := alertCommand(t, alerts.URL+"/"+service, file)
		if service == "email" {
			args = append(args, "--header", "X-Postmark-Server-Token: server-token")
		}
		cmd := exec.CommandContext(t.Context(), filepath.Join(binaries, "whisperer"), args...)
		cmd.Dir, cmd.Env = dir, []string{"WHISPERER_URL=" + s.api, "WHISPERER_TOKEN=" + s.token}
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%v: %s", args, out)
	}
	hook := func(path, more string) string {
		return s.hook(fmt.Sprintf(`{"name":%q,"event_type":"order.*","target_url":%q%s}`, "Shop <"+path+">", s.receiver.URL+"/"+path, more))
	}
	gone, dead := hook("gone", ""), hook("dead", `,"retry_countdown_config":{"choice":"fixed","kwargs":{"seconds":1},"max_retries":1}`)
	failing := hook("failing", `,"retry_countdown_config":{"choice":"fixed","kwargs":{"seconds":1},"max_retries":24}`)
	for path, status := range map[string]int{"/gone": http.StatusGone, "/dead": http.StatusInternalServerError, "/failing": http.StatusServiceUnavailable} {
		s.receiver.Answer(path, testenv.Answer{Status: status})
	}
	s.start("delivery-worker", "WHISPERER_HOUSEKEEP_EVERY=1s", "WHISPERER_DISABLE_AFTER=10s", "WHISPERER_DISABLE_SPAN=1h")
	require.NoError(t, s.publish(t.Context(), `{"event_id":"e-1","data":{"id":1}}`))

	want := map[string]string{"hook.disabled": gone, "delivery.dead": dead, "hook.failing": failing}
	for service, judge := range alertShapes() {
		for eventType, about := range want {
			var got *testenv.Received
			require.Eventually(t, func() bool {
				for _, q := range alerts.All() {
					if q.Path == "/"+service && q.Header.Get("X-Whisperer-Event") == eventType && (service == "slack" || service == "teams" || strings.Contains(q.Body, about)) {
						got = &q
						return true
					}
				}
				return false
			}, 2*time.Minute, 50*time.Millisecond, "%s gets no %s", service, eventType)
			require.Equal(t, "application/json", got.Header.Get("Content-Type"))
			var body map[string]any
			require.NoError(t, json.Unmarshal([]byte(got.Body), &body), got.Body)
			judge(t, got.Header, body)
		}
	}
}
