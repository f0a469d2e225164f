// Package trace tells a collector of OpenTelemetry what happened to an event and how long it took: one span for each
// request to the API or the console, each publication, fan-out and attempt, joined by W3C Trace Context from the publisher to the receiver.
//
// It is off unless the environment names a collector (OTEL_EXPORTER_OTLP_ENDPOINT, or its variant for traces), and then
// costs nothing. All other settings are OpenTelemetry's, by the names of its specification, such as OTEL_TRACES_SAMPLER
// and OTEL_EXPORTER_OTLP_HEADERS. What is traced is decided by the parent, where there is one. Spans carry ids, names and
// outcomes: no payloads, no headers, no URLs.
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

// Kind says which side of a conversation a span is.
type Kind trace.SpanKind

// The kinds that there are here.
const (
	Server   = Kind(trace.SpanKindServer)   // a request to the API
	Producer = Kind(trace.SpanKindProducer) // events to the bus
	Consumer = Kind(trace.SpanKindConsumer) // an event from the bus
	Client   = Kind(trace.SpanKindClient)   // a request to a receiver
)

// Attribute is a fact about a span.
type Attribute = attribute.KeyValue

// String is a fact that is text. It must be no secret.
func String(name, value string) Attribute { return attribute.String(name, value) }

// Int is a fact that is a number.
func Int(name string, value int) Attribute { return attribute.Int(name, value) }

// Options are what a Tracer is made of; all are required.
type Options struct {
	// Service is the program's name, unless OTEL_SERVICE_NAME says another.
	Service, Version string
	// Environ is the program's environment, as os.Environ gives it.
	Environ []string
	Log     *zap.Logger
}

// Tracer makes spans. A nil Tracer, and one whose environment names no collector, makes none.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
}

// New makes a tracer. Nothing is sent before its first span has ended. It fails where the environment's settings of
// OpenTelemetry cannot be used.
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

// wanted reports whether the environment names a collector, and does not switch traces off.
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

// On reports whether spans are made. Ask before putting attributes together.
func (t *Tracer) On() bool { return t != nil && t.provider != nil }

// shutdownTimeout is what sending the last spans may take.
const shutdownTimeout = 5 * time.Second

// Run sends what was traced until ctx ends, and then the rest.
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

// Start begins a span below the parent, a W3C traceparent with its tracestate. Where that is empty or none, a trace begins.
func (t *Tracer) Start(kind Kind, name, parent, state string, attributes ...Attribute) Span {
	if !t.On() {
		return Span{}
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": parent, "tracestate": state})
	_, span := t.tracer.Start(ctx, name, trace.WithSpanKind(trace.SpanKind(kind)), trace.WithAttributes(attributes...))
	return Span{span: span}
}

// Span is a part of a trace, from Start to End. The zero Span is none, and all its methods do nothing.
type Span struct {
	span trace.Span
	// remote is the traceparent of Remote.
	remote string
}

// Remote is the caller's span, where none is made here: it is known by its traceparent alone, empty for none or for one that is
// not valid, and On is false.
func Remote(traceparent string) Span {
	if !valid(traceparent) {
		return Span{}
	}
	return Span{remote: traceparent}
}

// On reports whether it is a span.
func (s Span) On() bool { return s.span != nil }

// Traceparent is the W3C traceparent by which others continue below this span; empty where it is none.
func (s Span) Traceparent() string {
	if s.span == nil {
		return s.remote
	}
	c := s.span.SpanContext()
	return "00-" + c.TraceID().String() + "-" + c.SpanID().String() + "-" + c.TraceFlags().String()
}

// Name names the span anew, when it is known what it is of.
func (s Span) Name(name string) {
	if s.span != nil {
		s.span.SetName(name)
	}
}

// Set adds facts.
func (s Span) Set(attributes ...Attribute) {
	if s.span != nil {
		s.span.SetAttributes(attributes...)
	}
}

// Fail says that it went wrong, and why in one word of ours.
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

// Observe counts a value, with the trace as its example where that is sampled.
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

// With puts a span into a context; one that is none leaves it as it is.
func With(ctx context.Context, s Span) context.Context {
	if s == (Span{}) {
		return ctx
	}
	return context.WithValue(ctx, spanKey{}, s)
}

// From is the span of a context.
func From(ctx context.Context) Span {
	s, _ := ctx.Value(spanKey{}).(Span)
	return s
}
