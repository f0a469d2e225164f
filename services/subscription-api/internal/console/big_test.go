package console_test

import (
	"html"
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/seed"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// maxFirstLoad bounds the bytes of a page for a browser with an empty cache, including its files.
const maxFirstLoad = 150 << 10

func TestPagesAreSmallHoweverMuchThereIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hooks, err := seed.History(t.Context(), w.db.DB, testenv.Plain(t, w.db.URL), seed.Options{Hooks: 500, Attempts: 20_000, EventTypes: []string{"order.created", "package.created"}})
	require.NoError(t, err)
	p := w.signIn(t, w.operator)
	zipped := func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip") }
	files := 0
	for _, file := range regexp.MustCompile(`/console/static/[a-z.]+\?v=[0-9a-f]{12}`).FindAllString(p.get(t, "/console/sign-in").text, -1) {
		files += len(p.send(t, http.MethodGet, file, nil, zipped).text)
	}
	require.Positive(t, files)
	sample, err := seed.Sample(t.Context(), testenv.Plain(t, w.db.URL), webhook.DefaultTenant, 20_000, 100)
	require.NoError(t, err)
	require.NotEmpty(t, sample)
	hook := "hooks/" + hooks[0].String() + "/"
	for _, path := range []string{
		"", "hooks/", "hooks/?sort=failing", hook, hook + "replay", hook + "changes", hook + "integrate", "hooks/new", "deliveries/",
		"deliveries/?state=waiting,parked,dead&since=720h", "deliveries/" + sample[0].ID.String() + "/", "deliveries/retry?state=dead",
		"events/", "event?id=" + sample[0].EventID, "event/explain?id=" + sample[0].EventID, "rejected/", "types/", "tokens/", "audit/", "system/",
	} {
		page := p.send(t, http.MethodGet, "/console/"+path, nil, zipped)
		require.Equal(t, http.StatusOK, page.status, path)
		require.LessOrEqual(t, len(page.text)+files, maxFirstLoad, path)
	}
}

func TestARareTypeIsLookedForAFewRowsAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, err := seed.History(t.Context(), w.db.DB, testenv.Plain(t, w.db.URL), seed.Options{Hooks: 10, Attempts: 20_000, EventTypes: []string{"order.created"}})
	require.NoError(t, err)
	p := w.signIn(t, w.operator)
	older := regexp.MustCompile(`href="(\?[^"]+)" rel="next"`)
	for _, list := range []string{"deliveries/", "events/"} {
		query, pages := "?event_type=package.created&amp;since=720h", 0
		for more := true; more; pages++ {
			page := p.get(t, "/console/"+list+html.UnescapeString(query))
			require.Equal(t, http.StatusOK, page.status)
			next := older.FindStringSubmatch(page.text)
			if more = next != nil; more {
				require.Contains(t, page.text, "match so far")
				require.Contains(t, page.text, "Searched back to")
				query = next[1]
			} else {
				require.Contains(t, page.text, "match.")
				require.NotContains(t, page.text, "Searched back to")
			}
		}
		require.Greater(t, pages, 1, list)
	}
}

// TestTheFirstLoadOfTheOverviewIsSmall counts every byte that a browser with an empty cache needs for the overview,
// before compression.
func TestTheFirstLoadOfTheOverviewIsSmall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	story(t, w)
	p := w.signIn(t, w.operator)
	page := p.get(t, "/console/?wait=1")
	zipped := func(r *http.Request) { r.Header.Set("Accept-Encoding", "gzip") }
	plain, sent := len(page.text), len(p.send(t, http.MethodGet, "/console/?wait=1", nil, zipped).text)
	t.Logf("%7d bytes, %6d as sent: the page", plain, sent)
	files := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?:href|src)="(/console/static/[^"]+)"`).FindAllStringSubmatch(page.text, -1) {
		files[m[1]] = true
	}
	require.Len(t, files, 5)
	for file := range files {
		n, z := len(p.get(t, file).text), len(p.send(t, http.MethodGet, file, nil, zipped).text)
		t.Logf("%7d bytes, %6d as sent: %s", n, z, file)
		plain, sent = plain+n, sent+z
	}
	t.Logf("%7d bytes, %6d as sent: in all", plain, sent)
	require.LessOrEqual(t, plain, 150_000)
}
