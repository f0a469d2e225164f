package kubernetes_test

import (
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/require"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const (
	alertsFile    = "../../observability/alerts.yml"
	dashboardFile = "../../observability/whisperer.json"
	manualFile    = "../../../docs/operations.md"
)

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(text)
}

// series returns the labels of each series that the manual lists, besides those that Prometheus itself gives.
func series(t *testing.T) map[string][]string {
	t.Helper()
	known := map[string][]string{
		"up": nil, "process_resident_memory_bytes": nil, "process_cpu_seconds_total": nil, "go_goroutines": nil,
	}
	row := regexp.MustCompile("(?m)^\\| `(whisperer_\\w+)` \\| (\\w+) \\|([^|]*)\\|")
	for _, m := range row.FindAllStringSubmatch(read(t, manualFile), -1) {
		names := strings.Fields(strings.ReplaceAll(m[3], "`", ""))
		if m[2] == "histogram" {
			known[m[1]+"_bucket"] = append(names, "le")
			continue
		}
		known[m[1]] = names
	}
	return known
}

// requireExpression wants an expression that Prometheus can read, over series and labels that there are.
func requireExpression(t *testing.T, text string) {
	t.Helper()
	expression, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	require.NoError(t, err, text)
	known, given := series(t), []string{"namespace", "job", "instance", "pod"}
	available := slices.Clone(given)
	parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
		if selector, ok := node.(*parser.VectorSelector); ok {
			names, ok := known[selector.Name]
			require.True(t, ok, "%s in %s", selector.Name, text)
			available = append(available, names...)
			for _, m := range selector.LabelMatchers {
				if m.Name != "__name__" {
					require.Contains(t, append(slices.Clone(given), names...), m.Name, "%s of %s", m.Name, selector.Name)
				}
			}
		}
		return nil
	})
	parser.Inspect(expression, func(node parser.Node, _ []parser.Node) error {
		if aggregate, ok := node.(*parser.AggregateExpr); ok {
			require.Subset(t, available, aggregate.Grouping, text)
		}
		return nil
	})
}

// rules are Prometheus' own file; the operator's type has the same fields.
func rules(t *testing.T) monitoring.PrometheusRuleSpec {
	t.Helper()
	var spec monitoring.PrometheusRuleSpec
	require.NoError(t, yaml.UnmarshalStrict([]byte(read(t, alertsFile)), &spec))
	return spec
}

func TestAlertsCanFireAndSayWhatToDo(t *testing.T) {
	t.Parallel()
	manual := read(t, manualFile)
	var names []string
	for _, group := range rules(t).Groups {
		for _, rule := range group.Rules {
			requireExpression(t, rule.Expr.StrVal)
			names = append(names, rule.Alert)
			require.Contains(t, []string{"critical", "warning"}, rule.Labels["severity"], rule.Alert)
			for _, annotation := range []string{"summary", "description", "runbook"} {
				require.NotEmpty(t, rule.Annotations[annotation], "%s of %s", annotation, rule.Alert)
			}
			require.NotContains(t, rule.Annotations["summary"], "{{", "a summary is the same for all alerts of a name")
			require.Contains(t, manual, "\n### "+rule.Alert+"\n")
			// The anchor that GitHub gives that heading.
			require.Equal(t, "https://github.com/whisperer-oms/whisperer/blob/main/docs/operations.md#"+strings.ToLower(rule.Alert), rule.Annotations["runbook_url"])
			if rule.For != nil {
				_, err := time.ParseDuration(string(*rule.For))
				require.NoError(t, err, rule.Alert)
			}
		}
	}
	require.Len(t, slices.Compact(slices.Sorted(slices.Values(names))), len(names), "an alert is there twice")
	for _, m := range regexp.MustCompile(`(?m)^### (Whisperer\w+)$`).FindAllStringSubmatch(manual, -1) {
		require.Contains(t, names, m[1], "the manual has an alert that there is not")
	}
}

func TestNobodyIsWokenForWhatACallerDoes(t *testing.T) {
	t.Parallel()
	callers := []string{"http_status", "redirect_not_followed", "response_headers_too_large", "request_invalid", "request_incomplete", "auth_failed", "transform_failed"}
	for _, group := range rules(t).Groups {
		for _, rule := range group.Rules {
			if rule.Labels["severity"] != "critical" {
				continue
			}
			require.NotContains(t, rule.Expr.StrVal, "whisperer_events_rejected_total", rule.Alert)
			for _, series := range []string{"whisperer_filter", "whisperer_hook_parked", "whisperer_hook_fail", "whisperer_tenant_"} {
				require.NotContains(t, rule.Expr.StrVal, series, rule.Alert)
			}
			require.NotContains(t, rule.Expr.StrVal, `status=~"4`, rule.Alert)
			if strings.Contains(rule.Expr.StrVal, `outcome!="delivered"`) {
				for _, class := range callers {
					require.Contains(t, rule.Expr.StrVal, class, rule.Alert)
				}
			}
		}
	}
}

func TestAlertsNameTheTenantAndTheHook(t *testing.T) {
	t.Parallel()
	named := 0
	for _, group := range rules(t).Groups {
		for _, rule := range group.Rules {
			for series, labels := range map[string][]string{"whisperer_hook_parked": {"tenant", "hook"}, "whisperer_hook_fail": {"tenant", "hook"}, "whisperer_tenant_": {"tenant"}} {
				if !strings.Contains(rule.Expr.StrVal, series) {
					continue
				}
				named++
				for _, label := range labels {
					require.Contains(t, rule.Annotations["description"], "{{ $labels."+label+" }}", rule.Alert)
				}
			}
		}
	}
	require.Equal(t, 4, named)
}

// dashboard is what we read of Grafana's model.
type dashboard struct {
	UID, Title string
	Panels     []struct {
		ID          int
		Type, Title string
		GridPos     struct{ X, Y, W, H int }
		Targets     []struct{ Expr, RefID string }
	}
}

func TestDashboardShowsSeriesThatThereAre(t *testing.T) {
	t.Parallel()
	var d dashboard
	require.NoError(t, json.Unmarshal([]byte(read(t, dashboardFile)), &d))
	variables := strings.NewReplacer("$__rate_interval", "5m", "$namespace", ".*")
	shown, ids := "", map[int]bool{}
	for i, p := range d.Panels {
		require.False(t, ids[p.ID], p.Title)
		ids[p.ID] = true
		require.LessOrEqual(t, p.GridPos.X+p.GridPos.W, 24, p.Title)
		for _, q := range d.Panels[:i] {
			apart := p.GridPos.X >= q.GridPos.X+q.GridPos.W || q.GridPos.X >= p.GridPos.X+p.GridPos.W ||
				p.GridPos.Y >= q.GridPos.Y+q.GridPos.H || q.GridPos.Y >= p.GridPos.Y+p.GridPos.H
			require.True(t, apart, "%s lies over %s", p.Title, q.Title)
		}
		if p.Type == "row" {
			continue
		}
		require.NotEmpty(t, p.Targets, p.Title)
		for _, target := range p.Targets {
			expression := variables.Replace(target.Expr)
			require.NotContains(t, expression, "$", p.Title)
			requireExpression(t, expression)
			shown += expression + "\n"
		}
	}
	for name := range series(t) {
		if name != "up" {
			require.Contains(t, shown, name, "no panel shows it")
		}
	}
}

func TestTheChartInstallsTheSameDashboardAndAlerts(t *testing.T) {
	t.Parallel()
	objects := mustRender(t, most)
	require.Equal(t, rules(t), of[*monitoring.PrometheusRule](objects)[0].Spec)
	require.JSONEq(t, read(t, dashboardFile), of[*core.ConfigMap](objects)[0].Data["whisperer.json"])
}
