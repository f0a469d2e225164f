package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func encode(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return string(b)
}

func names(a *answer) []string {
	var list []string
	for _, r := range a.json["results"].([]any) {
		list = append(list, r.(map[string]any)["name"].(string))
	}
	return list
}

func (w *world) fill(t *testing.T, n int, change ...with) {
	t.Helper()
	for i := range n {
		w.create(t, fmt.Sprintf(`{"name": "%02d", "event_type": "*", "target_url": "http://example.com/%d"}`, i, i), change...)
	}
}

func TestAListGoesForthAndBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(t, 7)
	var pages [][]string
	a := w.call(t, http.MethodGet, hooks+"?limit=3&is_active=true", "")
	require.Nil(t, a.json["previous"])
	for {
		pages = append(pages, names(a))
		next, ok := a.json["next"].(string)
		if !ok {
			break
		}
		require.True(t, strings.HasPrefix(next, w.url+hooks+"?"), next)
		a = w.call(t, http.MethodGet, next, "")
	}
	require.Equal(t, [][]string{{"06", "05", "04"}, {"03", "02", "01"}, {"00"}}, pages)

	var back [][]string
	for previous, ok := a.json["previous"].(string); ok; previous, ok = a.json["previous"].(string) {
		a = w.call(t, http.MethodGet, previous, "")
		back = append(back, names(a))
	}
	require.Equal(t, [][]string{{"03", "02", "01"}, {"06", "05", "04"}}, back)
	require.NotNil(t, a.json["next"])
}

func TestNewHooksDoNotShiftThePages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(t, 4)
	first := w.call(t, http.MethodGet, hooks+"?limit=2", "")
	w.create(t, `{"name": "new", "event_type": "*", "target_url": "http://example.com/new"}`)
	require.Equal(t, []string{"01", "00"}, names(w.call(t, http.MethodGet, first.json["next"].(string), "")))
}

func TestFilters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.create(t, `{"name": "Alpha 100%", "event_type": "order.created", "target_url": "http://a.example.com/"}`)
	w.create(t, `{"name": "Beta", "event_types": ["order.created", "package.>"], "target_url": "http://b.example.com/", "is_active": false}`)
	cases := []struct {
		query string
		want  []string
	}{
		{"", []string{"Beta", "Alpha 100%"}},
		{"target_url=http://a.example.com/", []string{"Alpha 100%"}},
		{"target_url=HTTP://A.example.com/", []string{"Alpha 100%"}},
		{"target_url=http://a.example.com", nil},
		{"is_active=true", []string{"Alpha 100%"}},
		{"is_active=True", []string{"Alpha 100%"}},
		{"is_active=0", []string{"Beta"}},
		{"is_active=true&status=paused", nil},
		{"is_active=false&status=paused", []string{"Beta"}},
		{"status=paused", []string{"Beta"}},
		{"event_type=order-created", []string{"Beta", "Alpha 100%"}},
		{"event_type=package.>", []string{"Beta"}},
		{"event_type=package.created", nil},
		{"search=alpha", []string{"Alpha 100%"}},
		{"search=EXAMPLE", []string{"Beta", "Alpha 100%"}},
		{"search=" + url.QueryEscape("0%"), []string{"Alpha 100%"}},
		{"search=%25%25", nil},
		{"search=_", nil},
		{"search=" + url.QueryEscape("' OR 1=1 --"), nil},
		{"search=" + a["id"].(string), []string{"Alpha 100%"}},
		{"limit=1", []string{"Beta"}},
		{"limit=1000", []string{"Beta", "Alpha 100%"}},
	}
	for _, c := range cases {
		got := w.call(t, http.MethodGet, hooks+"?"+c.query, "")
		require.Equal(t, http.StatusOK, got.status, "%s: %s", c.query, got.text)
		require.Equal(t, c.want, names(got), c.query)
	}
}

func TestBadQueriesAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.fill(t, 3)
	first := w.call(t, http.MethodGet, hooks+"?limit=1", "")
	next, err := url.Parse(first.json["next"].(string))
	require.NoError(t, err)
	cursor := next.Query().Get("cursor")
	bad := []string{
		"limit=0", "limit=-1", "limit=a", "limit=1e9", "limit=99999999999999999999", "limit=1&limit=2", "is_active=maybe", "status=on", "order=name",
		"cursor=garbage", "cursor=", "cursor=" + cursor[:10], "cursor=" + cursor + "AAAA", "cursor=" + strings.Repeat("A", 10_000), "cursor=" + flip(cursor),
		"cursor=" + cursor + "&is_active=true", "cursor=" + cursor + "&search=0", "search=%00", "search=%ff", "a;b", "%zz",
	}
	for _, query := range bad {
		require.Equal(t, http.StatusBadRequest, w.call(t, http.MethodGet, hooks+"?"+query, "").status, query)
	}
	require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, hooks+"?cursor="+cursor+"&limit=2", "").status, "another limit is fine")
	w.db.MakeTenant(t, "other")
	w.fill(t, 3, header("X-Whisperer-Tenant", "other"))
	stolen := w.call(t, http.MethodGet, hooks+"?cursor="+cursor, "", header("X-Whisperer-Tenant", "other"))
	require.Equal(t, http.StatusBadRequest, stolen.status, "a cursor of another tenant")
}

// flip changes one character in the middle.
func flip(s string) string {
	b := []byte(s)
	if b[20]++; b[20] == 'z'+1 {
		b[20] = 'a'
	}
	return string(b)
}
