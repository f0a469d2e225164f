package httpapi_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// Every way of sending a field accepts the same spellings, with and without a slash at the end of the path.
func TestThePredecessorsSpellingsAreTakenByEveryMethod(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const login = `"url":"http://example.com/login","username":"u","password":"p","username_field":"email","password_field":"pin"`
	const shownLogin = `{"auth":{"auth_type":"token","url":"http://example.com/login","username":"u","username_field":"email","password_field":"pin"}}`
	for name, c := range map[string]struct{ fields, field, want string }{
		"an empty schedule":            {`"retry_countdown_config": {}`, "retry_countdown_config", `{}`},
		"a choice in capitals":         {`"retry_countdown_config": {"choice":"FIXED","kwargs":{"seconds":60}}`, "status", `"active"`},
		"numbers in quotes":            {`"retry_countdown_config": {"choice":"Fixed","kwargs":{"seconds":"60"},"deadline":"600","max_retries":"3"}`, "status", `"active"`},
		"numbers in quotes, random":    {`"retry_countdown_config": {"choice":"random","kwargs":{"min_value":"9","max_value":"10"}}`, "status", `"active"`},
		"numbers in quotes, linear":    {`"retry_countdown_config": {"choice":"Linear","kwargs":{"base":"60","limit":"600"}}`, "status", `"active"`},
		"numbers in quotes, schedule":  {`"retry_countdown_config": {"choice":"Schedule","kwargs":{"seconds":["5","60"]}}`, "status", `"active"`},
		"a whole number with a point":  {`"retry_countdown_config": {"choice":"fixed","kwargs":{"seconds":60.0}}`, "status", `"active"`},
		"an empty callback":            {`"callback": {}`, "callback", `null`},
		"the path of a function":       {`"callback": "shop.tasks.Answered"`, "callback", `{"subject":"whisperer.callback.default.shop.tasks.answered"}`},
		"a config of nothing":          {`"config": null`, "config", `{}`},
		"retries in quotes":            {`"retry_countdown_config": {"choice":"linear","kwargs":{"base":"60","limit":null}}`, "retry_countdown_config", `{"choice":"linear","kwargs":{"base":"60","limit":null}}`},
		"a timeout in quotes":          {`"config": {"timeout":"20"}`, "config", `{"timeout":"20"}`},
		"names of a login's fields":    {`"config": {"auth":{"auth_type":"TOKEN",` + login + `}}`, "config", shownLogin},
		"a login in the config itself": {`"config": {"auth_type":"Token",` + login + `}`, "config", shownLogin},
		"no headers":                   {`"additional_headers": {}`, "additional_headers", `{}`},
		"a type in capitals":           {`"notification_type": "REST"`, "notification_type", `"rest"`},
		"a status with a capital":      {`"status": "Active"`, "is_active", `true`},
		"both, in words":               {`"status": "Paused", "is_active": "False"`, "status", `"paused"`},
		"is_active: yes":               {`"is_active": "yes"`, "is_active", `true`},
		"is_active: Off":               {`"is_active": "Off"`, "is_active", `false`},
		"is_active: t":                 {`"is_active": "t"`, "is_active", `true`},
		"is_active: n":                 {`"is_active": "n"`, "is_active", `false`},
		"types twice":                  {`"event_types": ["Order-Created","ORDER.CREATED"]`, "event_types", `["order.created"]`},
		"a list as event_type":         {`"event_type": ["Order-Created"]`, "event_type", `"order.created"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodPatch} {
				for _, slash := range []string{"/", ""} {
					target := `"target_url":"http://example.com/` + uuid.NewString() + `"`
					body := `{` + target + `,` + c.fields + `}`
					path, status := strings.TrimSuffix(hooks, "/")+slash, http.StatusCreated
					if !strings.Contains(c.fields, "event_type") {
						body = `{"event_type":"Package-Created",` + target + `,` + c.fields + `}`
					}
					if method != http.MethodPost {
						made := w.create(t, `{"event_type":"package-created",`+target+`}`)
						path, status = hooks+made["id"].(string)+slash, http.StatusOK
					}
					if method == http.MethodPatch {
						body = `{` + c.fields + `}`
					}
					a := w.call(t, method, path, body)
					require.Equal(t, status, a.status, "%s: %s", method, a.text)
					got, err := json.Marshal(a.json[c.field])
					require.NoError(t, err)
					require.JSONEq(t, c.want, string(got), method)
				}
			}
		})
	}
}

func TestHookEventsTakeThePredecessorsFilters(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	at := h.events[1].PublishedAt.UTC() // of e-2
	const day, clock, minute = "2006-01-02", "15:04:05.000000", "15:04"
	hex := strings.ReplaceAll(h.a.String(), "-", "")
	utc := func(zone string) string { return at.Format(clock) + zone }
	for query, want := range map[string][]string{
		"":                                  {"e-4", "e-3", "e-2", "e-1", "e-1"}, // the newest first
		"?delivered=True":                   {"e-1", "e-1"},
		"?delivered=yes":                    {"e-1", "e-1"},
		"?delivered=Off":                    {"e-4", "e-3", "e-2"},
		"?delivered=&webhook=&uuid=":        {"e-4", "e-3", "e-2", "e-1", "e-1"},
		"?webhook=" + h.b.String():          {"e-1"},
		"?webhook=" + hex:                   {"e-4", "e-3", "e-2", "e-1"},
		"?webhook=" + strings.ToUpper(hex):  {"e-4", "e-3", "e-2", "e-1"},
		"?event_type=ORDER-CANCELLED":       {"e-2"},
		"?event_type=Package-Status-Packed": {"e-4"},
		"?response_http_status=500":         {"e-2"},
		"?object_id=61&event_type=":         {"e-3"},
		"?created_date=" + at.Format(day) + "T" + utc("Z"):                     {"e-2"},
		"?created_date=" + at.Format(day) + "T" + utc(""):                      {"e-2"},
		"?created_date=" + at.Format(day) + "+" + utc(""):                      {"e-2"},
		"?created_date=" + at.Format(day) + "%20" + utc("Z"):                   {"e-2"},
		"?created_date=" + at.Format(day) + "%20" + utc("%2B00:00"):            {"e-2"}, // Python's str
		"?created_date=" + at.Format(day) + "T" + utc("%2B00:00"):              {"e-2"}, // Python's isoformat
		"?created_date=" + at.Format(day) + "T" + utc("%2B0000"):               {"e-2"},
		"?created_date=" + at.Format(day) + "T" + utc("-00"):                   {"e-2"},
		"?created_date__lt=" + at.Format(day) + "+" + utc(""):                  {"e-1", "e-1"},
		"?created_date__gte=" + at.Format(day) + "+" + at.Format(minute):       {"e-4", "e-3", "e-2"},
		"?created_date__gte=" + at.Format(day) + "T" + at.Format(minute) + "Z": {"e-4", "e-3", "e-2"},
		"?created_date__gte=" + at.AddDate(0, 0, -1).Format(day):               {"e-4", "e-3", "e-2", "e-1", "e-1"},
	} {
		for _, path := range []string{"/whisperer/hook_events/", "/whisperer/hook_events"} {
			a := h.call(t, http.MethodGet, path+query, "")
			require.Equal(t, http.StatusOK, a.status, "%s: %s", query, a.text)
			require.Equal(t, want, field(a, "uuid"), query)
			require.Contains(t, a.json, "next")
			require.Contains(t, a.json, "previous")
		}
	}
	for _, query := range []string{"created_date=yesterday", "created_date=2026-01-31T25:00", "created_date=2026-01-31%20", "delivered=maybe", "webhook=7", "page=2", "offset=50"} {
		a := h.call(t, http.MethodGet, "/whisperer/hook_events/?"+query, "")
		require.Equal(t, http.StatusBadRequest, a.status, query)
		require.NotEmpty(t, a.json["detail"], query)
	}
	id := webhook.DeliveryID(h.a, "e-2").String()
	for _, spelt := range []string{id, strings.ToUpper(id), strings.ReplaceAll(id, "-", "")} {
		for _, slash := range []string{"/", ""} {
			a := h.call(t, http.MethodGet, "/whisperer/hook_events/"+spelt+slash, "")
			require.Equal(t, http.StatusOK, a.status, a.text)
			require.Equal(t, id, a.json["id"])
		}
	}
	for _, none := range []string{"7", "{" + id + "}", "urn:uuid:" + id, id + "0"} {
		require.Equal(t, http.StatusNotFound, h.call(t, http.MethodGet, "/whisperer/hook_events/"+none+"/", "").status, none)
	}
}

// The test goes two pages forward and one back by the links alone, as the predecessor's clients do.
func TestHookEventsArePagedByTheirLinks(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	first := h.call(t, http.MethodGet, "/whisperer/hook_events?limit=2&webhook="+strings.ToUpper(h.a.String()), "")
	require.Equal(t, []string{"e-4", "e-3"}, field(first, "uuid"))
	require.Nil(t, first.json["previous"])
	second := h.call(t, http.MethodGet, first.json["next"].(string), "")
	require.Equal(t, []string{"e-2", "e-1"}, field(second, "uuid"))
	require.Nil(t, second.json["next"])
	require.Equal(t, []string{"e-4", "e-3"}, field(h.call(t, http.MethodGet, second.json["previous"].(string), ""), "uuid"))
}

// The predecessor's scripts send no body, an empty object, or an empty form.
func TestARetryTakesWhatIsSentForNothing(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	delivered := "/whisperer/hook_events/" + webhook.DeliveryID(h.a, "e-1").String()
	form := header("Content-Type", "application/x-www-form-urlencoded")
	for _, c := range []struct {
		path, body string
		change     []with
		want       int
	}{
		{delivered + "/retry/", "", nil, http.StatusConflict},
		{delivered + "/retry", "", []with{form}, http.StatusConflict},
		{delivered + "/retry", "{}", nil, http.StatusConflict},
		{delivered + "/retry/", "force=1", []with{form}, http.StatusUnsupportedMediaType},
		{"/whisperer/hook_events/" + uuid.NewString() + "/retry/", "", nil, http.StatusNotFound},
	} {
		a := h.call(t, http.MethodPost, c.path, c.body, c.change...)
		require.Equal(t, c.want, a.status, "%s %s: %s", c.path, c.body, a.text)
		require.NotEmpty(t, a.json["detail"], "as in the predecessor's errors")
	}
	for _, scheme := range []string{"Token ", "token ", "TOKEN  "} {
		require.Equal(t, http.StatusOK, h.call(t, http.MethodGet, delivered, "", header("Authorization", scheme+h.token)).status, scheme)
	}
}

// The predecessor let PostgreSQL decide whether the config contains a published config_filter, and so does this test.
func TestAConfigContainsWhatPostgreSQLSaysItDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	db := testenv.Plain(t, w.db.URL)
	values := []string{
		`{}`, `{"a":1}`, `{"a":1.0}`, `{"a":"1"}`, `{"a":null}`, `{"a":true}`, `{"a":{}}`, `{"a":[]}`, `{"a":[1]}`, `{"a":[1,1]}`, `{"a":[1,2]}`,
		`{"a":[2,1]}`, `{"a":[[1,2],[3]]}`, `{"a":[[2]]}`, `{"a":[[]]}`, `{"a":[{}]}`, `{"a":[null]}`, `{"a":["x",{"b":[1,2]}]}`, `{"a":[{"b":[2]}]}`,
		`{"a":[{"b":[]}]}`, `{"a":{"b":[1,2]}}`, `{"a":{"b":[2]}}`, `{"a":{"b":2}}`, `{"a":{"b":{}}}`, `{"a":{"b":null},"c":1}`, `{"a":1,"c":[{"d":1,"e":2}]}`,
		`{"c":[{"d":1}]}`, `{"c":[{"d":1},{"e":2}]}`, `{"a":[[[1,{"x":[true]}]]]}`, `{"a":[[[{"x":[]}]]]}`, `{"a":1e2}`, `{"a":100}`, `[]`, `[1]`, `1`, `"a"`, `true`,
	}
	for _, have := range values[:32] {
		config, err := webhook.ParseConfig(json.RawMessage(have))
		require.NoError(t, err, have)
		for _, filter := range values {
			var want bool
			require.NoError(t, db.QueryRowContext(t.Context(), `SELECT $1::jsonb @> $2::jsonb`, have, filter).Scan(&want))
			require.Equal(t, want, config.Contains(json.RawMessage(filter)), "%s @> %s", have, filter)
		}
	}
}

// A hook that is written back as it was read, or as it was created, is unchanged: no new version and no audit entry.
func TestWhatIsWrittenBackChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const fields = `"event_type":"Order-Created","target_url":"http://example.com/same","status":"Active","additional_headers":{},"callback":{},
		"retry_countdown_config":{"kwargs":{"seconds":"60"},"choice":"Fixed"},"config":{"b":1.50,"a":12345678901234567890},"notification_type":"REST"`
	made := w.create(t, `{`+fields+`}`)
	path := hooks + made["id"].(string) + "/"
	read := w.call(t, http.MethodGet, path, "").text
	for _, c := range []struct{ method, body string }{
		{http.MethodPut, `{` + fields + `}`},
		{http.MethodPatch, `{` + fields + `}`},
		{http.MethodPut, read},
		{http.MethodPatch, read},
		{http.MethodPatch, `{"config":{"a":12345678901234567890,"b":1.5},"is_active":"yes"}`},
		{http.MethodPatch, `{}`},
	} {
		a := w.call(t, c.method, path, c.body)
		require.Equal(t, http.StatusOK, a.status, a.text)
		require.InDelta(t, 1, a.json["version"], 0, "%s %s", c.method, c.body)
	}
	log, _, err := w.db.Access.ListAudit(t.Context(), webhook.DefaultTenant, store.AuditFilter{}, store.Page{Limit: 50})
	require.NoError(t, err)
	changes := 0
	for i := range log {
		if log[i].Subject == made["id"] {
			changes++
		}
	}
	require.Equal(t, 1, changes, "its creation")
}
