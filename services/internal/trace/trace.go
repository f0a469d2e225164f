// Package trace exports to an OpenTelemetry collector what happened to an event and how long it took. There is one
// span for each request to the API or the console, each publication, fan-out and attempt. W3C Trace Context joins
// them from the publisher to the receiver.
//
// Tracing is off, and then costs nothing, unless the environment names a collector (OTEL_EXPORTER_OTLP_ENDPOINT, or
// its variant for traces). All other settings are OpenTelemetry's own, such as OTEL_TRACES_SAMPLER and
// OTEL_EXPORTER_OTLP_HEADERS. If there is a parent span, it decides about sampling. Spans carry ids, names and
// outcomes, but no payloads, headers or URLs.
package trace

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

// Kind is the role of a span.
type Kind trace.SpanKind

// The kinds used here.
const (
	Server   = Kind(trace.SpanKindServer)   // a request to the API
	Producer = Kind(trace.SpanKindProducer) // events to the bus
	Consumer = Kind(trace.SpanKindConsumer) // an event from the bus
	Client   = Kind(trace.SpanKindClient)   // a request to a receiver
)

// Attribute is an attribute of a span.
type Attribute = attribute.KeyValue

// String returns a text attribute. The value must not be secret.
func String(name, value string) Attribute { return attribute.String(name, value) }

// Int returns a number attribute.
func Int(name string, value int) Attribute { return attribute.Int(name, value) }

// Options configure a Tracer; all are required.
type Options struct {
	// Service is the program's name; OTEL_SERVICE_NAME overrides it.
	Service, Version string
	// Environ is the program's environment, as os.Environ returns it.
	Environ []string
	Log     *zap.Logger
}

// Tracer makes spans. A nil Tracer, and one whose environment names no collector, makes none.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// New returns a tracer. It sends nothing before its first span has ended. It returns an error if OpenTelemetry's
// settings in the environment are invalid.
func New(ctx context.Context, o Options) (*Tracer, error) {
	if !wanted(o.Environ) {
		return &Tracer{}, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("make exporter of traces: %w", err)
	}
	what, err := resource.New(ctx, resource.WithAttributes(attribute.String("service.name", o.Service), attribute.String("service.version", o.Version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("describe the program to the collector of traces: %w", err)
	}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { o.Log.Warn("failed to export traces", zap.Error(err)) }))
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(what))
	return &Tracer{provider: provider, tracer: provider.Tracer("github.com/whisperer-oms/whisperer")}, nil
}

// wanted reports whether the environment names a collector and does not switch tracing off.
func wanted(environ []string) bool {
	named := false
	for _, variable := range environ {
		switch name, value, _ := strings.Cut(variable, "="); name {
		case "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT":
			named = named || value != ""
		case "OTEL_SDK_DISABLED":
			if strings.EqualFold(value, "true") {
				return false
			}
		case "OTEL_TRACES_EXPORTER":
			if value == "none" {
				return false
			}
		}
	}
	return named
}

// On reports whether tracing is on. Check it before you build attributes.
func (t *Tracer) On() bool { return t != nil && t.provider != nil }

// shutdownTimeout bounds the sending of the last spans.
const shutdownTimeout = 5 * time.Second

// Run sends spans until ctx ends, and then the remaining ones.
func (t *Tracer) Run(ctx context.Context, ready func()) error {
	ready()
	<-ctx.Done()
	if !t.On() {
		return nil
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ending); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("send the last traces: %w", err)
	}
	return nil
}

// Start begins a span as a child of the parent, a W3C traceparent with its tracestate. If the parent is empty or
// invalid, it begins a new trace.
func (t *Tracer) Start(kind Kind, name, parent, state string, attributes ...Attribute) Span {
	if !t.On() {
		return Span{}
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": parent, "tracestate": state})
	_, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKind(kind)), trace.WithAttributes(attributes...))
	return Span{span: span}
}

// Span is a part of a trace, from Start to End. All methods of the zero Span do nothing.
type Span struct {
	span trace.Span
	// remote is the traceparent that Remote was given.
	remote string
}

// Remote returns a span that stands for the caller's, for when this program makes none. Only Traceparent works on it;
// On returns false. It returns the zero Span for an invalid traceparent.
func Remote(traceparent string) Span {
	if !valid(traceparent) {
		return Span{}
	}
	return Span{remote: traceparent}
}

// On reports whether the span is recorded by this program.
func (s Span) On() bool { return s.span != nil }

// Traceparent returns the W3C traceparent with which others continue below this span, or "" for the zero Span.
func (s Span) Traceparent() string {
	if s.span == nil {
		return s.remote
	}
	c := s.span.SpanContext()
	return "00-" + c.TraceID().String() + "-" + c.SpanID().String() + "-" + c.TraceFlags().String()
}

// Name renames the span, for when its subject is only known later.
func (s Span) Name(name string) {
	if s.span != nil {
		s.span.SetName(name)
	}
}

// Set adds attributes.
func (s Span) Set(attributes ...Attribute) {
	if s.span != nil {
		s.span.SetAttributes(attributes...)
	}
}

// Fail marks the span as failed, with a fixed word for the reason.
func (s Span) Fail(class string) {
	if s.span != nil {
		s.span.SetAttributes(attribute.String("error.type", class))
		s.span.SetStatus(codes.Error, class)
	}
}

// End ends the span.
func (s Span) End() {
	if s.span != nil {
		s.span.End()
	}
}

// Observe observes a value, with the trace as its exemplar if it is sampled.
func Observe(o prometheus.Observer, value float64, traceparent string) {
	with, ok := o.(prometheus.ExemplarObserver)
	if !ok || traceparent == "" {
		o.Observe(value)
		return
	}
	c := trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": traceparent}))
	if !c.IsSampled() {
		o.Observe(value)
		return
	}
	with.ObserveWithExemplar(value, prometheus.Labels{"trace_id": c.TraceID().String()})
}

type spanKey struct{}

// With returns a context with the span, or ctx itself for the zero Span.
func With(ctx context.Context, s Span) context.Context {
	if s == (Span{}) {
		return ctx
	}
	return context.WithValue(ctx, spanKey{}, s)
}

// From returns the context's span.
func From(ctx context.Context) Span {
	s, _ := ctx.Value(spanKey{}).(Span)
	return s
}
