package e2e_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func encoded(text string) string {
	raw, _ := json.Marshal(text) //nolint:errchkjson // a text always can be written
	return string(raw)
}

// states returns the states of a hook's deliveries, with their reasons, by the events' ids.
func (s *system) states(hook string) map[string]string {
	found := map[string]string{}
	for _, d := range s.get("/whisperer/hooks/" + hook + "/deliveries/")["results"].([]any) {
		d := d.(map[string]any)
		found[d["event"].(string)] = d["state"].(string) + " " + d["reason"].(string)
	}
	return found
}

func TestWhatIsSentIsWhatTheTransformMakes(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	const pointer = "/config/transform"
	for config, detail := range map[string]string{
		`{"transform":"{\"a\": event.tpye}"}`: `line 1, column 12: undeclared reference to 'event.tpye'`,
		`{"transform":7}`:                     `must be a CEL expression as a string`,
		`{"transform":"type(event.data)"}`:    `the expression gives a type`,
	} {
		refused := s.post("/whisperer/hooks/", `{"event_type":"order.*","target_url":"`+s.receiver.URL+`/x","config":`+config+`}`, http.StatusUnprocessableEntity)
		errors := refused["errors"].([]any)
		require.Len(t, errors, 1, config)
		require.Equal(t, pointer, errors[0].(map[string]any)["pointer"])
		require.Contains(t, errors[0].(map[string]any)["detail"], detail)
	}
	const transform = `{"text": "Order " + event.data.number + ": " + string(event.data.total), "total": event.data.total, "team": hook.config.team}`
	hook := s.hook(`{"event_type":"order.*","target_url":"` + s.receiver.URL + `/shaped","secret_key":"` + secret + `","config":{"format":"raw","team":"north","headers_from":{"X-Route":"event.data.number + \"/\" + string(event.data.total)"},"transform":` + encoded(transform) + `}}`)
	told := s.hook(`{"event_type":"hook.transform_failing","target_url":"` + s.receiver.URL + `/told"}`)
	s.start("delivery-worker")
	require.NoError(t, s.publish(t.Context(), `{"event_id":"good","data":{"number":"A-1","total":19.90}}`))
	require.NoError(t, s.publish(t.Context(), `{"event_id":"bad","data":{"number":7,"total":19.90}}`))
	s.awaitRecorded(hook, map[string]webhook.DeliveryState{"good": webhook.Delivered, "bad": webhook.Dead}, 1)
	require.Equal(t, map[string]string{"good": "delivered ", "bad": "dead transform_failed"}, s.states(hook))
	got := s.receiver.Got("/shaped")
	require.Len(t, got, 1)
	require.JSONEq(t, `{"team":"north","text":"Order A-1: 19.90","total":19.90}`, got[0].Body)
	require.Contains(t, got[0].Body, "19.90}", "the digits stay")
	requireSigned(t, got[0])
	require.Equal(t, "A-1/19.90", got[0].Header.Get("X-Route"))

	// The hook's stats count the failure, and an operational event was delivered.
	s.receiver.Await(t, "/told", 1)
	require.NotEmpty(t, told)
	require.Eventually(t, func() bool {
		failures := s.get("/whisperer/hooks/" + hook + "/stats/")["transform_failures"].(map[string]any)
		return failures["last_24_hours"] == 1.0 && failures["last_event_id"] == "bad"
	}, 2*time.Minute, 50*time.Millisecond)
	stats := s.get("/whisperer/hooks/" + hook + "/stats/")
	require.Contains(t, stats["transform_failures"].(map[string]any)["last_error"], "no such overload")
	require.Nil(t, stats["failing_since"], "the receiver has not failed")

	// before it is saved, it is tested on past events
	tried := s.post("/whisperer/hooks/backtest/", `{"event_type":"order.*","config":{"transform":"{\"n\": string(event.data.number), \"t\": event.data.total}"}}`, http.StatusOK)
	require.InDelta(t, 2, tried["made"], 0)
	require.Equal(t, map[string]any{"n": "7", "t": 19.9}, tried["samples"].([]any)[0].(map[string]any)["after"])
	tried = s.post("/whisperer/hooks/backtest/", `{"event_type":"order.*","config":{"team":"north","transform":`+encoded(transform)+`}}`, http.StatusOK)
	require.InDelta(t, 1, tried["unmade"], 0)
	require.Equal(t, "bad", tried["transform_failure"].(map[string]any)["event_id"])

	// dead deliveries are sent once the transform is right
	s.call(http.MethodPatch, "/whisperer/hooks/"+hook+"/", `{"config":{"format":"raw","transform":"{\"text\": \"Order \" + string(event.data.number)}"}}`, http.StatusOK)
	s.post("/whisperer/deliveries/"+webhook.DeliveryID(uuid.MustParse(hook), "bad").String()+"/retry/", `{}`, http.StatusOK)
	got = s.receiver.Await(t, "/shaped", 2)
	require.JSONEq(t, `{"text":"Order 7"}`, got[1].Body)
	s.awaitRecorded(hook, map[string]webhook.DeliveryState{"good": webhook.Delivered, "bad": webhook.Delivered}, 0)
}

func TestAThinWebhookSaysWhereItsEventIs(t *testing.T) {
	t.Parallel()
	s := newSystemOn(t, testenv.Postgres(t), testenv.NATS(t), "WHISPERER_PUBLIC_URL=https://hooks.example.com/")
	for config, pointer := range map[string]string{
		`{"format":"thin","transform":"event.data"}`:       "/config/transform",
		`{"format":"thin","content_fields":["/id"]}`:       "/config/content_fields",
		`{"format":"slim"}`:                                "/config/format",
		`{"format":["thin"]}`:                              "/config/format",
		`{"format":"thin","headers_from":{"X-A":"1 + 1"}}`: "/config/headers_from/X-A",
	} {
		refused := s.post("/whisperer/hooks/", `{"event_type":"order.*","target_url":"`+s.receiver.URL+`/x","config":`+config+`}`, http.StatusUnprocessableEntity)
		require.Equal(t, pointer, refused["errors"].([]any)[0].(map[string]any)["pointer"], config)
	}
	id := s.hook(`{"event_type":"order.*","target_url":"` + s.receiver.URL + `/thin","secret_key":"` + secret + `","config":{"format":"Thin","headers_from":{"X-Number":"event.data.number"}},` +
		`"retry_countdown_config":{"choice":"fixed","kwargs":{"seconds":1}}}`)
	old := s.start("delivery-worker") // does not know where the API is
	const eventID = "e/1 ü?"
	require.NoError(t, s.publish(t.Context(), `{"event_id":"`+eventID+`","event_time":"2026-01-31T12:00:00Z","entity":"order:61","data":{"number":"A-1"}}`))
	require.Eventually(t, func() bool { return s.states(id)[eventID] == "waiting attempt_failed" }, 2*time.Minute, 50*time.Millisecond)
	require.Empty(t, s.receiver.Got("/thin"), "nothing is sent that leads nowhere")
	old.stop(t)
	s.start("delivery-worker", "WHISPERER_PUBLIC_URL=https://hooks.example.com/")
	got := s.receiver.Await(t, "/thin", 1)[0]
	want := `{"type":"order.created","id":"` + eventID + `","time":"2026-01-31T12:00:00Z","entity":"order:61","url":"https://hooks.example.com/whisperer/events/e%2F1%20%C3%BC%3F/"}`
	require.Equal(t, want, got.Body, "these very bytes, which are signed")
	require.Equal(t, "A-1", got.Header.Get("X-Number"))
	require.Equal(t, "application/json", got.Header.Get("Content-Type"))
	requireSigned(t, got)
	fetched := s.get("/whisperer/events/e%2F1%20%C3%BC%3F/")
	require.Equal(t, map[string]any{"number": "A-1"}, fetched["data"])

	refused := newSystem(t) // its API has no public URL
	answer := refused.post("/whisperer/hooks/", `{"event_type":"order.*","target_url":"`+s.receiver.URL+`/x","config":{"format":"thin"}}`, http.StatusUnprocessableEntity)
	require.Equal(t, "/config/format", answer["errors"].([]any)[0].(map[string]any)["pointer"])
	require.Contains(t, answer["errors"].([]any)[0].(map[string]any)["detail"], "WHISPERER_PUBLIC_URL")
}

func TestWhatCountsAsDeliveredIsTheHooksToSay(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	for config, pointer := range map[string]string{
		`{"success":{"statuses":[600]}}`:                         "/config/success/statuses",
		`{"success":{"condition":"response.stat == 200"}}`:       "/config/success/condition",
		`{"success":{"condition":"response.body.ok == "}}`:       "/config/success/condition",
		`{"success":{"condition":"response.status"}}`:            "/config/success/condition",
		`{"success":{"statuses":[200,409]},"stop_on":[400,409]}`: "/config/stop_on",
	} {
		refused := s.post("/whisperer/hooks/", `{"event_type":"order.*","target_url":"`+s.receiver.URL+`/x","config":`+config+`}`, http.StatusUnprocessableEntity)
		require.Equal(t, pointer, refused["errors"].([]any)[0].(map[string]any)["pointer"], config)
	}
	ok := testenv.Answer{Body: `{"ok":true}`}
	s.receiver.Answer("/conflict", testenv.Answer{Status: http.StatusConflict})
	s.receiver.Answer("/found", testenv.Answer{Status: http.StatusFound})
	s.receiver.Answer("/created", testenv.Answer{Status: http.StatusCreated})
	s.receiver.Answer("/gone", testenv.Answer{Status: http.StatusGone})
	s.receiver.Answer("/soft", testenv.Answer{Body: `{"ok":false}`}, testenv.Answer{Body: `not JSON`}, ok)
	hook := func(path, config string) string {
		return s.hook(`{"event_type":"order.*","target_url":"` + s.receiver.URL + path + `","config":` + config + `,"retry_countdown_config":{"choice":"fixed","kwargs":{"seconds":1},"max_retries":4},` +
			`"callback":{"url":"` + s.receiver.URL + `/told` + path + `"}}`)
	}
	delivered := map[string]string{
		"/conflict": hook("/conflict", `{"success":{"statuses":["200-299",409]}}`), "/found": hook("/found", `{"success":{"statuses":[302]}}`),
		"/gone": hook("/gone", `{"success":{"statuses":[410]}}`),
	}
	created := hook("/created", `{"success":{"statuses":[200]}}`)
	soft := hook("/soft", `{"success":{"condition":"response.status == 200 && response.body.ok"}}`)
	s.start("delivery-worker")
	require.NoError(t, s.publish(t.Context(), `{"event_id":"e-1","data":{}}`))
	for path, id := range delivered {
		s.awaitRecorded(id, map[string]webhook.DeliveryState{"e-1": webhook.Delivered}, 1)
		require.Contains(t, s.receiver.Await(t, "/told"+path, 1)[0].Body, `"outcome":"delivered"`)
		require.Equal(t, "active", s.get("/whisperer/hooks/" + id + "/")["status"])
	}
	s.awaitRecorded(created, map[string]webhook.DeliveryState{"e-1": webhook.Dead}, 5)
	require.Equal(t, "dead exhausted", s.states(created)["e-1"])

	// a 200 whose body reports a failure, or for which the condition cannot be evaluated, is retried
	s.awaitRecorded(soft, map[string]webhook.DeliveryState{"e-1": webhook.Delivered}, 3)
	require.Contains(t, s.receiver.Await(t, "/told/soft", 1)[0].Body, `"outcome":"delivered"`)
	attempts := s.get("/whisperer/deliveries/" + webhook.DeliveryID(uuid.MustParse(soft), "e-1").String() + "/")["attempts"].([]any)
	for i, want := range []string{"the hook's config.success.condition is false", "whether that counts as delivered is not known: evaluate success condition", ""} {
		a := attempts[i].(map[string]any)
		require.Contains(t, a["error"], want)
		require.InDelta(t, 200, a["status"], 0)
		require.Equal(t, []string{"failed", "failed", "succeeded"}[i], a["outcome"])
		require.Equal(t, []string{"success_condition", "success_condition", ""}[i], a["error_class"])
	}
}
