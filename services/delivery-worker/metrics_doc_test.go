package deliveryworker_test

import (
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// documented returns the rows of the table of metrics in docs/operations.md: the name, kind and labels of each metric of these
// programs, as they appear in the exposition format.
func documented(t *testing.T, programs ...string) (rows []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/operations.md")
	require.NoError(t, err)
	row := regexp.MustCompile("(?m)^\\| `(whisperer_\\w+)` \\| (\\w+) \\|([^|]*)\\| (\\w+) \\|")
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		if slices.Contains(programs, m[4]) {
			rows = append(rows, strings.Join(append([]string{m[1], m[2]}, strings.Fields(strings.ReplaceAll(m[3], "`", ""))...), " "))
		}
	}
	slices.Sort(rows)
	return rows
}

// exposition returns a worker's response to /metrics.
func exposition(t *testing.T, health string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+health+"/metrics", http.NoBody)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return string(text)
}

// metric returns a counter or gauge of the worker that was started last. The name includes labels. The value is 0 if there is
// no such series.
func (w *world) metric(name string) float64 {
	w.t.Helper()
	m := regexp.MustCompile("(?m)^" + regexp.QuoteMeta(name) + " (.*)$").FindStringSubmatch(exposition(w.t, w.health))
	if m == nil {
		return 0
	}
	n, err := strconv.ParseFloat(m[1], 64)
	require.NoError(w.t, err)
	return n
}

// exported returns the rows of the metrics at /metrics.
func exported(t *testing.T, health string) (rows []string) {
	t.Helper()
	text := exposition(t, health)
	label := regexp.MustCompile(`(\w+)="`)
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (whisperer_\w+) (\w+)\n\w+(?:\{(.*)\})? `).FindAllStringSubmatch(text, -1) {
		words := []string{m[1], m[2]}
		for _, l := range label.FindAllStringSubmatch(m[3], -1) {
			if l[1] != "le" {
				words = append(words, l[1])
			}
		}
		slices.Sort(words[2:])
		rows = append(rows, strings.Join(words, " "))
	}
	slices.Sort(rows)
	return rows
}

func TestTheManualListsTheMetricsThatTheWorkerExports(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.config.MetricsLabel = "partner"
	w.hook("/good", func(h *webhook.Hook) {
		h.EventTypes, h.Labels = []string{"order.created"}, map[string]string{"partner": "acme"}
	})
	w.hook("/paused", func(h *webhook.Hook) { h.EventTypes, h.Status = []string{"order.created"}, webhook.Paused })
	w.hook("/rare", func(h *webhook.Hook) { h.Config = config(t, `{"rate_limit":{"limit":1,"period":3600}}`) })
	w.hook("/bad", nil)
	w.receiver.Answer("/bad", testenv.Answer{Status: http.StatusBadGateway})
	w.run()
	w.publish("order.created", `{"id":1}`, `{"id":2}`, `this is not JSON`)

	want := documented(t, "worker", "both")
	require.NotEmpty(t, want)
	// a counter with labels appears once something was counted
	require.Eventually(t, func() bool { return len(exported(t, w.health)) >= len(want) }, 2*time.Minute, 50*time.Millisecond)
	require.Equal(t, want, exported(t, w.health))
}

func TestDashboardAndAlertsUseMetricsOfTheManual(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, row := range documented(t, "worker", "API", "both") {
		name, rest, _ := strings.Cut(row, " ")
		kind, _, _ := strings.Cut(rest, " ")
		if kind == "histogram" {
			known[name+"_bucket"] = true
			continue
		}
		known[name] = true
	}
	for _, file := range []string{"whisperer.json", "alerts.yml"} {
		text, err := os.ReadFile("../../scripts/observability/" + file)
		require.NoError(t, err)
		names := regexp.MustCompile(`\bwhisperer_\w+`).FindAllString(string(text), -1)
		require.NotEmpty(t, names, file)
		for _, name := range names {
			require.True(t, known[name], "%s uses %s", file, name)
		}
	}
}
