package console_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

func TestPausingResumingAndDeleting(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook(t, "north", "http://example.com/", "package.created")
	other := w.hook(t, "south", "http://example.com/south", "package.created")
	p := w.signIn(t, w.operator)
	path := "/console/hooks/" + h.ID.String() + "/"
	status := func(id uuid.UUID) webhook.HookStatus {
		stored, err := w.db.Hooks.Get(t.Context(), "default", id)
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
	deleted := p.post(t, path+"delete", "confirm", "north").header.Get("Location")
	require.Equal(t, http.StatusNotFound, p.get(t, path).status)
	page := p.get(t, deleted).text
	require.Contains(t, page, "Deleted <strong>north</strong>")
	require.NotContains(t, page, "http://example.com/</span>", "it is in no list")
	require.Contains(t, page, `action="`+path+`undelete"`)
	viewer := w.signIn(t, w.db.MakeToken(t, store.NewToken{Name: "viewer", Role: store.Viewer, Tenant: "default"}))
	require.NotContains(t, viewer.get(t, deleted).text, "undelete")
	require.Equal(t, http.StatusForbidden, viewer.post(t, path+"undelete").status)
	w.db.MakeTenant(t, "acme")
	stranger := w.signIn(t, w.db.MakeToken(t, store.NewToken{Name: "stranger", Role: store.Admin, Tenant: "acme"}))
	require.NotContains(t, stranger.get(t, deleted).text, "north")
	require.Equal(t, "/console/hooks/?done=undo-late", stranger.post(t, path+"undelete").header.Get("Location"))
	require.Equal(t, path+"?done=undeleted", p.post(t, path+"undelete").header.Get("Location"))
	require.Contains(t, p.get(t, path+"?done=undeleted").text, "is back as it was")
	require.Equal(t, webhook.Paused, status(h.ID), "as it was before")
	require.NotContains(t, p.get(t, deleted).text, "Deleted <strong>")
	require.Equal(t, "/console/hooks/?done=undo-late", p.post(t, path+"undelete").header.Get("Location"))
	changes := p.get(t, path+"changes").text
	require.Contains(t, changes, "webhook deleted")
	require.Contains(t, changes, "webhook restored")

	p.post(t, path+"delete", "confirm", "north")
	w.hook(t, "successor", "http://example.com/", "package.created")
	require.Equal(t, "/console/hooks/?done=undo-conflict", p.post(t, path+"undelete").header.Get("Location"))
}

func TestHooksAreListedAndPausedByTheirLabels(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	h := w.hook(t, "north", "http://example.com/", "package.created")
	other := w.hook(t, "south", "http://example.com/south", "package.created")
	_, err := w.db.Hooks.Update(t.Context(), "test", "default", h.ID, nil, func(h *webhook.Hook) error {
		h.Labels = map[string]string{"partner": "acme"}
		return nil
	})
	require.NoError(t, err)
	p := w.signIn(t, w.operator)
	list := p.get(t, "/console/hooks/?label=partner%3Dacme").text
	require.Contains(t, list, ">north</a>")
	require.NotContains(t, list, ">south</a>")
	for label, want := range map[string]string{"partner=acme": "Pause 1 webhook?", "partner=": "Pause 0 webhooks?", "team": "Pause 0 webhooks?"} {
		require.Contains(t, p.post(t, "/console/hooks/status", "status", "pause", "all", "yes", "label", label).text, want, label)
	}
	p.post(t, "/console/hooks/status", "status", "pause", "all", "yes", "label", "partner=acme", "sure", "yes")
	p.post(t, "/console/hooks/status", "status", "pause", "all", "yes", "label", "=", "sure", "yes")
	for id, want := range map[uuid.UUID]webhook.HookStatus{h.ID: webhook.Paused, other.ID: webhook.Active} {
		stored, err := w.db.Hooks.Get(t.Context(), "default", id)
		require.NoError(t, err)
		require.Equal(t, want, stored.Status)
	}
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
	require.Contains(t, p.get(t, "/console/hooks/?status=disabled").text, "No webhooks match")
	for _, place := range []string{"?after=garbage", "?before=_1", "?sort=activity&after=" + uuid.NewString() + "_x", "?after=" + uuid.NewString() + "_99999999999999999999", "?after=" + uuid.NewString() + "_9223372036854775807"} {
		require.Contains(t, p.get(t, "/console/hooks/"+place).text, "hook 119", place)
	}
}
