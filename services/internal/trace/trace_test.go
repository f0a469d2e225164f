package trace_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/trace"
)

const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"

func newTracer(t *testing.T, environ ...string) *trace.Tracer {
	t.Helper()
	tracer, err := trace.New(t.Context(), trace.Options{Service: "test", Version: "1", Environ: environ, Log: zap.NewNop()})
	require.NoError(t, err)
	return tracer
}

func TestItIsOffUnlessTheEnvironmentNamesACollector(t *testing.T) {
	t.Parallel()
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"
	for _, test := range []struct {
		name    string
		environ []string
		on      bool
	}{
		{"nothing", nil, false},
		{"an empty endpoint", []string{"OTEL_EXPORTER_OTLP_ENDPOINT="}, false},
		{"an endpoint", []string{endpoint}, true},
		{"one for traces", []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:1/v1/traces"}, true},
		{"switched off", []string{endpoint, "OTEL_SDK_DISABLED=true"}, false},
		{"exported nowhere", []string{endpoint, "OTEL_TRACES_EXPORTER=none"}, false},
	} {
		tracer := newTracer(t, test.environ...)
		require.Equal(t, test.on, tracer.On(), test.name)
		require.Equal(t, test.on, tracer.Start(trace.Client, "a", "", "").On(), test.name)
	}
	require.False(t, (*trace.Tracer)(nil).On())
}

func TestASpanGoesOnWithItsParentsTraceAndDecision(t *testing.T) {
	t.Parallel()
	tracer := newTracer(t, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1")
	sampled := tracer.Start(trace.Consumer, "a", parent+"01", "").Traceparent()
	require.Regexp(t, `^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01$`, sampled)
	require.NotContains(t, sampled, "b7ad6b7169203331")
	require.Regexp(t, `^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-00$`, tracer.Start(trace.Consumer, "a", parent+"00", "").Traceparent(), "sampled by the parent")
	for _, none := range []string{"", "x", "00-00000000000000000000000000000000-b7ad6b7169203331-01"} {
		begun := tracer.Start(trace.Server, "a", none, "").Traceparent()
		require.Regexp(t, `^00-[0-9a-f]{32}-[0-9a-f]{16}-01$`, begun)
		require.NotContains(t, begun, "0af7651916cd43dd8448eb211c80319c")
	}
}

func TestASpanGoesWithItsContext(t *testing.T) {
	t.Parallel()
	span := newTracer(t, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1").Start(trace.Server, "a", "", "")
	require.Equal(t, span.Traceparent(), trace.From(trace.With(t.Context(), span)).Traceparent())
	require.False(t, trace.From(t.Context()).On())
}

func TestMetricsAndLogLinesLeadToTheTrace(t *testing.T) {
	t.Parallel()
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", Buckets: []float64{1, 2, 3}})
	trace.Observe(h, 0.5, parent+"01")
	trace.Observe(h, 1.5, parent+"00")
	trace.Observe(h, 2.5, "")
	var m dto.Metric
	require.NoError(t, h.Write(&m))
	require.Equal(t, uint64(3), m.GetHistogram().GetSampleCount())
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", m.GetHistogram().GetBucket()[0].GetExemplar().GetLabel()[0].GetValue())
	require.Nil(t, m.GetHistogram().GetBucket()[1].GetExemplar(), "nobody has that trace")
	require.Nil(t, m.GetHistogram().GetBucket()[2].GetExemplar())

	require.Equal(t, zap.String("trace_id", "0af7651916cd43dd8448eb211c80319c"), trace.ID(parent+"00"))
	for _, none := range []string{"", "00-" + strings.Repeat("0", 32) + "-b7ad6b7169203331-01", "00-what a stranger may send instead of it-b7ad6b7169203331-01"} {
		require.Equal(t, zap.Skip(), trace.ID(none), none)
	}
}

func TestLogLinesSayWhatTheyAreAbout(t *testing.T) {
	t.Parallel()
	core, logs := observer.New(zap.InfoLevel)
	const traceID = "0af7651916cd43dd8448eb211c80319c"
	due := webhook.Due{
		ID: uuid.New(), Hook: &webhook.Hook{ID: uuid.New()},
		Event: &webhook.Event{ID: "e-1", Tenant: "acme", Traceparent: parent + "00"},
	}
	of := func(about zap.Field) map[string]any {
		zap.New(core).Info("m", about)
		return logs.TakeAll()[0].ContextMap()
	}
	require.Equal(t, map[string]any{
		"delivery_id": due.ID.String(), "hook_id": due.Hook.ID.String(), "event_id": "e-1", "tenant": "acme", "trace_id": traceID,
	}, of(trace.Delivery(&due)))
	require.Equal(t, map[string]any{"event_id": "e-1", "tenant": "acme"}, of(trace.Event(&webhook.Event{ID: "e-1", Tenant: "acme"})))
	headers := map[string]string{"Nats-Msg-Id": strings.Repeat("e", 300), "traceparent": parent + "01"}
	require.Equal(t, map[string]any{"event_id": strings.Repeat("e", 255), "trace_id": traceID},
		of(trace.Message(func(name string) string { return headers[name] })))
	require.Empty(t, of(trace.Message(func(string) string { return "" })))
}

func TestTheCallersTraceIsKnownWhereNoneIsMade(t *testing.T) {
	t.Parallel()
	span := trace.Remote(parent + "01")
	require.False(t, span.On())
	span.Name("nothing")
	span.End()
	require.Equal(t, parent+"01", trace.From(trace.With(t.Context(), span)).Traceparent())
	require.Equal(t, trace.Span{}, trace.Remote("none"))
}

//nolint:paralleltest // it counts the allocations of the whole program
func TestWhatIsOffCostsNothing(t *testing.T) {
	tracer, ctx := newTracer(t), t.Context()
	require.Zero(t, testing.AllocsPerRun(1000, func() { useless(ctx, tracer) }))
}

// useless makes the calls that a request makes while tracing is off.
func useless(ctx context.Context, tracer *trace.Tracer) {
	var span trace.Span
	if tracer.On() {
		span = tracer.Start(trace.Client, "attempt", parent, "", trace.String("a", "b"), trace.Int("c", 1))
	}
	ctx = trace.With(ctx, span)
	if span = trace.From(ctx); span.On() {
		span.Set(trace.String("a", "b"))
	}
	span.Fail("class")
	span.End()
}

func BenchmarkOff(b *testing.B) {
	tracer, err := trace.New(b.Context(), trace.Options{Service: "test", Version: "1", Log: zap.NewNop()})
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		useless(b.Context(), tracer)
	}
}
