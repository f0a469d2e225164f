package e2e_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// masked is in the query string of target URLs, and receivers repeat it. Viewers must not see it, and it must not be
// in any log.
const masked = "canary-masked/1+2"

// repeater repeats the key from the query string wherever an answer has room for it.
func repeater(w http.ResponseWriter, r *http.Request) {
	key := r.URL.Query().Get("key")
	w.Header().Set("X-Key", key)
	w.Header().Set("Set-Cookie", "key="+url.QueryEscape(key))
	body := fmt.Sprintf("<p>%s</p> {\"key\":%q} %s", html.EscapeString(key), key, r.RequestURI)
	switch r.URL.Path {
	case "/gone":
		w.WriteHeader(http.StatusGone)
	case "/login":
		w.WriteHeader(http.StatusForbidden)
	case "/gzip":
		w.Header().Set("Content-Encoding", "gzip")
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, body) // writes to memory
		_ = z.Close()
		body = b.String()
	case "/reason", "/broken":
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		if r.URL.Path == "/broken" {
			_, _ = fmt.Fprintf(conn, "HTTP/1.1 %s\r\n\r\n", key)
			return
		}
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 500 %[1]s\r\n%[2]s: 1\r\nContent-Length: %[3]d\r\n\r\n%[1]s", key, strings.ReplaceAll(key, "/", "-"), len(key))
		return
	}
	_, _ = io.WriteString(w, body) // the client may have disconnected
}

func TestWhatIsMaskedIsNowhereToBeSeen(t *testing.T) {
	t.Parallel()
	s := newSystem(t)
	address := freeAddress(t)
	api := s.start("subscription-api", "WHISPERER_LISTEN="+address, "WHISPERER_LOG_LEVEL=debug")
	s.api = "http://" + address
	receiver := httptest.NewServer(http.HandlerFunc(repeater))
	t.Cleanup(receiver.Close)
	query := "?shop=berlin&key=" + url.QueryEscape(masked)
	var ids []string
	for _, path := range []string{"/ok", "/gzip", "/reason", "/broken", "/gone"} {
		ids = append(ids, s.hook(fmt.Sprintf(`{"event_type":"order.created","target_url":"%[1]s%[2]s%[3]s","callback":{"url":"%[1]s/done%[3]s"},
			"retry_countdown_config":{"choice":"fixed","kwargs":{"seconds":1},"max_retries":1}}`, receiver.URL, path, query)))
	}
	ids = append(ids, s.hook(fmt.Sprintf(`{"event_type":"order.created","target_url":"%s/late%s","retry_countdown_config":{"choice":"fixed","kwargs":{"seconds":1},"max_retries":1},
		"config":{"auth":{"auth_type":"token","url":"%[1]s/login%[2]s","username":"u","password":"p"}}}`, receiver.URL, query)),
		s.hook(fmt.Sprintf(`{"event_type":"order.created","target_url":"http://%s/nobody%s","retry_countdown_config":{"choice":"fixed","kwargs":{"seconds":1},"max_retries":1}}`, freeAddress(t), query)))
	operations := s.hook(fmt.Sprintf(`{"event_type":"hook.>","target_url":"%s/operations"}`, receiver.URL))
	worker := s.start("delivery-worker", "WHISPERER_LOG_LEVEL=debug")
	require.NoError(t, s.publish(t.Context(), `{"event_id":"e-1","data":{}}`))
	for i, id := range ids {
		state := webhook.Dead
		if i < 2 {
			state = webhook.Delivered
		}
		s.awaitRecorded(id, map[string]webhook.DeliveryState{"e-1": state}, 0)
	}
	pageOf := func(f store.DeliveryFilter) []webhook.Delivery {
		list, _, err := s.db.History.ListDeliveries(t.Context(), webhook.DefaultTenant, f, store.Page{Limit: 250})
		require.NoError(t, err)
		return list
	}
	require.Eventually(t, func() bool { // our own events: each hook's callback, and that one hook was disabled
		told := 0
		for _, id := range ids[:5] {
			for _, d := range pageOf(store.DeliveryFilter{Hook: webhook.CallbackHookID(uuid.MustParse(id))}) {
				if d.State == webhook.Delivered {
					told++
				}
			}
		}
		return told == 5 && len(pageOf(store.DeliveryFilter{Hook: uuid.MustParse(operations)})) > 0
	}, 2*time.Minute, 50*time.Millisecond)

	viewer, _, err := s.db.Access.CreateToken(t.Context(), "test", store.NewToken{Name: "v", Tenant: webhook.DefaultTenant, Role: store.Viewer})
	require.NoError(t, err)
	words := forbidden()
	forAdmins, _ := seen(t, s, s.token, ids)
	require.NotEmpty(t, birds(forAdmins, words...), "it is there, for those who may see it")
	answers, pages := seen(t, s, viewer, ids)
	require.Contains(t, answers, "key=***")
	require.Contains(t, pages, "key=***")
	require.Empty(t, birds(answers, words...), "the API's answers to a viewer")
	require.Empty(t, birds(pages, words...), "the console's pages for a viewer")

	found := func(query string) int {
		_, text := ask(t, http.MethodGet, s.api+"/whisperer/hooks/?"+query, viewer, "")
		return strings.Count(text, `"target_url"`)
	}
	require.Equal(t, len(ids), found("search=shop%3Dberlin"))
	require.Zero(t, found("search=canary"))
	require.Zero(t, found("search=key%3Dc"))

	var metrics string
	for _, p := range []*program{api, worker} {
		_, text := ask(t, http.MethodGet, "http://"+p.health+"/metrics", "", "")
		metrics += text
		p.stop(t)
	}
	require.Contains(t, worker.log.String(), "delivery attempted")
	for what, text := range map[string]string{"metrics": metrics, "the worker's log": worker.log.String(), "the API's log": api.log.String()} {
		require.Empty(t, birds(text, words...), what)
	}
}

// forbidden returns all encodings of the masked value.
func forbidden() []string {
	return []string{masked, url.QueryEscape(masked), url.PathEscape(masked), strings.ReplaceAll(masked, "/", "-"), "canary-masked"}
}

// seen returns everything that a token gives access to: all responses of the API, and all pages that the console's
// links lead to.
func seen(t *testing.T, s *system, token string, ids []string) (answers, pages string) {
	t.Helper()
	paths := []string{"hooks/", "hooks/?search=", "events/", "events/?event_type=>", "events/e-1/", "events/e-1/explain/", "deliveries/", "hook_events/", "jobs/", "rejected-events/", "audit/"}
	events, _, err := s.db.History.ListEvents(t.Context(), webhook.DefaultTenant, store.EventFilter{}, store.Page{Limit: 250})
	require.NoError(t, err)
	require.NotEmpty(t, events)
	for _, e := range events {
		paths = append(paths, "events/"+url.PathEscape(e.ID)+"/", "events/"+url.PathEscape(e.ID)+"/explain/")
	}
	deliveries, _, err := s.db.History.ListDeliveries(t.Context(), webhook.DefaultTenant, store.DeliveryFilter{}, store.Page{Limit: 250})
	require.NoError(t, err)
	for i := range deliveries {
		id := deliveries[i].ID.String() + "/"
		paths = append(paths, "deliveries/"+id, "hook_events/"+id)
	}
	for _, id := range ids {
		paths = append(paths, "hooks/"+id+"/", "hooks/"+id+"/deliveries/", "hooks/"+id+"/stats/")
	}
	var b strings.Builder
	for _, path := range paths {
		status, text := ask(t, http.MethodGet, s.api+"/whisperer/"+path, token, "")
		require.Less(t, status, 500, "%s: %s", path, text)
		b.WriteString(text)
	}
	return b.String(), browse(t, s, token)
}

// browse signs in to the console and follows its links.
func browse(t *testing.T, s *system, token string) string {
	t.Helper()
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	browser := &http.Client{Jar: jar, Timeout: time.Minute}
	signIn, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.api+"/console/sign-in", strings.NewReader(url.Values{"token": {token}}.Encode()))
	require.NoError(t, err)
	signIn.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	signIn.Header.Set("Origin", s.api)
	res, err := browser.Do(signIn)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusOK, res.StatusCode)
	open := []string{"/console/", "/console/audit/", "/console/system/", "/console/deliveries/", "/console/events/"}
	done := map[string]bool{}
	link := regexp.MustCompile(`(?:href|src)="([^"#]+)"`)
	var all strings.Builder
	for len(open) > 0 && len(done) < 200 {
		path := open[0]
		open = open[1:]
		if done[path] || strings.Contains(path, "/static/") {
			continue
		}
		done[path] = true
		text := load(t, browser, s.api+path)
		all.WriteString(text)
		base, err := url.Parse("http://x" + path)
		require.NoError(t, err)
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if to, err := base.Parse(html.UnescapeString(m[1])); err == nil && strings.HasPrefix(to.Path, "/console/") {
				open = append(open, to.RequestURI())
			}
		}
	}
	require.Greater(t, len(done), 50, "there are pages")
	return all.String()
}

// load returns a page, both with HTML's escapes and unescaped.
func load(t *testing.T, browser *http.Client, url string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	require.NoError(t, err)
	res, err := browser.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	require.Less(t, res.StatusCode, 500, url)
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return string(text) + html.UnescapeString(string(text))
}
