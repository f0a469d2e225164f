package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const erasuresURL = "/whisperer/erasures/"

func TestErasuresThatCannotBeAskedFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	day := time.Now().Add(-24 * time.Hour).Format(time.RFC3339)
	for _, c := range []struct{ body, pointer string }{
		{`{}`, ""},
		{`{"reason":"r"}`, ""},
		{`{"events":["e"],"entity":"package:61"}`, ""},
		{`{"events":null,"entity":null}`, ""},
		{`{"events":[]}`, "/events"},
		{`{"events":[""]}`, "/events"},
		{`{"events":"e"}`, "/events"},
		{`{"events":[1]}`, "/events"},
		{`{"events":["` + strings.Repeat("e", 1025) + `"]}`, "/events"},
		{`{"events":["e"` + strings.Repeat(`,"e"`, 1000) + `]}`, "/events"},
		{`{"events":["e"],"events_":["e"]}`, "/events_"},
		{`{"events":["e"],"from":"yesterday"}`, "/from"},
		{`{"events":["e"],"from":"1999-01-01T00:00:00Z"}`, "/from"},
		{`{"events":["e"],"from":"2199-01-01T00:00:00Z"}`, "/from"},
		{`{"events":["e"],"from":"` + day + `","to":"` + day + `"}`, "/from"},
		{`{"events":["e"],"dry_run":"yes"}`, "/dry_run"},
		{`{"events":["e"],"reason":7}`, "/reason"},
		{`{"events":["e"],"reason":"` + strings.Repeat("r", 501) + `"}`, "/reason"},
		{`{"events":["e"]}`, "/reason"},
		{`{"events":["e"],"reason":" "}`, "/reason"},
		{`{"entity":""}`, "/entity"},
		{`{"entity":"` + strings.Repeat("ü", 257) + `"}`, "/entity"},
		{`{"path":"$.a"}`, "/from"},
		{`{"path":"$.a","from":"2020-01-01T00:00:00Z"}`, "/from"},
		{`{"path":"","from":"` + day + `"}`, "/path"},
		{`{"path":"$.a ? (","from":"` + day + `","reason":"r"}`, "/path"},
		{`{"path":"'; DROP TABLE events; --","from":"` + day + `"}`, "/path"},
		{`{"path":"` + strings.Repeat("$", 1001) + `","from":"` + day + `"}`, "/path"},
	} {
		a := w.call(t, http.MethodPost, erasuresURL, c.body)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, c.body+"\n"+a.text)
		require.Contains(t, a.text, `"pointer":"`+c.pointer+`"`, c.body)
	}
	for _, body := range []string{`{"events":["a\u0000b"]}`, `{"entity":"\u0000"}`, `[]`, `{"events":["e"],"events":["f"]}`, `{`, ``} {
		require.GreaterOrEqual(t, w.call(t, http.MethodPost, erasuresURL, body).status, 400, body)
	}
	require.Empty(t, field(w.call(t, http.MethodGet, erasuresURL, ""), "id"), "nothing is stored")
}

func TestAnErasureIsCountedBegunAndCancelled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.MakeTenant(t, "acme")
	e := newEvent("e-1", 1, "order.created", "customer:61", time.Hour)
	e.Data = []byte(`{"customer":{"email":"jane@example.com"}}`)
	theirs := newEvent("e-1", 2, "order.created", "customer:61", time.Hour)
	theirs.Tenant, theirs.Data = "acme", e.Data
	w.published(t, e, newEvent("e-2", 3, "order.created", "customer:7", time.Hour))
	w.published(t, theirs)
	day := `"from":"` + time.Now().Add(-24*time.Hour).Format(time.RFC3339) + `"`
	for body, want := range map[string]int{
		`{"events":["e-1","e-2","e-3"],"dry_run":true}`:                                        2,
		`{"entity":"customer:61","dry_run":true}`:                                              1,
		`{"entity":"customer:6","dry_run":true}`:                                               0,
		`{"path":"$.customer ? (@.email == \"jane@example.com\")","dry_run":true,` + day + `}`: 1,
		`{"path":"$.customer ? (@.email == \"joe@example.com\")","dry_run":true,` + day + `}`:  0,
		`{"path":"$.customer.email == \"jane@example.com\"","dry_run":true,` + day + `}`:       1,
		`{"path":"$.customer.email == \"joe@example.com\"","dry_run":true,` + day + `}`:        0,
		`{"path":"strict $.nothing","dry_run":true,` + day + `}`:                               0,
	} {
		a := w.call(t, http.MethodPost, erasuresURL, body)
		require.Equal(t, http.StatusOK, a.status, a.text)
		require.InDelta(t, want, a.json["total"], 0, body)
		require.Equal(t, "dry_run", a.json["state"])
	}
	a := w.call(t, http.MethodPost, erasuresURL, `{"path":"$.customer ? (@.email == \"jane@example.com\")","reason":"asked for",`+day+`}`)
	require.Equal(t, http.StatusAccepted, a.status, a.text)
	id := a.json["id"].(string)
	require.Equal(t, "running", a.json["state"])
	a = w.call(t, http.MethodPost, erasuresURL+id+"/cancel/", "")
	require.Equal(t, http.StatusOK, a.status, a.text)
	require.Equal(t, "cancelled", a.json["state"])
	require.Equal(t, "operator", a.json["owner_name"])
	require.Equal(t, []string{"operator"}, field(w.call(t, http.MethodGet, erasuresURL, ""), "owner_name"))
	require.NotContains(t, a.text, "jane", "nobody needs the path any more")
	require.Contains(t, a.json["path"], "sha256:")
	require.NotContains(t, w.call(t, http.MethodGet, "/whisperer/audit/", "", header("X-Whisperer-Tenant", "default")).text, "jane")
	require.Equal(t, http.StatusOK, w.call(t, http.MethodPost, erasuresURL+id+"/cancel/", "").status, "again")
	require.Equal(t, http.StatusNotFound, w.call(t, http.MethodGet, erasuresURL+uuid.NewString()+"/", "").status)
}

func TestAnErasedEventReadsAsErased(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.createHook(t, `{"event_type":"*","target_url":"http://example.com/a"}`)
	e := newEvent("e-1", 1, "order.created", "customer:61", time.Hour)
	w.published(t, e)
	w.recorded(t, newFact(hook, &e, webhook.Dead, webhook.ReasonExhausted, 500))
	key := []store.EventKey{{Tenant: e.Tenant, ID: e.ID}}
	token, err := w.db.Access.Authenticate(t.Context(), w.token)
	require.NoError(t, err)
	require.NoError(t, w.db.Erasures.Mark(t.Context(), nil, usecase.ActorOf(token.ID), key))
	_, err = w.db.Erasures.EraseRows(t.Context(), key)
	require.NoError(t, err)
	a := w.call(t, http.MethodGet, "/whisperer/events/e-1/", "")
	require.Equal(t, "operator", a.json["erased"].(map[string]any)["by_name"])
	require.Nil(t, a.json["data"])
	require.Contains(t, w.call(t, http.MethodGet, "/whisperer/events/", "").text, `"by_name":"operator"`)
	delivery := "/whisperer/deliveries/" + webhook.DeliveryID(hook, "e-1").String() + "/"
	require.Equal(t, "operator", w.call(t, http.MethodGet, delivery, "").json["erased"].(map[string]any)["by_name"])
	a = w.call(t, http.MethodPost, delivery+"retry/", "")
	require.Equal(t, http.StatusConflict, a.status)
	require.Contains(t, a.text, "erased on")
	a = w.replay(t, hook, since+`,"dry_run":true,"include_missing":true`)
	require.InDelta(t, 0, a.json["total"], 0, a.text)
}

func TestRetentionPoliciesAreSetAndTakenAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for body, pointer := range map[string]string{
		`{}`: "/event_type", `{"event_type":"order.created"}`: "/days", `{"event_type":"a b","days":1}`: "/event_type",
		`{"event_type":"order.created","days":0}`: "/days", `{"event_type":"order.created","days":3651}`: "/days",
		`{"event_type":"order.created","days":"7"}`: "/days", `{"event_type":"order.created","days":1.5}`: "/days",
		`{"event_type":1,"days":1}`: "/event_type", `{"event_type":"order.created","days":1,"hours":1}`: "/hours",
	} {
		a := w.call(t, http.MethodPost, "/whisperer/retention/", body)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, body+"\n"+a.text)
		require.Contains(t, a.text, `"pointer":"`+pointer+`"`, body)
	}
	a := w.call(t, http.MethodPost, "/whisperer/retention/", `{"event_type":"order-created","days":7}`)
	require.Equal(t, http.StatusOK, a.status, a.text)
	require.Equal(t, []string{"order.created"}, field(w.call(t, http.MethodGet, "/whisperer/retention/", ""), "event_type"))
	require.Contains(t, w.call(t, http.MethodGet, "/whisperer/audit/", "", header("X-Whisperer-Tenant", "default")).text, "retention.changed")
	a = w.call(t, http.MethodPost, "/whisperer/retention/", `{"event_type":"order.created","days":null}`)
	require.Equal(t, http.StatusOK, a.status, a.text)
	require.Empty(t, field(a, "event_type"))
}
