package trace_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

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
		require.Equal(t, test.on, tracer.Start(trace.Client, "a", "").On(), test.name)
	}
	require.False(t, (*trace.Tracer)(nil).On())
}

func TestASpanGoesOnWithItsParentsTraceAndDecision(t *testing.T) {
	t.Parallel()
	tracer := newTracer(t, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1")
	sampled := tracer.Start(trace.Consumer, "a", parent+"01").Traceparent()
	require.Regexp(t, `^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01$`, sampled)
	require.NotContains(t, sampled, "b7ad6b7169203331")
	require.Regexp(t, `^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-00$`, tracer.Start(trace.Consumer, "a", parent+"00").Traceparent(), "sampled by the parent")
	for _, none := range []string{"", "x", "00-00000000000000000000000000000000-b7ad6b7169203331-01"} {
		begun := tracer.Start(trace.Server, "a", none).Traceparent()
		require.Regexp(t, `^00-[0-9a-f]{32}-[0-9a-f]{16}-01$`, begun)
		require.NotContains(t, begun, "0af7651916cd43dd8448eb211c80319c")
	}
}

func TestASpanGoesWithItsContext(t *testing.T) {
	t.Parallel()
	span := newTracer(t, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1").Start(trace.Server, "a", "")
	require.Equal(t, span.Traceparent(), trace.From(trace.With(t.Context(), span)).Traceparent())
	require.False(t, trace.From(t.Context()).On())
}

//nolint:paralleltest // it counts the allocations of the whole program
func TestWhatIsOffCostsNothing(t *testing.T) {
	tracer, ctx := newTracer(t), t.Context()
	require.Zero(t, testing.AllocsPerRun(1000, func() { useless(ctx, tracer) }))
}

// useless is what a request goes through where nothing is traced.
func useless(ctx context.Context, tracer *trace.Tracer) {
	var span trace.Span
	if tracer.On() {
		span = tracer.Start(trace.Client, "attempt", parent, trace.String("a", "b"), trace.Int("c", 1))
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
