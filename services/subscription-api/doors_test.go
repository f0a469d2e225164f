package subscriptionapi_test

import (
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/settings"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
	subscriptionapi "github.com/whisperer-oms/whisperer/services/subscription-api"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// doors are the API and the console of one service without NATS.
type doors struct {
	db   *testenv.Store
	root string
}

func openDoors(t *testing.T) *doors {
	t.Helper()
	d := &doors{db: testenv.OpenStore(t)}
	s, err := subscriptionapi.New(t.Context(), subscriptionapi.Config{
		Shared: settings.Shared{
			DatabaseURL: d.db.URL, NATSURL: "nats://127.0.0.1:1", MasterKey: seal.NewKey(), EgressPorts: "80,443", Replicas: 1,
		},
		Listen: "127.0.0.1:0", HealthListen: "127.0.0.1:0",
		HookQuota: 1000, MaxConnections: 100, WrongTokens: 1_000_000, MaxConnectionsPerAddress: 100, ShutdownTimeout: 5 * time.Second,
	}, daemon.Process{Version: "test", Log: zap.NewNop()})
	require.NoError(t, err)
	stop, err := daemon.Start(t.Context(), zap.NewNop(), s.Components()...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, stop()) })
	d.root = "http://" + s.Addr()
	return d
}

// somebody has a token, and a browser that is signed in with it.
type somebody struct {
	*doors

	name, token string
	cookies     []*http.Cookie
}

func (d *doors) enter(t *testing.T, name, tenant string, role store.Role) *somebody {
	t.Helper()
	p := &somebody{doors: d, name: name, token: d.db.MakeToken(t, store.NewToken{Name: name, Tenant: tenant, Role: role})}
	require.Equal(t, http.StatusSeeOther, p.page(t, http.MethodPost, "sign-in", url.Values{"token": {p.token}}).status)
	return p
}

func (p *somebody) call(t *testing.T, method, path, body string) answer {
	t.Helper()
	return request(t, method, p.root+"/whisperer/"+path, p.token, body)
}

// page sends a request to the console; with a form it is that of a browser that submits the form.
func (p *somebody) page(t *testing.T, method, path string, form url.Values) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, p.root+"/console/"+path, strings.NewReader(form.Encode()))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, c := range p.cookies {
		r.AddCookie(c)
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	response, err := client.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	if set := response.Cookies(); len(set) > 0 {
		p.cookies = set
	}
	return answer{status: response.StatusCode, body: string(text)}
}

func (d *doors) hook(t *testing.T, name string) string {
	t.Helper()
	return testenv.MakeHook(t, d.db.DB, "https://example.com/"+name, func(h *webhook.Hook) {
		h.Name, h.EventTypes = name, []string{"order.created"}
	}).ID.String()
}

func TestBothDoorsLetTheSamePeopleDoTheSame(t *testing.T) {
	t.Parallel()
	d := openDoors(t)
	people := []*somebody{
		d.enter(t, "viewer", webhook.DefaultTenant, store.Viewer), d.enter(t, "editor", webhook.DefaultTenant, store.Editor),
		d.enter(t, "admin", webhook.DefaultTenant, store.Admin), d.enter(t, "operator", "", store.Admin), d.enter(t, "looker", "", store.Viewer),
	}
	none := uuid.NewString()
	for _, c := range []struct {
		what                string
		method, path, body  string
		consoleMethod, page string
		form                url.Values
	}{
		{"pause a hook", http.MethodPost, "hooks/" + none + "/pause/", "", http.MethodPost, "hooks/" + none + "/status", url.Values{"status": {"pause"}}},
		{"delete a hook", http.MethodDelete, "hooks/" + none + "/", "", http.MethodPost, "hooks/" + none + "/delete", nil},
		{"rotate", http.MethodPost, "hooks/" + none + "/secret/rotate/", "{}", http.MethodPost, "hooks/" + none + "/rotate", nil},
		{"retry", http.MethodPost, "deliveries/" + none + "/retry/", "", http.MethodPost, "deliveries/" + none + "/retry", nil},
		{"see a job", http.MethodGet, "jobs/" + none + "/", "", http.MethodGet, "jobs/" + none + "/", nil},
		{"pause a job", http.MethodPost, "jobs/" + none + "/pause/", "", http.MethodPost, "jobs/" + none + "/", url.Values{"do": {"pause"}}},
		{"see types", http.MethodGet, "event-types/", "", http.MethodGet, "types/", nil},
		{"see no type", http.MethodGet, "event-types/no.such/", "", http.MethodGet, "types/no.such", nil},
		{"see tokens", http.MethodGet, "tokens/", "", http.MethodGet, "tokens/", nil},
		{"revoke", http.MethodDelete, "tokens/" + none + "/", "", http.MethodPost, "tokens/" + none + "/revoke", nil},
		{"see the audit log", http.MethodGet, "audit/", "", http.MethodGet, "audit/", nil},
		{"see tenants", http.MethodGet, "tenants/", "", http.MethodGet, "tenants/", nil},
		{"see what is set aside", http.MethodGet, "ledger/set-aside/", "", http.MethodGet, "set-aside/", nil},
		{"put back", http.MethodPost, "ledger/set-aside/put-back/", `{"all":true}`, http.MethodPost, "set-aside/", url.Values{"all": {"yes"}}},
	} {
		for _, p := range people {
			api, page := p.call(t, c.method, c.path, c.body), p.page(t, c.consoleMethod, c.page, c.form)
			require.Equal(t, api.status, page.status, "may the %s %s? API: %s", p.name, c.what, api.body)
		}
	}
}

func TestBothDoorsWriteTheSameAuditEntries(t *testing.T) {
	t.Parallel()
	d := openDoors(t)
	p := d.enter(t, "admin", webhook.DefaultTenant, store.Admin)
	written := func() (entries []string) {
		list, _, err := d.db.Access.ListAudit(t.Context(), webhook.DefaultTenant, store.AuditFilter{}, store.Page{Limit: 100})
		require.NoError(t, err)
		for i := range list {
			if strings.HasPrefix(string(list[i].Actor), "token ") {
				entries = append(entries, fmt.Sprint(list[i].Actor, " ", list[i].Action, " ", string(list[i].Detail)))
			}
		}
		return entries
	}
	one, other := d.hook(t, "one"), d.hook(t, "other")
	for _, c := range []struct {
		api  func(hook string) answer
		page func(hook string) answer
	}{
		{
			func(h string) answer { return p.call(t, http.MethodPost, "hooks/"+h+"/pause/", "") },
			func(h string) answer {
				return p.page(t, http.MethodPost, "hooks/"+h+"/status", url.Values{"status": {"pause"}})
			},
		},
		{
			func(h string) answer { return p.call(t, http.MethodPost, "hooks/"+h+"/resume/", "") },
			func(h string) answer {
				return p.page(t, http.MethodPost, "hooks/"+h+"/status", url.Values{"status": {"resume"}})
			},
		},
		{
			func(h string) answer { return p.call(t, http.MethodPost, "hooks/"+h+"/secret/rotate/", "{}") },
			func(h string) answer { return p.page(t, http.MethodPost, "hooks/"+h+"/rotate", nil) },
		},
		{
			func(h string) answer { return p.call(t, http.MethodDelete, "hooks/"+h+"/", "") },
			func(h string) answer {
				return p.page(t, http.MethodPost, "hooks/"+h+"/delete", url.Values{"confirm": {"other"}})
			},
		},
		{
			func(string) answer { return p.call(t, http.MethodPost, "tokens/", `{"name":"new","role":"viewer"}`) },
			func(string) answer {
				return p.page(t, http.MethodPost, "tokens/", url.Values{"name": {"new"}, "role": {"viewer"}})
			},
		},
		{
			func(string) answer {
				return p.call(t, http.MethodPost, "retention/", `{"event_type":"order.created","days":7}`)
			},
			func(string) answer {
				return p.page(t, http.MethodPost, "retention/", url.Values{"event_type": {"order.created"}, "days": {"7"}, "sure": {"yes"}})
			},
		},
	} {
		before := len(written())
		api := c.api(one)
		require.Less(t, api.status, 300, api.body)
		page := c.page(other)
		require.Less(t, page.status, 400, page.body)
		entries := written()
		require.Len(t, entries, before+2, "%s", entries)
		// the console's deletions take effect some seconds later, which only their audit entry says
		require.Equal(t, strings.ReplaceAll(entries[1], "one", "other"), strings.Replace(entries[0], `, "undo_seconds": 30`, "", 1))
	}
}

func TestBothDoorsComplainInTheSameWords(t *testing.T) {
	t.Parallel()
	d := openDoors(t)
	p := d.enter(t, "admin", webhook.DefaultTenant, store.Admin)
	for _, c := range []struct {
		path, body, page string
		form             url.Values
	}{
		{"tokens/", `{"name":"","role":"king"}`, "tokens/", url.Values{"role": {"king"}}},
		{
			"hooks/", `{"name":"a","event_type":"order.createt","target_url":"ftp://example.com/"}`, "hooks/",
			url.Values{"name": {"a"}, "event_types": {"order.createt"}, "target_url": {"ftp://example.com/"}},
		},
		{"erasures/", `{"path":"$.a ? (","reason":"r"}`, "erasures/", url.Values{"by": {"path"}, "path": {"$.a ? ("}, "reason": {"r"}, "step": {"begin"}}},
		{"retention/", `{"event_type":"a b","days":0}`, "retention/", url.Values{"event_type": {"a b"}, "days": {"0"}, "sure": {"yes"}}},
	} {
		api := p.call(t, http.MethodPost, c.path, c.body)
		require.Equal(t, http.StatusUnprocessableEntity, api.status, api.body)
		var problem struct {
			Errors []struct{ Pointer, Detail string }
		}
		require.NoError(t, json.Unmarshal([]byte(api.body), &problem))
		require.NotEmpty(t, problem.Errors)
		page := p.page(t, http.MethodPost, c.page, c.form)
		require.Equal(t, http.StatusUnprocessableEntity, page.status)
		text := html.UnescapeString(page.body)
		for _, e := range problem.Errors {
			require.Contains(t, strings.ToLower(text), strings.ToLower(e.Detail), e.Pointer)
		}
	}
}

func TestTheConsoleOffersEveryKindOfAuditEntries(t *testing.T) {
	t.Parallel()
	page := openDoors(t).enter(t, "admin", webhook.DefaultTenant, store.Admin).page(t, http.MethodGet, "audit/", nil)
	for _, kind := range usecase.AuditKinds() {
		require.Contains(t, page.body, `<option value="`+kind+`"`)
	}
}
