package console

import (
	"context"
	"embed"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/attempt"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// sample is code that verifies signatures in one language.
type sample struct{ ID, Language, Text string }

//go:embed samples/*.txt
var sampleFiles embed.FS

func samples() ([]sample, error) {
	list := []sample{{ID: "go", Language: "Go"}, {ID: "python", Language: "Python"}, {ID: "js", Language: "JavaScript (Node)"}}
	for i := range list {
		text, err := sampleFiles.ReadFile("samples/" + list[i].ID + ".txt")
		if err != nil {
			return nil, fmt.Errorf("read sample: %w", err)
		}
		list[i].Text = strings.TrimSpace(string(text))
	}
	return list, nil
}

// integrateBody is what the receiver's developers need.
type integrateBody struct {
	Head   hookHead
	Signed bool
	// KeySet is the URL of the keys for HTTP Message Signatures; empty if the hook does not use them.
	KeySet  string
	Samples []sample
	// Curl creates such a hook, Listen runs a local receiver for it, and Request is what the receiver gets.
	Curl, Listen, Request string
	ExampleType           string
}

func (c *console) integratePage(ctx context.Context, v *visit) (reply, error) {
	h, err := c.findHook(ctx, v)
	if err != nil {
		return reply{}, err
	}
	head, err := c.hookHead(ctx, &h, "integrate")
	if err != nil {
		return reply{}, err
	}
	body := integrateBody{
		Head: head, Signed: len(h.Secrets) > 0, Curl: c.curl(v, &h), Listen: listenCommand(&h),
		Request: requestSample(c.Cases.Sender, &h, c.Version, time.Now()), ExampleType: exampleType(&h),
	}
	if h.Config.Signature.Message() {
		body.KeySet = c.base(v) + usecase.KeySetPath(v.Tenant)
	}
	if body.Samples, err = samples(); err != nil {
		return reply{}, err
	}
	return page("hook-integrate", body.Head.Title+": integrate", body), nil
}

// exampleType returns a type that the hook wants and that people can publish.
func exampleType(h *webhook.Hook) string {
	for _, t := range catalogue.All() {
		if h.WantsType(t.Name) {
			return t.Name
		}
	}
	return h.EventTypes[0]
}

// listenCommand returns the command for a local receiver that verifies this hook's requests.
func listenCommand(h *webhook.Hook) string {
	if len(h.Secrets) == 0 {
		return "whisperer listen --port 9000"
	}
	return `whisperer listen --port 9000 --secret "$SECRET"`
}

// requestSample returns the request that the receiver gets for an example, as text.
func requestSample(s *attempt.Sender, h *webhook.Hook, version string, now time.Time) string {
	e := webhook.Event{ID: "e-1042", Tenant: h.Tenant, Type: exampleType(h), Time: now, PublishedAt: now, Seq: webhook.SequenceIn(webhook.OMS, uint64(now.UnixMicro())), Data: []byte("{}")}
	for _, t := range catalogue.All() {
		if t.Name == e.Type {
			e.Data, e.Entity, e.Context = t.Example, t.Entity, t.Context
		}
	}
	body, err := s.Body(h, &e)
	target, errURL := url.Parse(h.TargetURL)
	if err != nil || errURL != nil {
		return ""
	}
	id := webhook.DeliveryID(h.ID, e.ID).String()
	lines := []string{
		h.Config.Method + " " + target.RequestURI() + " HTTP/1.1", "Host: " + target.Host, "Content-Type: " + body.ContentType,
		"User-Agent: Whisperer/" + version, "webhook-id: " + id, fmt.Sprintf("webhook-timestamp: %d", now.Unix()),
	}
	if len(h.Secrets) > 0 {
		lines = append(lines, "webhook-signature: v1,…", "X-Whisperer-Signature: sha256=…")
	}
	for _, name := range h.Config.Signature.Headers() {
		lines = append(lines, name+": …")
	}
	if h.Config.Batch == nil {
		lines = append(lines, "X-Whisperer-Event: "+e.Type, "X-Whisperer-Event-Id: "+e.ID)
	}
	lines = append(lines, "X-Whisperer-Delivery: "+id, "X-Whisperer-Attempt: 1",
		fmt.Sprintf("X-Whisperer-Sequence: %d", e.Seq.Number()),
		"traceparent: 00-…")
	if h.APIKey != "" {
		lines = append(lines, h.Config.APIKeyHeader+": …")
	}
	if h.Config.Auth != nil {
		lines = append(lines, "Authorization: …")
	}
	for _, name := range slices.Sorted(maps.Keys(h.Headers)) {
		lines = append(lines, name+": …")
	}
	return strings.Join(lines, "\n") + "\n\n" + pretty(body.Bytes)
}

// curl returns the command that creates such a hook through the API. Secrets have to be filled in.
func (c *console) curl(v *visit, h *webhook.Hook) string {
	fields := object{}
	fields.put("name", quoted(h.Name))
	fields.put("event_types", encode(h.EventTypes))
	fields.put("target_url", quoted(h.TargetURL))
	if len(h.Secrets) > 0 {
		fields.put("secret_key", quoted("$SECRET"))
	}
	if h.APIKey != "" {
		fields.put("api_key", quoted("$API_KEY"))
	}
	if len(h.Headers) > 0 {
		headers := object{}
		for name := range h.Headers {
			headers.put(name, quoted("…"))
		}
		fields.put("additional_headers", headers.raw())
	}
	if h.Callback != nil {
		fields.put("callback", encode(h.Callback))
	}
	fields.put("retry_countdown_config", h.RetryConfig)
	if string(h.Config.Raw) != "{}" {
		fields.put("config", h.Config.Raw)
	}
	tenant := ""
	if v.Operator() {
		tenant = " -H 'X-Whisperer-Tenant: " + v.Tenant + "'"
	}
	return fmt.Sprintf("curl -fsS %s/whisperer/hooks/ -H \"Authorization: Token $WHISPERER_TOKEN\"%s \\\n  -H 'Content-Type: application/json' -d %s",
		c.base(v), tenant, shellQuoted(pretty(fields.raw())))
}

// base returns the public URL, or the address that the request was sent to.
func (c *console) base(v *visit) string {
	if c.PublicURL != "" {
		return c.PublicURL
	}
	scheme := "http"
	if daemon.Encrypted(v.r) {
		scheme = "https"
	}
	return scheme + "://" + v.r.Host
}
