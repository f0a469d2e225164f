package httpapi_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

const parcelSchema = `{"type": "object", "required": ["awb"], "properties": {"awb": {"type": "string", "pattern": "^[A-Z0-9]+$"}}}`

func TestATypeIsCheckedAsItsTenantWants(t *testing.T) {
	t.Parallel()
	w, published := newBus(t)
	publish := func(id, data string) *answer {
		return w.call(t, http.MethodPost, events, fmt.Sprintf(`[{"event_type":"parcel.lost","event_id":%q,"data":%s}]`, id, data))
	}
	a := w.call(t, http.MethodPost, registry, `{"name": "parcel.lost", "schema": `+parcelSchema+`, "example": {"awb": "A1"}}`)
	require.Equal(t, http.StatusCreated, a.status, a.text)
	require.Equal(t, "warn", a.json["schema_check"], "what shows and loses nothing")

	require.Eventually(t, func() bool {
		a = publish("e-1", `{"awb": "hidden"}`)
		require.Equal(t, http.StatusAccepted, a.status, a.text)
		return a.json["results"].([]any)[0].(map[string]any)["schema_problems"] != nil
	}, time.Minute, 10*time.Millisecond)
	require.Equal(t, []any{map[string]any{"pointer": "/data/awb", "detail": "does not match the pattern ^[A-Z0-9]+$"}},
		a.json["results"].([]any)[0].(map[string]any)["schema_problems"])
	require.NotContains(t, publish("e-2", `{"awb": "A1"}`).text, "schema_problems")
	before := len(published())

	a = w.call(t, http.MethodPatch, registry+"parcel-lost", `{"schema_check": "reject"}`)
	require.Equal(t, http.StatusOK, a.status, a.text)
	require.Equal(t, "reject", a.json["schema_check"])
	require.Eventually(t, func() bool {
		a = publish("e-3", `{"awb": "hidden"}`)
		return a.status == http.StatusUnprocessableEntity
	}, time.Minute, 10*time.Millisecond)
	require.Equal(t, []string{"/0/data/awb"}, a.pointers())
	require.NotContains(t, a.text, "hidden")
	rejecting := len(published())
	require.GreaterOrEqual(t, rejecting, before)
	require.Equal(t, http.StatusUnprocessableEntity, publish("e-4", `{}`).status)
	require.Equal(t, http.StatusAccepted, publish("e-5", `{"awb": "A1"}`).status)
	require.Len(t, published(), rejecting+1, "of those two, one is an event")

	require.Equal(t, "off", w.call(t, http.MethodPatch, registry+"parcel.lost/", `{"schema_check": "off"}`).json["schema_check"])
	require.Eventually(t, func() bool { return publish("e-6", `{}`).status == http.StatusAccepted }, time.Minute, 10*time.Millisecond)
}

func TestSettingsOfTypesAreATenantsOwn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.db.MakeTenant(t, "acme")
	created := registry + "package.created/"
	a := w.call(t, http.MethodGet, created, "")
	require.Equal(t, http.StatusOK, a.status)
	require.Equal(t, "off", a.json["schema_check"])
	require.Equal(t, false, a.json["deprecated"])
	require.Equal(t, true, a.json["built_in"])

	a = w.call(t, http.MethodPatch, created, `{"schema_check": "reject", "deprecated": true}`)
	require.Equal(t, http.StatusOK, a.status, a.text)
	require.Equal(t, "reject", a.json["schema_check"])
	a = w.call(t, http.MethodPatch, created, `{}`)
	require.Equal(t, "reject", a.json["schema_check"])
	require.Equal(t, true, a.json["deprecated"])
	require.Equal(t, "off", w.call(t, http.MethodGet, created, "", header("X-Whisperer-Tenant", "acme")).json["schema_check"])

	require.Equal(t, http.StatusNotFound, w.call(t, http.MethodPatch, registry+"no.such/", `{"deprecated": true}`).status)
	require.Equal(t, http.StatusNotFound, w.call(t, http.MethodGet, registry+"no.such/", "").status)
	for body, pointer := range map[string]string{
		`{"schema_check": "loud"}`: "/schema_check", `{"deprecated": 1}`: "/deprecated", `{"schema": {}}`: "/schema",
	} {
		a := w.call(t, http.MethodPatch, created, body)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, body)
		require.Equal(t, []string{pointer}, a.pointers())
	}
	a = w.call(t, http.MethodPatch, registry+"hook.disabled/", `{"schema_check": "warn"}`)
	require.Equal(t, []string{"/schema_check"}, a.pointers(), "it has no schema")

	declare := func(body string) map[string]any {
		a := w.call(t, http.MethodPost, registry, body)
		require.Less(t, a.status, 300, a.text)
		return a.json
	}
	require.Equal(t, "off", declare(`{"name": "a.b"}`)["schema_check"])
	require.Equal(t, "reject", declare(`{"name": "a.b", "schema": {}, "schema_check": "reject", "deprecated": true}`)["schema_check"])
	again := declare(`{"name": "a.b", "schema": {"type": "object"}}`)
	require.Equal(t, "reject", again["schema_check"], "as it was")
	require.Equal(t, true, again["deprecated"])
	require.Equal(t, "off", declare(`{"name": "a.b"}`)["schema_check"], "there is nothing to check against")
	for body, pointer := range map[string]string{
		`{"name": "a.b", "schema_check": "warn"}`:                                "/schema_check",
		`{"name": "a.b", "schema": {"properties": {"id": {"type": "text"}}}}`:    "/schema/properties/id/type",
		`{"name": "a.b", "schema": {"$ref": "https://example.com/schema.json"}}`: "/schema",
		`{"name": "a.b", "schema": {"required": ["id"]}, "example": {"x": 1}}`:   "/example",
		`{"name": "hook.failing"}`:                                               "/name",
	} {
		a := w.call(t, http.MethodPost, registry, body)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, body)
		require.Equal(t, []string{pointer}, a.pointers(), a.text)
	}
}

func TestEventsThatDoNotFitTheirSchemaAreMarked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good, bad := newEvent("e-1", 1, "order.created", "", time.Hour), newEvent("e-2", 2, "order.created", "", time.Minute)
	bad.SchemaProblems = []webhook.FieldError{{Pointer: "/id", Detail: "must not be\u0000 there"}}
	w.published(t, good, bad)
	mark := []any{map[string]any{"pointer": "/id", "detail": "must not be\u0000 there"}}
	require.Equal(t, mark, w.call(t, http.MethodGet, events+"e-2/", "").json["schema_problems"])
	require.Empty(t, w.call(t, http.MethodGet, events+"e-1/", "").json["schema_problems"])
	require.Len(t, w.call(t, http.MethodGet, events, "").json["results"], 2)
	marked := w.call(t, http.MethodGet, events+"?off_schema=true", "").json["results"].([]any)
	require.Len(t, marked, 1)
	require.Equal(t, mark, marked[0].(map[string]any)["schema_problems"])
	require.Equal(t, []string{"off_schema"}, w.call(t, http.MethodGet, events+"?off_schema=maybe", "").pointers())
}
