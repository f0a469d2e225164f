package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// whole is a form with every field filled in.
func whole() url.Values {
	return formOf(
		"name", "North shop", "target_url", "HTTPS://Example.com/hooks?a=b", "event_type", "package.created", "event_type", "order.created",
		"event_types", "shipment.>\r\n*.status.updated", "secret_mode", "own", "secret_key", "a secret of mine", "api_key_mode", "own",
		"api_key", "key-1", "api_key_header", "X-Key", "auth_mode", "basic", "auth_username", "user", "auth_password", "pass word",
		"headers", "X-Shop: north\r\nX-Empty:", "callback_mode", "subject", "callback_subject", "whisperer.callback.default.orders",
		"callback_on", "delivered", "callback_on", "dead", "choice", "schedule", "schedule", "5s, 5m 2h", "jitter", "0.1", "deadline", "1d",
		"format", "standard", "method", "PUT", "timeout", "20", "stop_on", "400, 422", "concurrency", "4", "rate_limit", "10",
		"rate_period", "1m", "ordering", "entity", "maintenance", `[{"start":"22:00","end":"02:00"}]`, "config", `{"channel_id": 12345678901234567890}`,
		"filter", "event.data.total > 100", "status", "paused", "content_fields", "/id\r\n/order/the number", "start_from", "PT36H",
	)
}

// created returns the id of the hook that an answer is about.
func created(t *testing.T, a answer) uuid.UUID {
	t.Helper()
	found := regexp.MustCompile(`/console/hooks/([0-9a-f-]{36})/`).FindStringSubmatch(a.header.Get("Location") + a.text)
	require.Len(t, found, 2, a.text)
	return uuid.MustParse(found[1])
}

func TestEveryFieldOfTheFormIsStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.signIn(t, w.operator)
	a := p.send(t, http.MethodPost, "/console/hooks/", whole())
	require.Equal(t, http.StatusSeeOther, a.status, a.text)
	h, err := w.db.Hook(t.Context(), "default", created(t, a))
	require.NoError(t, err)
	require.Equal(t, "North shop", h.Name)
	require.Equal(t, "https://example.com/hooks?a=b", h.TargetURL)
	require.Equal(t, []string{"*.status.updated", "order.created", "package.created", "shipment.>"}, h.EventTypes)
	require.Equal(t, "a secret of mine", h.Secrets[0].Value)
	require.Equal(t, "key-1", h.APIKey)
	require.Equal(t, &webhook.Auth{AuthType: "basic", Username: "user", Password: "pass word"}, h.Config.Auth)
	require.Equal(t, map[string]string{"X-Shop": "north", "X-Empty": ""}, h.Headers)
	require.Equal(t, &webhook.Callback{Subject: "whisperer.callback.default.orders", On: []string{"delivered", "dead"}}, h.Callback)
	require.JSONEq(t, `{"choice":"schedule","kwargs":{"seconds":[5,300,7200]},"jitter":0.1,"deadline":86400}`, string(h.RetryConfig))
	require.JSONEq(t, `{"format":"standard","method":"PUT","timeout":20,"stop_on":[400,422],"concurrency":4,"rate_limit":{"limit":10,"period":60},
		"ordering":"entity","maintenance":[{"start":"22:00","end":"02:00"}],"channel_id":12345678901234567890,"api_key_header":"X-Key",
		"filter":"event.data.total > 100","content_fields":["/id","/order/the number"],"start_from":"PT36H"}`, string(h.Config.Raw))
	require.Contains(t, string(h.Config.Raw), "12345678901234567890")
	require.Equal(t, webhook.Paused, h.Status)

	page := p.get(t, "/console/hooks/"+h.ID.String()+"/").text
	for _, secret := range []string{"a secret of mine", "key-1", "pass word"} {
		require.NotContains(t, page, secret)
		require.NotContains(t, p.get(t, "/console/hooks/"+h.ID.String()+"/edit").text, secret)
	}
	for _, entry := range w.logs.All() {
		require.NotContains(t, fmt.Sprint(entry.Message, entry.ContextMap()), "secret of mine")
	}
}

var (
	inputs    = regexp.MustCompile(`(?s)<(input)\b([^>]*)>|<(textarea)\b([^>]*)>([^<]*)</textarea>|<(select)\b([^>]*)>(.*?)</select>`)
	attribute = regexp.MustCompile(`([a-z-]+)(?:="([^"]*)")?`)
	chosen    = regexp.MustCompile(`<option(?: value="([^"]*)")? selected>([^<]*)`)
	firstOf   = regexp.MustCompile(`<option(?: value="([^"]*)")?`)
)

// fields reads the form of a page as a browser would send it unchanged.
func fields(page string) url.Values {
	form := url.Values{}
	page = page[strings.Index(page, `class="form beside"`):]
	for _, m := range inputs.FindAllStringSubmatch(page, -1) {
		a := map[string]string{}
		for _, pair := range attribute.FindAllStringSubmatch(m[2]+m[4]+m[7], -1) {
			a[pair[1]] = unescape(pair[2])
		}
		_, checked := a["checked"]
		switch {
		case m[3] != "":
			form.Add(a["name"], unescape(m[5]))
		case m[6] != "":
			value := ""
			if one := chosen.FindStringSubmatch(m[8]); one != nil {
				value = one[1]
				if value == "" {
					value = one[2]
				}
			} else if one := firstOf.FindStringSubmatch(m[8]); one != nil {
				value = one[1]
			}
			form.Add(a["name"], value)
		case (a["type"] == "checkbox" || a["type"] == "radio") && !checked:
		default:
			form.Add(a["name"], a["value"])
		}
	}
	return form
}

func unescape(s string) string {
	return strings.NewReplacer("&#34;", `"`, "&#39;", "'", "&lt;", "<", "&gt;", ">", "&amp;", "&", "&#43;", "+").Replace(s)
}

func TestSavingWhatWasOpenedChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.signIn(t, w.operator)
	id := created(t, p.send(t, http.MethodPost, "/console/hooks/", whole()))
	before, err := w.db.Hook(t.Context(), "default", id)
	require.NoError(t, err)
	form := fields(p.get(t, "/console/hooks/"+id.String()+"/edit").text)
	require.Equal(t, "keep", form.Get("secret_mode"))
	a := p.send(t, http.MethodPost, "/console/hooks/"+id.String()+"/", form)
	require.Equal(t, http.StatusSeeOther, a.status, a.text)
	after, err := w.db.Hook(t.Context(), "default", id)
	require.NoError(t, err)
	require.Equal(t, before, after)

	form.Set("name", "South shop")
	require.Equal(t, http.StatusSeeOther, p.send(t, http.MethodPost, "/console/hooks/"+id.String()+"/", form).status)
	form.Set("name", "West shop")
	a = p.send(t, http.MethodPost, "/console/hooks/"+id.String()+"/", form)
	require.Equal(t, http.StatusUnprocessableEntity, a.status, "its version is an old one now")
	require.Contains(t, a.text, "Somebody else has changed this webhook")
	require.Contains(t, a.text, `value="West shop"`)
}

func TestAMadeSecretIsShownOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.signIn(t, w.operator)
	a := p.post(t, "/console/hooks/", "target_url", "http://example.com/", "event_type", "package.created", "secret_mode", "generate")
	require.Equal(t, http.StatusOK, a.status, a.text)
	id := created(t, a)
	h, err := w.db.Hook(t.Context(), "default", id)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(h.Secrets[0].Value, "whsec_"))
	require.Contains(t, unescape(a.text), h.Secrets[0].Value)
	require.NotContains(t, unescape(p.get(t, "/console/hooks/"+id.String()+"/").text), h.Secrets[0].Value)
}

func TestASecretIsReplacedWithoutAGap(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook(t, "north", "http://example.com/", "package.created")
	a := w.signIn(t, w.operator).post(t, "/console/hooks/"+h.ID.String()+"/rotate")
	require.Equal(t, http.StatusOK, a.status)
	stored, err := w.db.Hook(t.Context(), "default", h.ID)
	require.NoError(t, err)
	require.Len(t, stored.Secrets, 2)
	require.Contains(t, unescape(a.text), stored.Secrets[0].Value)
	require.NotContains(t, a.text, stored.Secrets[1].Value)
	require.Contains(t, a.text, "The old secret signs, too, until")
	require.Equal(t, h.Secrets[0].Value, stored.Secrets[1].Value)
}

func TestWhatIsWrongIsSaidAtItsField(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.signIn(t, w.operator)
	for _, c := range []struct{ field, value, slot, says string }{
		{"name", "a\x01b", "name", "printable text"},
		{"target_url", "", "target_url", "This is required."},
		{"target_url", "ftp://example.com/", "target_url", "This must begin with http:// or https://."},
		{"target_url", "http://169.254.169.254/", "target_url", "may not be sent to"},
		{"target_url", "javascript:alert(1)", "target_url", "This must begin with"},
		{"event_types", "package.create", "event_types", "the nearest are"},
		{"event_types", "a..b", "event_types", "is not an event type"},
		{"headers", "X-Forwarded-For: 1", "headers", "X-Forwarded-For: is a header that cannot be set here"},
		{"headers", "no colon", "headers", "has no colon"},
		{"callback_subject", "orders", "callback", "must begin with whisperer.callback.default."},
		{"schedule", "soon", "retry", "seconds/0: must be whole seconds"},
		{"jitter", "2", "retry", "jitter: must be a number from 0 to 1"},
		{"max_retries", "1.5", "retry", "max_retries: must be a whole number"},
		{"timeout", "31", "timeout", "This must be whole seconds from 1 to 30."},
		{"timeout", "x", "timeout", "This must be whole seconds from 1 to 30."},
		{"concurrency", "-1", "concurrency", "This must be a whole number"},
		{"rate_limit", "0", "rate_limit", "limit: must be a whole number"},
		{"stop_on", "200", "stop_on", "HTTP statuses from 300 to 599"},
		{"api_key_header", "Host", "api_key_header", "This must be a header name"},
		{"maintenance", "[", "maintenance", "must be a list"},
		{"config", `{"a":`, "config", "This is not JSON"},
		{"config", `[]`, "config", "This must be a JSON object"},
		{"config", `{"auth":{}}`, "config", "Auth has fields of its own"},
		{"config", `{"tls":{}}`, "config", "Tls has fields of its own"},
		{"content_fields", "id", "content_fields", "0: must be a JSON pointer"},
		{"start_from", "soon", "start_from", "This must be"},
		{"filter", "event.data.", "filter", "."},
		{"auth_username", "", "auth", "username: "},
		{"secret_key", "whsec_%%%", "secret_key", "base64"},
	} {
		form := whole()
		form.Set(c.field, c.value)
		a := p.send(t, http.MethodPost, "/console/hooks/", form)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, "%s=%q: %s", c.field, c.value, a.header.Get("Location"))
		slot := regexp.MustCompile(`(?s)id="wrong-` + c.slot + `"[^>]*>(.*?)</div>`).FindStringSubmatch(a.text)
		require.Len(t, slot, 2, c.slot)
		require.Contains(t, unescape(slot[1]), c.says, "%s=%q", c.field, c.value)
		require.Contains(t, a.text, `value="order.created" checked`, "what was typed stays")
	}
	list, _, err := w.db.Hooks(t.Context(), "default", postgres.HookFilter{}, postgres.Page{Limit: 1})
	require.NoError(t, err)
	require.Empty(t, list)
}

func TestWhileOneTypesOnlyWhatIsThereIsJudged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.signIn(t, w.operator)
	slot := func(a answer, name string) string {
		m := regexp.MustCompile(`(?s)id="wrong-` + name + `" hx-swap-oob="innerHTML">(.*?)</div>`).FindStringSubmatch(a.text)
		require.Len(t, m, 2, name)
		return m[1]
	}
	a := p.post(t, "/console/hooks/check", "secret_mode", "generate", "choice", "default")
	require.Equal(t, http.StatusOK, a.status)
	require.Empty(t, slot(a, "target_url"))
	require.Empty(t, slot(a, "event_types"))
	require.Contains(t, a.text, "9 more times")
	a = p.post(t, "/console/hooks/check", "target_url", "htp:", "choice", "linear", "linear_base", "60", "linear_limit", "10m", "max_retries", "3")
	require.Contains(t, slot(a, "target_url"), "must begin with http")
	require.Contains(t, a.text, "<strong>3 more times</strong>")
	require.Contains(t, a.text, "6 min after the first attempt")
	a = p.post(t, "/console/hooks/check", "choice", "linear")
	require.Contains(t, a.text, "Fill in the schedule")
}

func TestASecondHookOfTheSameKindNamesTheFirst(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook(t, "first", "http://example.com/", "package.created")
	p := w.signIn(t, w.operator)
	a := p.post(t, "/console/hooks/", "target_url", "http://example.com/", "event_type", "package.created", "secret_mode", "none")
	require.Equal(t, http.StatusUnprocessableEntity, a.status)
	require.Contains(t, a.text, "/console/hooks/"+h.ID.String()+"/")
}

func TestPausingResumingAndDeleting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook(t, "north", "http://example.com/", "package.created")
	other := w.hook(t, "south", "http://example.com/south", "package.created")
	p := w.signIn(t, w.operator)
	path := "/console/hooks/" + h.ID.String() + "/"
	status := func(id uuid.UUID) webhook.HookStatus {
		stored, err := w.db.Hook(t.Context(), "default", id)
		require.NoError(t, err)
		return stored.Status
	}
	require.Equal(t, path+"?done=paused", p.post(t, path+"status", "status", "pause").header.Get("Location"))
	require.Equal(t, webhook.Paused, status(h.ID))
	require.Contains(t, p.get(t, path+"?done=paused").text, "The webhook is paused")
	p.post(t, path+"status", "status", "resume")
	require.Equal(t, webhook.Active, status(h.ID))
	require.Equal(t, http.StatusBadRequest, p.post(t, path+"status", "status", "disabled").status)

	ask := []string{"status", "pause", "hook", h.ID.String(), "hook", other.ID.String(), "hook", uuid.NewString(), "next", "/console/hooks/?status=active"}
	a := p.post(t, "/console/hooks/status", ask...)
	require.Equal(t, http.StatusOK, a.status)
	require.Contains(t, a.text, "Pause 2 webhooks?", "what is not there does not count")
	require.Equal(t, webhook.Active, status(h.ID), "nothing is done before one is sure")
	a = p.post(t, "/console/hooks/status", append(ask, "sure", "yes")...)
	require.Equal(t, "/console/hooks/?status=active&done=paused-some&n=2", a.header.Get("Location"))
	require.Contains(t, p.get(t, a.header.Get("Location")).text, "2 webhooks are paused")
	require.Equal(t, webhook.Paused, status(h.ID))
	require.Equal(t, webhook.Paused, status(other.ID))
	all := []string{"status", "resume", "all", "yes", "search", "south"}
	require.Contains(t, p.post(t, "/console/hooks/status", all...).text, "Resume 1 webhook?")
	p.post(t, "/console/hooks/status", append(all, "sure", "yes")...)
	require.Equal(t, webhook.Active, status(other.ID))
	require.Equal(t, webhook.Paused, status(h.ID), "the filter does not let it through")
	require.Equal(t, "/console/hooks/?done=none-ticked", p.post(t, "/console/hooks/status", "status", "pause").header.Get("Location"))

	require.Equal(t, http.StatusUnprocessableEntity, p.post(t, path+"delete", "confirm", "South").status)
	require.Equal(t, http.StatusSeeOther, p.post(t, path+"delete", "confirm", "north").status)
	require.Equal(t, http.StatusNotFound, p.get(t, path).status)
}

func TestTheListIsFilteredAndPaged(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 120 {
		w.hook(t, fmt.Sprintf("hook %03d", i), fmt.Sprintf("http://example.com/%d", i), "package.created")
	}
	p := w.signIn(t, w.operator)
	names := regexp.MustCompile(`>(hook \d{3})</a>`)
	link := func(page, rel string) string {
		m := regexp.MustCompile(`href="(\?[^"]*)" rel="` + rel + `"`).FindStringSubmatch(page)
		if m == nil {
			return ""
		}
		return "/console/hooks/" + unescape(m[1])
	}
	for _, c := range []struct{ sort, first, last string }{
		{"", "hook 119", "hook 000"},
		{"oldest", "hook 000", "hook 119"},
		{"name", "hook 000", "hook 119"},
		{"failing", "", ""},
		{"activity", "", ""},
		{"no such order", "hook 119", "hook 000"},
	} {
		var seen []string
		var pages []string
		path := "/console/hooks/?sort=" + url.QueryEscape(c.sort)
		for path != "" {
			page := p.get(t, path).text
			pages = append(pages, page)
			for _, m := range names.FindAllStringSubmatch(page, -1) {
				seen = append(seen, m[1])
			}
			path = link(page, "next")
		}
		require.Len(t, pages, 3, c.sort)
		require.Len(t, seen, 120, c.sort)
		if c.first != "" {
			require.Equal(t, []string{c.first, c.last}, []string{seen[0], seen[119]}, c.sort)
		}
		slices.Sort(seen)
		require.Len(t, slices.Compact(seen), 120, c.sort)
		require.Empty(t, link(pages[0], "prev"))
		back := p.get(t, link(pages[2], "prev")).text
		require.Equal(t, names.FindAllString(pages[1], -1), names.FindAllString(back, -1), c.sort)
	}

	page := p.get(t, "/console/hooks/?search=hook+007").text
	require.Len(t, names.FindAllString(page, -1), 1)
	require.Contains(t, p.get(t, "/console/hooks/?status=disabled").text, "No webhook matches")
	for _, place := range []string{"?after=garbage", "?before=_1", "?sort=activity&after=" + uuid.NewString() + "_x", "?after=" + uuid.NewString() + "_99999999999999999999", "?after=" + uuid.NewString() + "_9223372036854775807"} {
		require.Contains(t, p.get(t, "/console/hooks/"+place).text, "hook 119", place)
	}
}

func TestRolesAreHonoured(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook(t, "north", "http://example.com/", "package.created")
	e := w.event(t, "e-1", 1, "package.created", "package:61", 0)
	w.record(t, fact(h.ID, &e, webhook.Dead, webhook.ReasonExhausted, answered(500, "no")))
	delivery := webhook.DeliveryID(h.ID, e.ID).String()
	job := w.replay(t, h.ID, "it was down")
	viewer := w.signIn(t, w.token(t, postgres.NewToken{Name: "v", Role: postgres.Viewer, Tenant: "default"}))
	editor := w.signIn(t, w.token(t, postgres.NewToken{Name: "e", Role: postgres.Editor, Tenant: "default"}))
	hook := "/console/hooks/" + h.ID.String() + "/"
	main := regexp.MustCompile(`(?s)<main.*</main>`)
	for _, path := range []string{
		"/console/", "/console/hooks/", hook, "/console/deliveries/" + delivery + "/", "/console/types/package.created",
		"/console/deliveries/", hook + "replay", hook + "integrate", hook + "changes", "/console/jobs/" + job.ID.String() + "/", "/console/event/explain?id=e-1",
	} {
		a := viewer.get(t, path)
		require.Equal(t, http.StatusOK, a.status, path)
		shown := main.FindString(a.text)
		for _, offer := range []string{`method="post" action="/console/h` + `ooks/` + h.ID.String(), ">Edit<", ">Delete…<", ">Send test<", ">Try all again…<", ">Count first<", "New Webhook", ">Retry now<", ">Pause<"} {
			require.NotContains(t, shown, offer, path)
		}
		require.NotContains(t, a.text, "/console/tokens/")
	}
	for _, c := range []struct{ method, path string }{
		{http.MethodGet, "/console/hooks/new"},
		{http.MethodPost, "/console/hooks/"},
		{http.MethodPost, "/console/hooks/status"},
		{http.MethodPost, "/console/hooks/check"},
		{http.MethodGet, hook + "edit"},
		{http.MethodPost, hook},
		{http.MethodPost, hook + "status"},
		{http.MethodPost, hook + "rotate"},
		{http.MethodGet, hook + "delete"},
		{http.MethodPost, hook + "delete"},
		{http.MethodGet, hook + "test"},
		{http.MethodPost, hook + "test"},
		{http.MethodPost, "/console/hooks/test"},
		{http.MethodPost, hook + "replay"},
		{http.MethodPost, "/console/jobs/" + job.ID.String() + "/"},
		{http.MethodGet, "/console/deliveries/retry"},
		{http.MethodPost, "/console/deliveries/retry"},
		{http.MethodPost, "/console/deliveries/" + delivery + "/retry"},
	} {
		a := viewer.send(t, c.method, c.path, formOf("status", "pause", "confirm", "north"))
		require.Equal(t, http.StatusForbidden, a.status, c.path)
	}
	for _, path := range []string{"/console/tokens/", "/console/audit/"} {
		require.Equal(t, http.StatusForbidden, editor.get(t, path).status, path)
	}
	require.Equal(t, http.StatusForbidden, editor.post(t, "/console/tokens/", "name", "x", "role", "admin").status)
	require.Equal(t, http.StatusOK, editor.get(t, hook+"edit").status)
}

func TestAnotherTenantsThingsAreNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.tenant(t, "acme")
	h := w.hook(t, "north", "http://example.com/", "package.created")
	e := w.event(t, "e-1", 1, "package.created", "package:61", 0)
	w.record(t, fact(h.ID, &e, webhook.Dead, webhook.ReasonExhausted, answered(500, "no")))
	job := "/console/jobs/" + w.replay(t, h.ID, "it was down").ID.String() + "/"
	p := w.signIn(t, w.token(t, postgres.NewToken{Name: "a", Role: postgres.Admin, Tenant: "acme"}))
	hook, delivery := "/console/hooks/"+h.ID.String()+"/", "/console/deliveries/"+webhook.DeliveryID(h.ID, e.ID).String()+"/"
	for _, c := range []struct{ method, path string }{
		{http.MethodGet, hook},
		{http.MethodGet, hook + "edit"},
		{http.MethodPost, hook},
		{http.MethodPost, hook + "status"},
		{http.MethodPost, hook + "rotate"},
		{http.MethodGet, hook + "delete"},
		{http.MethodPost, hook + "delete"},
		{http.MethodGet, delivery},
		{http.MethodPost, delivery + "retry"},
		{http.MethodGet, "/console/event?id=e-1"},
		{http.MethodGet, "/console/event/explain?id=e-1"},
		{http.MethodGet, hook + "test"},
		{http.MethodPost, hook + "test"},
		{http.MethodGet, hook + "replay"},
		{http.MethodPost, hook + "replay"},
		{http.MethodGet, hook + "integrate"},
		{http.MethodGet, hook + "changes"},
		{http.MethodGet, job},
		{http.MethodPost, job},
	} {
		form := whole()
		form.Set("version", "1")
		form.Set("status", "pause")
		form.Set("do", "cancel")
		a := p.send(t, c.method, c.path, form)
		require.Equal(t, http.StatusNotFound, a.status, c.path)
	}
	for _, path := range []string{"/console/hooks/", "/console/deliveries/", "/console/events/", "/console/"} {
		require.NotContains(t, p.get(t, path).text, "north", path)
		require.NotContains(t, p.get(t, path).text, "e-1", path)
	}
	require.NotContains(t, p.get(t, "/console/deliveries/?hook="+h.ID.String()).text, "e-1")
	require.Contains(t, p.get(t, "/console/deliveries/retry?wait=1&hook="+h.ID.String()).text, "Nothing to be tried again")
	p.post(t, "/console/hooks/status", "status", "pause", "all", "yes", "sure", "yes")
	p.post(t, "/console/hooks/status", "status", "pause", "hook", h.ID.String(), "sure", "yes")
	p.post(t, "/console/deliveries/retry?hook="+h.ID.String())
	stored, err := w.db.Hook(t.Context(), "default", h.ID)
	require.NoError(t, err)
	require.Equal(t, webhook.Active, stored.Status)
	d, _, err := w.db.Delivery(t.Context(), "default", webhook.DeliveryID(h.ID, e.ID))
	require.NoError(t, err)
	require.Equal(t, webhook.Dead, d.State)
}

func TestSamplesAreThoseOfTheManual(t *testing.T) {
	t.Parallel()
	manual, err := os.ReadFile("../../../../docs/receiving.md")
	require.NoError(t, err)
	for _, name := range []string{"go", "python", "js"} {
		sample, err := os.ReadFile("samples/" + name + ".txt")
		require.NoError(t, err)
		require.Contains(t, string(manual), "```"+name+" verify\n"+string(sample)+"```", "tests run those of the manual")
	}
}
