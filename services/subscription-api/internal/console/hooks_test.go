package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// whole returns a form with every field filled in.
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
		"labels", `partner=acme, region=eu\, west`,
	)
}

// created returns the id of the hook that a response is about.
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
	h, err := w.db.Hooks.Get(t.Context(), "default", created(t, a))
	require.NoError(t, err)
	require.Equal(t, "North shop", h.Name)
	require.Equal(t, "https://example.com/hooks?a=b", h.TargetURL)
	require.Equal(t, []string{"*.status.updated", "order.created", "package.created", "shipment.>"}, h.EventTypes)
	require.Equal(t, "a secret of mine", h.Secrets[0].Value)
	require.Equal(t, "key-1", h.APIKey)
	require.Equal(t, &webhook.Auth{AuthType: "basic", Username: "user", Password: "pass word"}, h.Config.Auth)
	require.Equal(t, map[string]string{"X-Shop": "north", "X-Empty": ""}, h.Headers)
	require.Equal(t, map[string]string{"partner": "acme", "region": "eu, west"}, h.Labels)
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
	before, err := w.db.Hooks.Get(t.Context(), "default", id)
	require.NoError(t, err)
	form := fields(p.get(t, "/console/hooks/"+id.String()+"/edit").text)
	require.Equal(t, "keep", form.Get("secret_mode"))
	a := p.send(t, http.MethodPost, "/console/hooks/"+id.String()+"/", form)
	require.Equal(t, http.StatusSeeOther, a.status, a.text)
	after, err := w.db.Hooks.Get(t.Context(), "default", id)
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

func TestSecretsDoNotFollowAFormToAnotherHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.signIn(t, w.operator)
	id := created(t, p.send(t, http.MethodPost, "/console/hooks/", whole()))
	page := "/console/hooks/" + id.String() + "/"
	form := fields(p.get(t, page+"edit").text)
	form.Set("target_url", "https://evil.example/")
	form.Set("id", id.String())
	refused := func(why string) {
		a := p.send(t, http.MethodPost, page, form)
		require.Equal(t, http.StatusUnprocessableEntity, a.status, why)
		require.Contains(t, a.text, "has to be sent", why)
		require.Contains(t, p.send(t, http.MethodPost, "/console/hooks/test", form).text, "Something in the form is not right yet", why)
	}
	refused("the API key and the password are kept")
	form.Set("api_key_mode", "whatever")
	form.Set("auth_mode", "whatever")
	refused("a mode that there is not keeps them, too")
	form.Set("api_key_mode", "none")
	refused("the password is kept")
	form.Set("auth_mode", "basic")
	form.Set("auth_password", "")
	refused("no password is none that was sent")
	form.Set("auth_password", "another")
	require.Equal(t, http.StatusSeeOther, p.send(t, http.MethodPost, page, form).status)
	stored, err := w.db.Hooks.Get(t.Context(), "default", id)
	require.NoError(t, err)
	require.Equal(t, "another", stored.Config.Auth.Password)
	require.Empty(t, stored.APIKey)
}

func TestAMadeSecretIsShownOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.signIn(t, w.operator)
	a := p.post(t, "/console/hooks/", "target_url", "http://example.com/", "event_type", "package.created", "secret_mode", "generate")
	require.Equal(t, http.StatusOK, a.status, a.text)
	id := created(t, a)
	h, err := w.db.Hooks.Get(t.Context(), "default", id)
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
	stored, err := w.db.Hooks.Get(t.Context(), "default", h.ID)
	require.NoError(t, err)
	require.Len(t, stored.Secrets, 2)
	require.Contains(t, unescape(a.text), stored.Secrets[0].Value)
	require.NotContains(t, a.text, stored.Secrets[1].Value)
	require.Contains(t, a.text, "signed with both secrets")
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
		{"target_url", "http://169.254.169.254/", "target_url", "private addresses need WHISPERER_EGRESS_ALLOW"},
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
	list, _, err := w.db.Hooks.List(t.Context(), "default", store.HookFilter{}, store.Page{Limit: 1})
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
	require.Contains(t, a.text, "<strong>9 times</strong>")
	a = p.post(t, "/console/hooks/check", "target_url", "htp:", "choice", "linear", "linear_base", "60", "linear_limit", "10m", "max_retries", "3")
	require.Contains(t, slot(a, "target_url"), "must begin with http")
	require.Contains(t, a.text, "<strong>3 times</strong>")
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

func TestAnAlertTakesAClickAndATargetURL(t *testing.T) {
	t.Parallel()
	manual, err := os.ReadFile("../../../../docs/alerts.md")
	require.NoError(t, err)
	w := newWorld(t)
	p := w.signIn(t, w.operator)
	links := regexp.MustCompile(`/console/hooks/new\?alert=(\w+)`).FindAllStringSubmatch(p.get(t, "/console/").text, -1)
	require.Len(t, links, 4)
	for _, link := range links {
		form := fields(p.get(t, link[0]).text)
		require.Contains(t, string(manual), "```cel "+link[1]+"\n"+form.Get("transform")+"\n```", "tests run those of the manual")
		form.Set("target_url", "https://alerts.example.com/"+link[1])
		a := p.send(t, http.MethodPost, "/console/hooks/", form)
		require.Contains(t, []int{http.StatusOK, http.StatusSeeOther}, a.status, a.text)
	}
	hooks, _, err := w.db.Hooks.List(t.Context(), "default", store.HookFilter{}, store.Page{Limit: 10})
	require.NoError(t, err)
	require.Len(t, hooks, 4)
	for _, h := range hooks {
		require.Equal(t, []string{"delivery.dead", "hook.disabled", "hook.failing", "hook.recovered"}, h.EventTypes)
		require.Equal(t, webhook.FormatRaw, h.Config.Format)
	}
}

// Every described key of a config has exactly one input, which shows its errors.
func TestEveryKeyOfAConfigHasAnInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.signIn(t, w.operator)
	form := p.get(t, "/console/hooks/new").text
	for _, k := range webhook.Keys() {
		if !k.Hidden {
			require.Equal(t, 1, strings.Count(form, `name="`+k.Name+`"`), k.Name)
		}
		require.Equal(t, 1, strings.Count(form, `id="wrong-`+k.Name+`"`), k.Name)
	}
	a := p.post(t, "/console/hooks/check", "target_url", "https://example.com/", "event_type", "order.created", "transform", "event.data.(", "choice", "default")
	require.Regexp(t, `<div id="wrong-transform"[^>]*>.*transform|<div id="wrong-transform"[^>]*>\s*<[^>]*>[^<]+`, a.text)
}
