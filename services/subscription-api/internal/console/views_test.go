package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/store"
)

func TestAFilterIsKeptByNameForItsOwnerAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mine := w.signIn(t, w.db.MakeToken(t, store.NewToken{Name: "mine", Role: store.Viewer, Tenant: "default"}))
	other := w.signIn(t, w.db.MakeToken(t, store.NewToken{Name: "other", Role: store.Admin, Tenant: "default"}))
	remove := regexp.MustCompile(`action="(/console/views/[^"]+/remove)"`)
	for list, query := range map[string]string{
		"deliveries": "state=dead&since=24h&older=1_2&done=x&entity=" + url.QueryEscape(`package:61 "&'`), "events": "event_type=order.%3E", "hooks": "label=partner%3Dacme&sort=name",
	} {
		here := "/console/" + list + "/?" + query
		require.NotContains(t, mine.get(t, "/console/"+list+"/").text, "Save this view", "there is nothing to keep")
		require.Contains(t, mine.get(t, here).text, "Save this view")
		a := mine.post(t, "/console/views/", "list", list, "query", query, "name", "  Dead <b>today</b> ", "next", here)
		require.Equal(t, here+"&done=view-saved", a.header.Get("Location"))
		page := mine.get(t, here).text
		require.Contains(t, page, `aria-current="true">Dead &lt;b&gt;today&lt;/b&gt;</a>`)
		require.NotContains(t, page, "Save this view", "it is kept already")
		link := regexp.MustCompile(`href="([^"]+)" aria-current="true">Dead`).FindStringSubmatch(page)
		require.NotNil(t, link)
		require.NotContains(t, link[1], "older", "a view begins at the beginning")
		require.NotContains(t, link[1], "done")
		kept, err := url.Parse(unescape(link[1]))
		require.NoError(t, err)
		wanted, err := url.ParseQuery(query)
		require.NoError(t, err)
		require.Equal(t, wanted.Get("entity"), kept.Query().Get("entity"))
		require.NotContains(t, other.get(t, here).text, "Dead &lt;b&gt;")
		path := remove.FindStringSubmatch(page)[1]
		require.Equal(t, http.StatusNotFound, other.post(t, path).status)
		require.Equal(t, "/console/"+list+"/?done=view-removed", mine.post(t, path).header.Get("Location"))
		require.NotContains(t, mine.get(t, here).text, "Dead &lt;b&gt;")
		require.Equal(t, http.StatusNotFound, mine.post(t, path).status)
	}
	log := other.get(t, "/console/audit/").text
	require.Contains(t, log, "view saved")
	require.Contains(t, log, "view removed")
}

func TestViewsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.signIn(t, w.operator)
	save := func(list, name, query string) string {
		a := p.post(t, "/console/views/", "list", list, "name", name, "query", query, "next", "/console/hooks/")
		return a.header.Get("Location")
	}
	for _, wrong := range [][3]string{
		{"hooks", "", "sort=name"},
		{"hooks", strings.Repeat("ä", 65), "sort=name"},
		{"hooks", "a\nb", "sort=name"},
		{"hooks", "x", ""},
		{"hooks", "x", "older=1_2"},
		{"hooks", "x", "search=" + strings.Repeat("x", 2048)},
		{"tokens", "x", "sort=name"},
	} {
		require.Equal(t, "/console/hooks/?done=view-wrong", save(wrong[0], wrong[1], wrong[2]), wrong)
	}
	require.Equal(t, http.StatusBadRequest, p.post(t, "/console/views/", "list", "hooks", "name", "x", "query", "%zz").status)
	require.Equal(t, "/console/?done=view-saved", p.post(t, "/console/views/", "list", "hooks", "name", strings.Repeat("ä", 64), "query", "sort=name", "next", "//elsewhere").header.Get("Location"))
	for i := range 49 {
		require.Equal(t, "/console/hooks/?done=view-saved", save("hooks", fmt.Sprintf("view %d", i), "sort=name"))
	}
	require.Equal(t, "/console/hooks/?done=view-many", save("events", "one more", "entity=a"))
	require.Equal(t, "/console/hooks/?done=view-saved", save("hooks", "view 7", "sort=oldest"), "one that is there is replaced")
	require.Contains(t, p.get(t, "/console/hooks/?done=view-many").text, `<p class="notice warn" role="status">The view was not saved`)
}
