package subscriptionapi_test

import (
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheManualListsTheMetricsThatTheAPIExports(t *testing.T) {
	t.Parallel()
	addr, token, health := start(t, "nats://127.0.0.1:1")
	require.Eventually(t, func() bool { // a counter with labels only exists once something was counted
		return request(t, http.MethodGet, "http://"+addr+"/whisperer/hooks/", token, "").status == http.StatusOK
	}, time.Minute, 20*time.Millisecond)

	text, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	var want []string // name, kind, labels
	row := regexp.MustCompile("(?m)^\\| `(whisperer_\\w+)` \\| (\\w+) \\|([^|]*)\\| (API|both) \\|")
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		want = append(want, strings.Join(append([]string{m[1], m[2]}, strings.Fields(strings.ReplaceAll(m[3], "`", ""))...), " "))
	}
	slices.Sort(want)

	var got []string
	label := regexp.MustCompile(`(\w+)="`)
	metrics := request(t, http.MethodGet, "http://"+health+"/metrics", "", "").body
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (whisperer_\w+) (\w+)\n\w+(?:\{(.*)\})? `).FindAllStringSubmatch(metrics, -1) {
		words := []string{m[1], m[2]}
		for _, l := range label.FindAllStringSubmatch(m[3], -1) {
			if l[1] != "le" {
				words = append(words, l[1])
			}
		}
		slices.Sort(words[2:])
		got = append(got, strings.Join(words, " "))
	}
	slices.Sort(got)
	require.NotEmpty(t, want)
	require.Equal(t, want, got)
}
