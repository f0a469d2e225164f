package httpapi_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

func TestADeliveryIsSentElsewhereWithoutWhatIsSecretOfItsHook(t *testing.T) {
	t.Parallel()
	w := newWorld(t, allowLoopback)
	target, requests := receive(t, http.StatusAccepted)
	hook := w.create(t, `{"event_type":"order.created","target_url":"http://127.0.0.1:1/theirs","secret_key":"`+signingSecret+`","api_key":"canary-key",
		"additional_headers":{"X-Mine":"canary-header"},"is_active":false,
		"config":{"format":"standard","method":"PUT","transform":"{'n': event.data.id}","auth":{"auth_type":"basic","username":"u","password":"canary-password"}}}`)
	id := uuid.MustParse(hook["id"].(string))
	e := newEvent("e-1", 1, "order.created", "order:1", time.Hour)
	e.Data = json.RawMessage(`{"id":61}`)
	w.published(t, e)
	w.recorded(t, newFact(id, &e, webhook.Dead, webhook.ReasonExhausted, http.StatusInternalServerError))
	delivery := webhook.DeliveryID(id, e.ID)
	path := "/whisperer/deliveries/" + delivery.String() + "/"
	before := w.call(t, http.MethodGet, path, "").text
	const other = "another secret"
	for _, c := range []struct{ sign, secret string }{
		{"", ""}, {`,"secret_key":"` + other + `"`, other}, {`,"sign_as_hook":true`, signingSecret}, {`,"sign_as_hook":false,"secret_key":null`, ""},
	} {
		a := w.call(t, http.MethodPost, path+"replay/", `{"target_url":"`+target+`/staging"`+c.sign+`}`)
		require.Equal(t, http.StatusOK, a.status, a.text)
		r := <-requests
		require.Equal(t, "PUT /staging", r.Method+" "+r.Path)
		require.Contains(t, r.Body, `"data":{"n":61}`)
		require.Equal(t, delivery.String(), r.Header.Get("Webhook-Id"), "the receiver of the hook has had it")
		require.Equal(t, "true", r.Header.Get("X-Whisperer-Test"))
		require.Empty(t, r.Header.Get("X-Api-Key")+r.Header.Get("X-Mine")+r.Header.Get("Authorization"))
		require.NotContains(t, a.text, "canary")
		require.Equal(t, r.Body, a.json["request_body"])
		require.Equal(t, "<b>answered</b>", at(t, a.json, "attempt", "response_body"))
		if c.secret == "" {
			require.Empty(t, r.Header.Get("Webhook-Signature"))
			continue
		}
		key, err := signature.ParseVerifyKey(c.secret)
		require.NoError(t, err)
		require.NoError(t, signature.Verify(r.Header, []byte(r.Body), []signature.VerifyKey{key}, time.Now(), time.Minute))
	}
	require.Equal(t, before, w.call(t, http.MethodGet, path, "").text, "it is no attempt of the delivery")
	log := w.call(t, http.MethodGet, "/whisperer/audit/?kind=delivery", "", header("X-Whisperer-Tenant", "default")).text
	require.Contains(t, log, "delivery.sent_elsewhere")
	require.Contains(t, log, `"signed":"own secret"`)
	require.NotContains(t, log, other)
}

func TestWhatCannotBeSentElsewhereIsRefusedAndNothingIsSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, allowLoopback)
	target, requests := receive(t, http.StatusOK)
	hook := uuid.MustParse(w.create(t, `{"event_type":"order.created","target_url":"`+target+`"}`)["id"].(string))
	e := newEvent("e-1", 1, "order.created", "order:1", time.Hour)
	gone := newEvent("e-2", 2, "order.created", "order:1", time.Hour)
	w.published(t, e)
	w.recorded(t, newFact(hook, &e, webhook.Dead, webhook.ReasonExhausted, http.StatusInternalServerError))
	w.recorded(t, newFact(hook, &gone, webhook.Dead, webhook.ReasonExhausted, http.StatusInternalServerError))
	path := func(id string) string {
		return "/whisperer/deliveries/" + webhook.DeliveryID(hook, id).String() + "/replay/"
	}
	for body, pointer := range map[string]string{
		`{}`: "/target_url", `{"target_url":"http://10.0.0.1/"}`: "/target_url", `{"target_url":"ftp://x"}`: "/target_url",
		`{"target_url":"` + target + `","secret_key":"x","sign_as_hook":true}`: "/sign_as_hook",
		`{"target_url":"` + target + `","sign_as_hook":true}`:                  "/sign_as_hook",
		`{"target_url":"` + target + `","secret_key":"whsec_!"}`:               "/secret_key",
		`{"target_url":"` + target + `","url":"x"}`:                            "/url",
	} {
		a := w.call(t, http.MethodPost, path("e-1"), body)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, body)
		require.Contains(t, a.text, `"pointer":"`+pointer+`"`, body)
	}
	require.Contains(t, w.call(t, http.MethodPost, path("e-2"), `{"target_url":"`+target+`"}`).text, "payload is not kept any more")
	require.Equal(t, http.StatusNotFound, w.call(t, http.MethodPost, path("e-3"), `{"target_url":"`+target+`"}`).status)
	editor := header("Authorization", "Token "+w.db.MakeToken(t, store.NewToken{Name: "e", Role: store.Editor, Tenant: "default"}))
	require.Equal(t, http.StatusForbidden, w.call(t, http.MethodPost, path("e-1"), `{"target_url":"`+target+`"}`, editor).status)
	require.Empty(t, requests)
	limited := false
	for range 200 {
		if limited = w.call(t, http.MethodPost, path("e-1"), `{"target_url":"`+target+`"}`).status == http.StatusTooManyRequests; limited {
			break
		}
	}
	require.True(t, limited, "as tests are")
	require.Equal(t, http.StatusNoContent, w.call(t, http.MethodDelete, "/whisperer/hooks/"+hook.String()+"/", "").status)
	a := w.call(t, http.MethodPost, path("e-1"), `{"target_url":"`+target+`"}`)
	require.Equal(t, http.StatusConflict, a.status)
	require.Contains(t, a.text, "The hook was deleted.")
}
