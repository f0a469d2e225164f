package httpapi_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/httpapi"
)

// What the predecessor's users send must keep working. These requests come from its documentation and its
// serializers' rules.

func TestThePredecessorsHooksAreTakenAsTheyWere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		fields, field string
		want          string // the field's JSON in the response
	}{
		"an empty schedule":                   {`"retry_countdown_config": {}`, "retry_countdown_config", `{}`},
		"no schedule":                         {`"retry_countdown_config": null`, "retry_countdown_config", `null`},
		"a linear schedule":                   {`"retry_countdown_config": {"choice":"linear","kwargs":{"base":60,"limit":600}}`, "is_active", `true`},
		"an exponential schedule":             {`"retry_countdown_config": {"choice":"exponential","kwargs":{"base":2}}`, "is_active", `true`},
		"an exponential schedule, limit null": {`"retry_countdown_config": {"choice":"exponential","kwargs":{"base":2,"limit":null}}`, "is_active", `true`},
		"a fixed schedule of 0 seconds":       {`"retry_countdown_config": {"choice":"fixed","kwargs":{"seconds":0}}`, "is_active", `true`},
		"numbers in quotes":                   {`"retry_countdown_config": {"choice":"fixed","kwargs":{"seconds":"60"}}`, "is_active", `true`},
		"a base of 0":                         {`"retry_countdown_config": {"choice":"linear","kwargs":{"base":0,"limit":0}}`, "is_active", `true`},
		"a random schedule":                   {`"retry_countdown_config": {"choice":"Random","kwargs":{"min_value":0,"max_value":"1"}}`, "is_active", `true`},
		"an empty callback":                   {`"callback": {}`, "callback", `null`},
		"a callback of no text":               {`"callback": ""`, "callback", `null`},
		"no callback":                         {`"callback": null`, "callback", `null`},
		"the path of a function":              {`"callback": "foo.bar.App.callback"`, "callback", `{"subject":"whisperer.callback.default.foo.bar.app.callback"}`},
		"outcomes in capitals":                {`"callback": {"url":"http://example.com/cb","on":["Dead"]}`, "callback", `{"url":"http://example.com/cb","on":["dead"]}`},
		"a notification type in capitals":     {`"notification_type": "REST"`, "notification_type", `"rest"`},
		"a status with a capital":             {`"status": "Active"`, "status", `"active"`},
		"a status in capitals":                {`"status": "PAUSED"`, "status", `"paused"`},
		"is_active as a word":                 {`"is_active": "False"`, "is_active", `false`},
		"is_active as a number":               {`"is_active": 1`, "is_active", `true`},
		"no headers":                          {`"additional_headers": {}`, "additional_headers", `{}`},
		"null for headers":                    {`"additional_headers": null`, "additional_headers", `{}`},
		"no config":                           {`"config": {}`, "config", `{}`},
		"no secret":                           {`"secret_key": null`, "has_secret", `false`},
		"words of the config in any case":     {`"config": {"format":"OMS","method":"put","ordering":"None"}`, "is_active", `true`},
		"names of a login's fields": {
			`"config": {"auth":{"auth_type":"Token","url":"http://example.com/login","username":"u","password":"p","username_field":"email","password_field":"pin"}}`,
			"config", `{"auth":{"auth_type":"token","url":"http://example.com/login","username":"u","username_field":"email","password_field":"pin"}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := w.create(t, `{"event_type":"Package-Created","target_url":"http://example.com/`+uuid.NewString()+`",`+c.fields+`}`)
			require.Equal(t, "package.created", a["event_type"])
			got, err := json.Marshal(a[c.field])
			require.NoError(t, err)
			require.JSONEq(t, c.want, string(got))
		})
	}
}

func TestThePredecessorsRefusalsStay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	retry := func(choice, kwargs string) string {
		return `"retry_countdown_config": {"choice":"` + choice + `","kwargs":` + kwargs + `}`
	}
	const kwargs = "/retry_countdown_config/kwargs/"
	for fields, pointer := range map[string]string{
		retry("random", `{"min_value":5,"max_value":5}`):  kwargs + "max_value",
		retry("random", `{"min_value":6,"max_value":5}`):  kwargs + "max_value",
		retry("random", `{"min_value":-1,"max_value":5}`): kwargs + "min_value",
		retry("fixed", `{"seconds":-1}`):                  kwargs + "seconds",
		retry("fixed", `{"seconds":"soon"}`):              kwargs + "seconds",
		retry("fixed", `{}`):                              kwargs + "seconds",
		retry("linear", `{"limit":1}`):                    kwargs + "base",
		retry("weekly", `{}`):                             "/retry_countdown_config/choice",
		`"retry_countdown_config": {"kwargs":{}}`:         "/retry_countdown_config/choice",
		`"notification_type": "smtp"`:                     "/notification_type",
		`"callback": "not a path"`:                        "/callback",
		`"callback": 7`:                                   "/callback",
	} {
		a := w.call(t, http.MethodPost, hooks, `{"event_type":"package-created","target_url":"http://example.com/",`+fields+`}`)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, "%s: %s", fields, a.text)
		require.Equal(t, []string{pointer}, a.pointers(), fields)
	}
}

func TestFiltersTakeWordsInAnyCase(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.create(t, `{"event_type":"order-created","target_url":"http://example.com/c"}`)
	for query, want := range map[string]int{
		"hooks/?event_type=Order-Created":       1,
		"hooks/?event_type=ORDER.CREATED":       1,
		"hooks/?status=Active":                  3,
		"hooks/?is_active=True":                 3,
		"deliveries/?event_type=Order-Created":  2,
		"deliveries/?state=DEAD":                1,
		"deliveries/?status_class=2XX":          2,
		"hook_events/?event_type=Order-Created": 2,
		"events/?event_type=Order-Created":      1,
	} {
		a := h.call(t, http.MethodGet, "/whisperer/"+query, "")
		require.Equal(t, http.StatusOK, a.status, "%s: %s", query, a.text)
		require.Len(t, a.json["results"], want, query)
	}
}

func TestHookEventsHaveThePredecessorsShape(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	id := webhook.DeliveryID(h.a, "e-2").String()
	list := h.call(t, http.MethodGet, "/whisperer/hook_events/?uuid=e-2", "").json["results"].([]any)
	require.Len(t, list, 1)
	one := h.call(t, http.MethodGet, "/whisperer/hook_events/"+id+"/", "")
	require.Equal(t, http.StatusOK, one.status, one.text)
	require.Equal(t, list[0], any(one.json))
	require.Equal(t, id, one.json["id"])
	hook := one.json["webhook"].(map[string]any)
	require.Equal(t, h.a.String(), hook["id"])
	require.Equal(t, "http://example.com/a", hook["target_url"])
	require.Equal(t, "order.cancelled", one.json["request_payload"].(map[string]any)["event_type"])
	require.InDelta(t, 500, one.json["response_http_status"], 0)
	require.Equal(t, "thanks", one.json["response_content"])
	require.InDelta(t, 0.25, one.json["response_time"], 1e-6)

	parked := h.call(t, http.MethodGet, "/whisperer/hook_events/"+webhook.DeliveryID(h.a, "e-4").String()+"/", "")
	require.Nil(t, parked.json["response_content"])
	require.Nil(t, parked.json["response_time"])
	require.NotNil(t, parked.json["request_payload"])

	require.Equal(t, http.StatusNoContent, h.call(t, http.MethodDelete, hooks+h.a.String()+"/", "").status)
	gone := h.call(t, http.MethodGet, "/whisperer/hook_events/"+id+"/", "")
	require.Equal(t, h.a.String(), gone.json["webhook"].(map[string]any)["id"])
	require.Equal(t, http.StatusNotFound, h.call(t, http.MethodGet, "/whisperer/hook_events/"+uuid.NewString()+"/", "").status)
}

func TestARetryUnderItsOldNameAnswersWithTheAttempt(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	e := &h.events[1]
	id := webhook.DeliveryID(h.a, e.ID)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, h.url+"/whisperer/hook_events/"+id.String()+"/retry/", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Token "+h.token)
	type answered struct {
		status int
		body   []byte
		err    error
	}
	answers := make(chan answered, 1)
	go func() {
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			answers <- answered{err: err}
			return
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		answers <- answered{response.StatusCode, body, err}
	}()
	require.Eventually(t, func() bool { return h.state(t, h.a, e).State == webhook.Parked }, time.Minute, 10*time.Millisecond)
	f := newFact(h.a, e, webhook.Delivered, "", 200) // the worker's fact
	f.Attempts, f.Attempt.Number, f.At = 2, 2, time.Now().UnixNano()
	h.recorded(t, f)
	a := <-answers
	require.NoError(t, a.err)
	require.Equal(t, http.StatusOK, a.status, string(a.body))
	require.JSONEq(t, `{"detail": "The receiver took the event.", "response_status": 200, "response_content": "thanks", "delivered": true,
		"response_time": 0.25}`, string(a.body))
}

func TestARetryThatTakesLongIsAnsweredWithALink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(d *httpapi.Deps) { d.RetryWait = 300 * time.Millisecond })
	hook := w.createHook(t, `{"event_type":"*","target_url":"http://example.com/a"}`)
	e, f := newEvent("e-1", 1, "order.created", "order:1", time.Hour), newEvent("e-2", 2, "order.created", "order:2", time.Hour)
	w.published(t, e, f)
	w.recorded(t, newFact(hook, &e, webhook.Dead, webhook.ReasonExhausted, 500), newFact(hook, &f, webhook.Dead, webhook.ReasonExhausted, 500))
	path := func(e *webhook.Event) string {
		return "/whisperer/hook_events/" + webhook.DeliveryID(hook, e.ID).String() + "/"
	}
	a := w.call(t, http.MethodPost, path(&e)+"retry/", "")
	require.Equal(t, http.StatusAccepted, a.status, a.text)
	require.True(t, strings.HasSuffix(a.header.Get("Location"), path(&e)))
	require.Equal(t, false, a.json["delivered"])
	require.Nil(t, a.json["response_status"])
	require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, a.header.Get("Location"), "").status)

	require.Equal(t, http.StatusOK, w.call(t, http.MethodPost, hooks+hook.String()+"/pause/", "").status)
	a = w.call(t, http.MethodPost, path(&f)+"retry/", "")
	require.Equal(t, http.StatusAccepted, a.status, a.text)
	require.Contains(t, a.json["detail"], "paused")
}
