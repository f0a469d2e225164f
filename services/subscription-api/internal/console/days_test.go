package console_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// TestDaysAreThoseOfTheReader checks that today and yesterday are in the browser's time zone.
func TestDaysAreThoseOfTheReader(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.signIn(t, w.operator)
	zone := time.FixedZone("", 14*60*60)
	now := time.Now().In(zone)
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, zone)
	w.event(t, "e-1", 1, "package.created", "package:61", now.Sub(midnight)+time.Minute)
	found := func(path, since, zone string) bool {
		a := p.send(t, http.MethodGet, "/console/"+path+"since="+since, nil, func(r *http.Request) {
			if zone != "" {
				r.AddCookie(&http.Cookie{Name: "whisperer_zone", Value: zone})
			}
		})
		require.Equal(t, http.StatusOK, a.status)
		return strings.Contains(a.text, "e-1")
	}
	day := func(at time.Time) string { return at.UTC().Format(time.DateOnly) }
	published := midnight.Add(-time.Minute)
	inUTC := map[string]bool{"today": day(published) == day(now), "yesterday": day(published) == day(now.AddDate(0, 0, -1))}
	for _, path := range []string{"events/?", "search?q=package:61&"} {
		require.True(t, found(path, "yesterday", "Pacific%2FKiritimati"), path)
		require.False(t, found(path, "today", "Pacific%2FKiritimati"), path)
		for _, none := range []string{"", "Nowhere%2FAt+all", "Local", "..%2F..%2Fetc%2Fpasswd", "%zz"} {
			for since, want := range inUTC {
				require.Equal(t, want, found(path, since, none), "%s in %q", since, none)
			}
		}
	}
	b := newTab(t)
	b.signIn(t, w, w.operator)
	require.True(t, get(t, b, chromedp.Evaluate[bool](`document.cookie.includes("whisperer_zone=" + encodeURIComponent(Intl.DateTimeFormat().resolvedOptions().timeZone))`)))
}
