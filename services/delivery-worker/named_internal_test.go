package deliveryworker

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func events(m *metrics) *prometheus.CounterVec { return m.tenants.series[1].vec }

func TestTenantsHaveNamesWhileTheyHaveMost(t *testing.T) {
	t.Parallel()
	m := newMetrics(prometheus.NewRegistry(), 2, "")
	add := func(tenant string, n int) {
		for range n {
			m.FannedOut(tenant, 1)
		}
	}
	fanned := func(tenant string) float64 {
		return testutil.ToFloat64(events(m).WithLabelValues(tenant, "fanned_out"))
	}
	for _, tenant := range []string{"a", "b", "c", otherName} {
		add(tenant, 10)
	}
	m.tenants.rank()
	require.Equal(t, 6, testutil.CollectAndCount(events(m)), "two outcomes of a, b and the others")
	require.Equal(t, []float64{10, 10, 20}, []float64{fanned("a"), fanned("b"), fanned(otherName)})

	add("c", 25)
	add("b", 10)
	m.tenants.rank() // c has the most, and a the fewest
	add("c", 1)
	add("a", 1)
	require.Equal(t, 6, testutil.CollectAndCount(events(m)))
	require.Equal(t, []float64{1, 20, 46}, []float64{fanned("c"), fanned("b"), fanned(otherName)}, "no count falls")

	for i := range 100 {
		add(fmt.Sprintf("t%d", i), 1)
	}
	m.EventRejected("", "unknown_tenant")
	for range 10 {
		m.tenants.rank()
	}
	require.LessOrEqual(t, len(m.tenants.all), 2, "what is counted for nobody lately is forgotten")
	require.Equal(t, 6, testutil.CollectAndCount(events(m)))
	require.Zero(t, testutil.ToFloat64(events(m).WithLabelValues(otherName, "rejected")))
}

func TestNoTenantHasANameWhereNoneIsToHaveOne(t *testing.T) {
	t.Parallel()
	m := newMetrics(prometheus.NewRegistry(), 0, "")
	m.FannedOut("a", 1)
	m.tenants.rank()
	require.NoError(t, testutil.CollectAndCompare(events(m), strings.NewReader(`
		# HELP tenant_events_total Events of the tenants with the most attempts and events lately, and of all others.
		# TYPE tenant_events_total counter
		tenant_events_total{outcome="fanned_out",tenant="other"} 1
		tenant_events_total{outcome="rejected",tenant="other"} 0
	`)))
}

func TestAttemptsAreCountedByALabelOfTheirHooks(t *testing.T) {
	t.Parallel()
	m := newMetrics(prometheus.NewRegistry(), 1, "partner")
	for _, partner := range []string{"acme", "acme", "zeta", ""} {
		h := webhook.Hook{Labels: map[string]string{"partner": partner, "region": "north"}}
		m.Attempted(&webhook.Due{Hook: &h, Event: &webhook.Event{Tenant: "default"}}, webhook.Result{Status: 200}, webhook.Delivered, 0, 0)
	}
	m.Attempted(&webhook.Due{Hook: &webhook.Hook{}, Event: &webhook.Event{Tenant: "default"}}, webhook.Result{Status: 500}, webhook.Waiting, 0, 0)
	m.rank()
	require.NoError(t, testutil.CollectAndCompare(m.labels.series[0].vec, strings.NewReader(`
		# HELP label_attempts_total Attempts by the value of their hook's label, for the values with the most attempts lately, and for all others.
		# TYPE label_attempts_total counter
		label_attempts_total{outcome="delivered",value="acme"} 2
		label_attempts_total{outcome="failed",value="acme"} 0
		label_attempts_total{outcome="delivered",value="other"} 1
		label_attempts_total{outcome="failed",value="other"} 0
	`)))
}
