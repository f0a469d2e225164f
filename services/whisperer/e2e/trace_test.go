package e2e_test

import (
	"context"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// traces is an OpenTelemetry collector.
type traces struct {
	*httptest.Server

	mu    sync.Mutex
	spans []span
	// raw is everything that was received.
	raw []byte
}

type span struct {
	service, name, id, parent, trace string
	kind                             otlp.Span_SpanKind
	failed                           bool
	facts                            map[string]string
}

func newTraces(t *testing.T) *traces {
	t.Helper()
	c := &traces{}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

// ServeHTTP implements http.Handler.
func (c *traces) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	var export collector.ExportTraceServiceRequest
	if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(raw, &export) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw = append(c.raw, raw...)
	for _, resource := range export.GetResourceSpans() {
		service := ""
		for _, fact := range resource.GetResource().GetAttributes() {
			if fact.GetKey() == "service.name" {
				service = fact.GetValue().GetStringValue()
			}
		}
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				facts := map[string]string{}
				for _, fact := range s.GetAttributes() {
					facts[fact.GetKey()] = fact.GetValue().GetStringValue()
					if n, ok := fact.GetValue().GetValue().(*common.AnyValue_IntValue); ok {
						facts[fact.GetKey()] = strconv.FormatInt(n.IntValue, 10)
					}
				}
				c.spans = append(c.spans, span{
					service: service, name: s.GetName(), kind: s.GetKind(), id: hex.EncodeToString(s.GetSpanId()), facts: facts,
					parent: hex.EncodeToString(s.GetParentSpanId()), trace: hex.EncodeToString(s.GetTraceId()),
					failed: s.GetStatus().GetCode() == otlp.Status_STATUS_CODE_ERROR,
				})
			}
		}
	}
}

// of returns the spans of a trace, sorted by name.
func (c *traces) of(trace string) []span {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(c.spans), func(s span) bool { return s.trace != trace })
	slices.SortStableFunc(list, func(a, b span) int { return strings.Compare(a.name, b.name) })
	return list
}

// traced returns the settings that make a program export its traces quickly.
func (c *traces) traced(s *system) {
	s.env = append(s.env, "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL, "OTEL_BSP_SCHEDULE_DELAY=50")
}

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	origin  = "b7ad6b7169203331"
)

func TestATraceGoesFromThePublisherToTheReceiver(t *testing.T) {
	t.Parallel()
	s, c := newSystem(t), newTraces(t)
	c.traced(s)
	s.receiver.React(func(q testenv.Received) testenv.Answer {
		if q.Number == 1 {
			return testenv.Answer{Status: http.StatusServiceUnavailable}
		}
		return testenv.Answer{Status: http.StatusOK}
	})
	s.hook(`{"event_type":"*","target_url":"` + s.receiver.URL + `/canary-path?key=canary-query","secret_key":"` + secret + `","api_key":"canary-key",
		"retry_countdown_config":{"choice":"fixed","kwargs":{"seconds":1}}}`)
	s.start("delivery-worker")
	publish := func(trace, flags string) {
		require.NoError(t, s.bus.PublishEvents(t.Context(), []bus.Outgoing{{
			Tenant: webhook.DefaultTenant, Type: "order.created", Body: []byte(`{"event_id":"` + trace + `","data":"canary-data"}`),
			Header: map[string]string{"traceparent": "00-" + trace + "-" + origin + "-" + flags, "tracestate": "vendor=1"},
		}}))
	}
	const unsampled = "0af7651916cd43dd8448eb211c80319d"
	publish(unsampled, "00")
	require.Eventually(t, func() bool { return len(s.receiver.All()) == 2 }, 2*time.Minute, 10*time.Millisecond)
	publish(traceID, "01")
	require.Eventually(t, func() bool { return len(c.of(traceID)) == 2 }, 2*time.Minute, 10*time.Millisecond)

	list := c.of(traceID)
	attempt, out := list[0], list[1]
	require.Equal(t, "fan out", out.name)
	require.Equal(t, origin, out.parent)
	require.Equal(t, otlp.Span_SPAN_KIND_CONSUMER, out.kind)
	for name, value := range map[string]string{
		"messaging.system": "nats", "messaging.operation.type": "process", "messaging.operation.name": "fan out", "messaging.message.id": traceID,
	} {
		require.Equal(t, value, out.facts[name], name)
	}
	where, err := url.Parse(s.receiver.URL)
	require.NoError(t, err)
	for name, value := range map[string]string{
		"http.request.method": "POST", "url.scheme": "http", "url.full": s.receiver.URL + "/REDACTED", "server.address": where.Hostname(), "server.port": where.Port(),
		"http.response.status_code": "200", "http.request.resend_count": "",
	} {
		require.Equal(t, value, attempt.facts[name], name)
	}
	require.Equal(t, "POST", attempt.name)
	require.Equal(t, out.id, attempt.parent)
	require.Equal(t, "whisperer-delivery-worker", attempt.service)
	got := s.receiver.All()
	require.Equal(t, "00-"+traceID+"-"+attempt.id+"-01", got[2].Header.Get("traceparent"), "the receiver goes on below the attempt")
	for _, q := range got {
		require.Equal(t, "vendor=1", q.Header.Get("tracestate"), "others keep it, retries too")
	}
	require.Regexp(t, "^00-"+unsampled+"-[0-9a-f]{16}-00$", got[0].Header.Get("traceparent"), "the publisher has decided not to sample it")
	require.Empty(t, c.of(unsampled))
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		for name, value := range s.facts {
			require.NotContains(t, value, "canary", name)
		}
	}
}

func TestRetriesAndRequestsToTheAPIAreTraced(t *testing.T) {
	t.Parallel()
	s, c := newSystem(t), newTraces(t)
	c.traced(s)
	address := freeAddress(t)
	s.start("subscription-api", "WHISPERER_LISTEN="+address)
	s.api = "http://" + address
	s.receiver.React(func(q testenv.Received) testenv.Answer {
		if q.Number == 1 {
			return testenv.Answer{Status: http.StatusServiceUnavailable}
		}
		return testenv.Answer{Status: http.StatusOK}
	})
	s.hook(`{"event_type":"*","target_url":"` + s.receiver.URL + `/a","retry_countdown_config":{"choice":"fixed","kwargs":{"seconds":1}}}`)
	s.start("delivery-worker")
	r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodPost, s.api+"/whisperer/events/?",
		strings.NewReader(`{"event_type":"order.created","data":1}`))
	require.NoError(t, err)
	r.Header = http.Header{"Authorization": {"Token " + s.token}, "Content-Type": {"application/json"}, "Traceparent": {"00-" + traceID + "-" + origin + "-01"}}
	answer, err := (&http.Client{Timeout: time.Minute}).Do(r)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	require.Equal(t, http.StatusAccepted, answer.StatusCode)
	require.Eventually(t, func() bool { return len(c.of(traceID)) == 5 }, 2*time.Minute, 10*time.Millisecond)
	list := c.of(traceID) // two attempts, the request, the fan-out and the publication
	request, out, publication := list[2], list[3], list[4]
	require.Equal(t, "POST /whisperer/events/", request.name)
	require.Equal(t, origin, request.parent)
	require.Equal(t, "whisperer-subscription-api", request.service)
	require.Empty(t, request.facts["url.path"], "it may hold anything")
	require.Equal(t, "/whisperer/events/", request.facts["http.route"])
	require.Equal(t, "publish", publication.name)
	require.Equal(t, request.id, publication.parent)
	require.Equal(t, otlp.Span_SPAN_KIND_PRODUCER, publication.kind)
	for name, value := range map[string]string{
		"messaging.system": "nats", "messaging.operation.type": "send", "messaging.operation.name": "publish", "whisperer.event.type": "order.created",
	} {
		require.Equal(t, value, publication.facts[name], name)
	}
	require.Equal(t, publication.id, out.parent)
	for i, attempt := range list[:2] {
		require.Equal(t, out.id, attempt.parent, "a retry is below the same fan-out")
		require.Equal(t, attempt.failed, i == 0)
		require.Equal(t, "00-"+traceID+"-"+attempt.id+"-01", s.receiver.All()[i].Header.Get("traceparent"))
	}
	require.Equal(t, "503", list[0].facts["error.type"])
	require.Equal(t, "1", list[1].facts["http.request.resend_count"])
	require.Equal(t, "http", request.facts["url.scheme"])
	require.Equal(t, "127.0.0.1", request.facts["server.address"])
}

func TestACallbackGoesOnWithTheTraceOfItsDelivery(t *testing.T) {
	t.Parallel()
	s, c := newSystem(t), newTraces(t)
	c.traced(s)
	s.hook(`{"event_type":"order.created","target_url":"` + s.receiver.URL + `/a","callback":{"url":"` + s.receiver.URL + `/callback","on":["delivered"]}}`)
	s.start("delivery-worker")
	require.NoError(t, s.bus.PublishEvents(t.Context(), []bus.Outgoing{{
		Tenant: webhook.DefaultTenant, Type: "order.created", Body: []byte(`{"data":1}`),
		Header: map[string]string{"traceparent": "00-" + traceID + "-" + origin + "-01"},
	}}))
	require.Eventually(t, func() bool { return len(c.of(traceID)) == 5 }, 2*time.Minute, 10*time.Millisecond)
	list := c.of(traceID) // two attempts, two fan-outs and the publication of the callback
	publication := list[4]
	require.Equal(t, "publish", publication.name)
	require.Equal(t, otlp.Span_SPAN_KIND_PRODUCER, publication.kind)
	parents := []string{list[2].parent, list[3].parent}
	require.ElementsMatch(t, []string{origin, publication.id}, parents, "the callback's fan-out is below its publication")
	require.Contains(t, []string{list[2].id, list[3].id}, publication.parent, "which is below the fan-out of the delivery")
}
