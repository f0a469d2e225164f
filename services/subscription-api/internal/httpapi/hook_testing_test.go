package httpapi_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/httpapi"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase/usecasetest"
)

const signingSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// allowLoopback allows hooks to target this machine.
func allowLoopback(d *httpapi.Deps) {
	policy, _ := egress.ParsePolicy("127.0.0.0/8", "")
	d.Cases.URLs = policy
	d.Cases.Sender = usecasetest.Sender(policy)
}

// receive starts a server that answers everything with the status, and passes on the requests.
func receive(t *testing.T, status int) (url string, requests <-chan testenv.Received) {
	t.Helper()
	c := make(chan testenv.Received, 20)
	r := testenv.NewReceiver(t)
	r.React(func(q testenv.Received) testenv.Answer {
		c <- q
		return testenv.Answer{Status: status, Header: http.Header{"X-Answer": {"42"}}, Body: "<b>answered</b>"}
	})
	return r.URL, c
}

func at(t *testing.T, value any, path ...string) any {
	t.Helper()
	for _, name := range path {
		members, ok := value.(map[string]any)
		require.True(t, ok, "no object above %s", name)
		value = members[name]
	}
	return value
}

func TestATestSendsWhatADeliveryWouldAndShowsTheAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, allowLoopback)
	url, requests := receive(t, http.StatusAccepted)
	hook := w.create(t, `{"event_types":["package.*","order.created"],"target_url":"`+url+`/in","secret_key":"`+signingSecret+`","api_key":"canary-key",
		"additional_headers":{"X-Mine":"canary-header"},"is_active":false,
		"config":{"format":"standard","method":"PUT","auth":{"auth_type":"basic","username":"u","password":"canary-password"}}}`)
	path := "/whisperer/hooks/" + hook["id"].(string) + "/test/"
	a := w.call(t, http.MethodPost, path, "")
	require.Equal(t, http.StatusOK, a.status, a.text)
	r := <-requests
	key, err := signature.ParseVerifyKey(signingSecret)
	require.NoError(t, err)
	require.NoError(t, signature.Verify(r.Header, []byte(r.Body), []signature.VerifyKey{key}, time.Now(), time.Minute))
	require.Equal(t, "PUT /in", r.Method+" "+r.Path)
	require.Equal(t, "true", r.Header.Get("X-Whisperer-Test"))
	require.Equal(t, "order.created", r.Header.Get("X-Whisperer-Event"))
	require.Equal(t, "canary-key canary-header", r.Header.Get("X-Api-Key")+" "+r.Header.Get("X-Mine"))
	_, password, _ := (&http.Request{Header: r.Header}).BasicAuth()
	require.Equal(t, "canary-password", password)
	example, _ := catalogue.Find("order.created")
	require.Contains(t, r.Body, string(example.Example))

	require.Equal(t, r.Body, a.json["request_body"])
	require.Equal(t, r.Header.Get("Webhook-Id"), a.json["webhook_id"])
	require.Equal(t, r.Header.Get("X-Whisperer-Event-Id"), a.json["event"])
	require.InDelta(t, http.StatusAccepted, at(t, a.json, "attempt", "status"), 0)
	require.Equal(t, "succeeded", at(t, a.json, "attempt", "outcome"))
	require.Equal(t, "<b>answered</b>", at(t, a.json, "attempt", "response_body"))
	require.Contains(t, a.text, `{"name":"X-Answer","value":"42"}`)
	require.Positive(t, at(t, a.json, "attempt", "timings", "first_byte"))
	require.NotContains(t, a.text, "canary")
	require.NotContains(t, a.text, r.Header.Get("Authorization"))

	again := w.call(t, http.MethodPost, path, `{"event_type":"package-created","data":{"b":1.50,"a":"é"}}`)
	second := <-requests
	require.Contains(t, second.Body, `"data":{"b":1.50,"a":"é"}`)
	require.Equal(t, "package.created", again.json["event_type"])
	require.NotEqual(t, r.Header.Get("Webhook-Id"), second.Header.Get("Webhook-Id"))
	list := w.call(t, http.MethodGet, "/whisperer/deliveries/", "")
	require.Empty(t, list.json["results"], "a test is no delivery")
}

func TestATestTriesWhatIsNotSaved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, allowLoopback)
	url, requests := receive(t, http.StatusOK)
	a := w.call(t, http.MethodPost, "/whisperer/hooks/test/", `{"hook":{"event_type":"shipment.*","target_url":"`+url+`/new","secret_key":"s"}}`)
	require.Equal(t, http.StatusOK, a.status, a.text)
	require.Equal(t, "/new", (<-requests).Path)
	require.Equal(t, "shipment.created", a.json["event_type"])
	list := w.call(t, http.MethodGet, "/whisperer/hooks/", "")
	require.Empty(t, list.json["results"])

	hook := w.create(t, `{"event_type":"order.created","target_url":"`+url+`/saved","secret_key":"`+signingSecret+`"}`)
	path := "/whisperer/hooks/" + hook["id"].(string) + "/"
	a = w.call(t, http.MethodPost, path+"test/", `{"hook":{"target_url":"`+url+`/changed","config":{"format":"raw"}}}`)
	require.Equal(t, http.StatusOK, a.status, a.text)
	r := <-requests
	require.Equal(t, "/changed", r.Path)
	require.NotEmpty(t, r.Header.Get("Webhook-Signature"), "with the stored secret")
	require.Equal(t, hook, w.call(t, http.MethodGet, path, "").json)
}

func TestATestShowsWhatWentWrongAtTheReceiver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, allowLoopback)
	url, requests := receive(t, http.StatusGone)
	hook := w.create(t, `{"event_type":"order.created","target_url":"`+url+`"}`)
	a := w.call(t, http.MethodPost, "/whisperer/hooks/"+hook["id"].(string)+"/test/", "")
	<-requests
	require.Equal(t, http.StatusOK, a.status, a.text)
	require.Equal(t, "http_status", at(t, a.json, "attempt", "error_class"))
	require.Equal(t, "failed", at(t, a.json, "attempt", "outcome"))
	after := w.call(t, http.MethodGet, "/whisperer/hooks/"+hook["id"].(string)+"/", "")
	require.Equal(t, "active", after.json["status"], "a test disables nothing")

	nobody := httptest.NewServer(http.NotFoundHandler())
	nobody.Close()
	a = w.call(t, http.MethodPost, "/whisperer/hooks/test/", `{"hook":{"event_type":"order.created","target_url":"`+nobody.URL+`"}}`)
	require.Equal(t, http.StatusOK, a.status, a.text)
	require.Equal(t, "connection_refused", at(t, a.json, "attempt", "error_class"))
	require.Nil(t, at(t, a.json, "attempt", "status"))
}

func TestATestReachesNoForbiddenAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	url, requests := receive(t, http.StatusOK)
	a := w.call(t, http.MethodPost, "/whisperer/hooks/test/", `{"hook":{"event_type":"order.created","target_url":"`+url+`"}}`)
	require.Equal(t, http.StatusUnprocessableEntity, a.status)
	require.Equal(t, []string{"/hook/target_url"}, a.pointers())

	byHand := testenv.MakeHook(t, w.db.DB, url, func(h *webhook.Hook) { h.EventTypes = []string{"order.created"} })
	a = w.call(t, http.MethodPost, "/whisperer/hooks/"+byHand.ID.String()+"/test/", "")
	require.Equal(t, http.StatusOK, a.status, a.text)
	require.Equal(t, "target_forbidden", at(t, a.json, "attempt", "error_class"))
	require.Empty(t, requests)
}

func TestATestThatMakesNoSenseIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, allowLoopback)
	url, requests := receive(t, http.StatusOK)
	id, _ := w.create(t, `{"event_type":"order.created","target_url":"`+url+`"}`)["id"].(string)
	dead, _ := w.create(t, `{"event_type":"delivery.dead","target_url":"`+url+`"}`)["id"].(string)
	own, _ := w.create(t, `{"event_type":"custom.>","target_url":"`+url+`"}`)["id"].(string)
	for name, test := range map[string]struct {
		path, body string
		status     int
		pointer    string
	}{
		"a type that there is not":          {id, `{"event_type":"order.craeted"}`, 422, "/event_type"},
		"a pattern":                         {id, `{"event_type":"order.*"}`, 422, "/event_type"},
		"an unknown field":                  {id, `{"event-type":"order.created"}`, 422, "/event-type"},
		"a wrong field of the hook":         {id, `{"hook":{"config":{"timeout":0}}}`, 422, "/hook/config/timeout"},
		"an unknown field of the hook":      {id, `{"hook":{"target_ulr":"x"}}`, 422, "/hook/target_ulr"},
		"a hook that is a list":             {id, `{"hook":[]}`, 422, "/hook"},
		"a type without an example":         {dead, ``, 422, "/data"},
		"patterns that cover no known type": {own, ``, 422, "/event_type"},
		"no hook where none is stored":      {"", `{}`, 422, "/hook"},
		"an incomplete hook":                {"", `{"hook":{"event_type":"order.created"}}`, 422, "/hook/target_url"},
		"a body that is none":               {id, `[]`, 400, ""},
		"an id that there is not":           {"018f0000-0000-7000-8000-000000000000", ``, 404, ""},
	} {
		t.Run(name, func(t *testing.T) {
			path := "/whisperer/hooks/test/"
			if test.path != "" {
				path = "/whisperer/hooks/" + test.path + "/test/"
			}
			a := w.call(t, http.MethodPost, path, test.body)
			require.Equal(t, test.status, a.status, a.text)
			if test.status == 422 {
				require.Contains(t, a.pointers(), test.pointer)
			}
		})
	}
	require.Empty(t, requests)
}

func TestTestsAreForEditorsOfTheTenantAndAudited(t *testing.T) {
	t.Parallel()
	w := newWorld(t, allowLoopback)
	w.db.MakeTenant(t, "acme")
	url, requests := receive(t, http.StatusOK)
	hook := w.create(t, `{"event_type":"order.created","target_url":"`+url+`/?secret=canary"}`)
	path := "/whisperer/hooks/" + hook["id"].(string) + "/test/"
	viewer := w.db.MakeToken(t, store.NewToken{Name: "v", Role: store.Viewer, Tenant: webhook.DefaultTenant})
	require.Equal(t, http.StatusForbidden, w.call(t, http.MethodPost, path, "", token(viewer)).status)
	stranger := w.db.MakeToken(t, store.NewToken{Name: "s", Role: store.Admin, Tenant: "acme"})
	require.Equal(t, http.StatusNotFound, w.call(t, http.MethodPost, path, "", token(stranger)).status)
	require.Empty(t, requests)
	require.Equal(t, http.StatusOK, w.call(t, http.MethodPost, path, "").status)
	log, _, err := w.db.Access.ListAudit(t.Context(), webhook.DefaultTenant, store.AuditFilter{}, store.Page{Limit: 1})
	require.NoError(t, err)
	require.Equal(t, "hook.tested", log[0].Action)
	require.Equal(t, hook["id"], log[0].Subject)
	require.Contains(t, string(log[0].Detail), "order.created")
	require.NotContains(t, string(log[0].Detail), "canary")
}

func TestTestsAreLimited(t *testing.T) {
	t.Parallel()
	w := newWorld(t, allowLoopback)
	url, _ := receive(t, http.StatusOK)
	hook := w.create(t, `{"event_type":"order.created","target_url":"`+url+`"}`)
	var limited *answer
	for range 50 {
		a := w.call(t, http.MethodPost, "/whisperer/hooks/"+hook["id"].(string)+"/test/", "")
		if a.status != http.StatusOK {
			limited = a
			break
		}
	}
	require.NotNil(t, limited, "so many at once are not let through")
	require.Equal(t, http.StatusTooManyRequests, limited.status)
	require.Equal(t, "1", limited.header.Get("Retry-After"))
}
