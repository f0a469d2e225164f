package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// shown returns a hook as an API shows it, without the fields that count its changes.
func (s *system) shown(api, id string) map[string]any {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, api+"/whisperer/hooks/"+id+"/", nil)
	require.NoError(s.t, err)
	req.Header.Set("Authorization", "Token "+s.token)
	res, err := (&http.Client{Timeout: time.Minute}).Do(req)
	require.NoError(s.t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusOK, res.StatusCode, string(text))
	var hook map[string]any
	require.NoError(s.t, json.Unmarshal(text, &hook))
	return hook
}

// Programs from before hooks' settings became one document read what current ones write, and vice versa, while both
// run.
func TestHooksAreTheSameForOlderProgramsInARollingUpgrade(t *testing.T) {
	t.Parallel()
	old := buildAt(t, "a85eed5")
	s := newOldSystem(t, old)
	oldAPI := s.api
	oldWorker := s.start("delivery-worker")
	settings := func(format string, n int) string {
		return fmt.Sprintf(`{"event_type":"order.>","target_url":"%s/%d","secret_key":"%s","api_key":"key","additional_headers":{"X-Shop":"north"},
			"callback":{"url":"%s/callback","on":["dead"]},"retry_countdown_config":{"choice":"fixed","kwargs":{"seconds":%d}},
			"config":{"format":"%s","channel_id":%d,"auth":{"auth_type":"basic","username":"u","password":"p"}}}`,
			s.receiver.URL, n, secret, s.receiver.URL, n, format, n)
	}
	before := s.hook(settings("raw", 1))
	was := s.shown(oldAPI, before)
	s.migrateWith(binaries)
	require.Equal(t, was, s.shown(oldAPI, before), "the migration changes nothing, the version neither")

	s.release = ""
	s.startAPI()
	newAPI := s.api
	// known returns the hook as the current API shows it, without what older programs do not know.
	known := func(id string) map[string]any {
		t.Helper()
		hook := s.shown(newAPI, id)
		require.Equal(t, map[string]any{}, hook["labels"])
		require.Nil(t, hook["paused_until"])
		delete(hook, "labels")
		delete(hook, "paused_until")
		return hook
	}
	require.Equal(t, was, known(before))
	byNew := s.hook(settings("raw", 2))
	s.api = oldAPI
	byOld := s.hook(settings("raw", 3))
	asTheSame := func(id string) map[string]any {
		t.Helper()
		hook := known(id)
		require.Equal(t, hook, s.shown(oldAPI, id))
		return hook
	}
	for n, id := range []string{before, byNew, byOld} {
		require.EqualValues(t, []any{"dead"}, asTheSame(id)["callback"].(map[string]any)["on"])
		for api, change := range map[string]string{
			oldAPI: `{"config":{"format":"standard","channel_id":7},"callback":null}`,
			newAPI: `{"retry_countdown_config":null,"name":"renamed"}`,
		} {
			s.api = api
			s.ask(http.MethodPatch, "/whisperer/hooks/"+id+"/", change)
		}
		hook := asTheSame(id)
		require.Nil(t, hook["callback"])
		require.Nil(t, hook["retry_countdown_config"])
		require.Equal(t, map[string]any{"format": "standard", "channel_id": 7.0}, hook["config"])
		require.Equal(t, "renamed", hook["name"], n)
	}

	// Both workers send what is currently configured, whoever wrote it, once they know.
	awaitChange := func(worker string) {
		t.Helper()
		for n, changed := 0, 0; changed < 3; n++ {
			require.Less(t, n, 1000, "not all get events in the format that was set last")
			id := fmt.Sprintf("%s-%d", worker, n)
			require.NoError(t, s.publish(t.Context(), `{"event_id":"`+id+`","data":1}`))
			require.Eventually(t, func() bool {
				came := 0
				changed = 0
				for _, r := range s.receiver.All() {
					if r.Header.Get("X-Whisperer-Event-Id") != id {
						continue
					}
					if came++; strings.HasPrefix(r.Body, `{"type":"order.created","timestamp":`) {
						changed++
					}
				}
				return came >= 3
			}, 2*time.Minute, 10*time.Millisecond)
		}
	}
	awaitChange("by-old")
	oldWorker.stop(t)
	s.start("delivery-worker")
	awaitChange("by-new")
}
