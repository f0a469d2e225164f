// Package attempt makes one attempt: it builds the request that a hook asks for, signs it, sends it, and returns the
// result as the ledger records it. The worker delivers with it, and the API tests hooks with it, so that a test sends
// what a delivery would send.
package attempt

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
	"github.com/whisperer-oms/whisperer/services/internal/httpsig"
	"github.com/whisperer-oms/whisperer/services/internal/trace"
)

// Headers of every request.
const (
	headerEvent    = "X-Whisperer-Event"
	headerDelivery = "X-Whisperer-Delivery"
	headerEventID  = "X-Whisperer-Event-Id"
	headerAttempt  = "X-Whisperer-Attempt"
	headerSequence = "X-Whisperer-Sequence"
	headerReplay   = "X-Whisperer-Replay"
	headerTest     = "X-Whisperer-Test"
	headerTrace    = "Traceparent"
	headerAccept   = "Accept"
	headerAgent    = "User-Agent"
)

// shown are headers that are recorded with their values even if the integrator has set them.
var shown = []string{headerAccept, headerAgent}

// hidden replaces the integrator's header values in the ledger.
const hidden = "[hidden]"

// Sender makes attempts. It is safe for concurrent use.
type Sender struct {
	client    *egress.Client
	keys      *httpsig.Ring
	publicURL string
	userAgent string
	traces    *trace.Tracer
	maker     Maker
	copier    Copier

	mu       sync.RWMutex
	prepared map[uuid.UUID]*prepared
}

// prepared holds the constant parts of a hook's requests.
type prepared struct {
	hook   *webhook.Hook
	target egress.Target
	keys   []key
	// session is the login, or nil if the hook needs none.
	session *session
	// theirs are the integrator's headers in their spelling, the API key and a fixed authorization, and the headers
	// of ours that the integrator may override. A login's authorization is not included.
	theirs egress.Header
	// hidden are the names of the headers whose values come from the integrator and are not recorded.
	hidden []string
	// transform produces the data to send; nil sends the data as published.
	transform *filter.Transform
	// condition must hold for an answer to count as delivered; may be nil.
	condition *filter.Condition
	// err says why no request can be made.
	err error
}

type key struct {
	key       signature.Key
	secret    string // as it was given; only kept for the hook's own signature scheme
	expiresAt time.Time
}

// Maker evaluates the expressions of hooks within the tenant's budget, waiting if it is used up.
type Maker interface {
	// Spend calls evaluate, which returns how many units it has cost. The error is ctx's.
	Spend(ctx context.Context, tenant string, evaluate func() (units uint64)) error
	// Make evaluates the transform of a hook for an event. The error is that of the evaluation, or ctx's.
	Make(ctx context.Context, t *filter.Transform, h *webhook.Hook, e *webhook.Event) (filter.Made, error)
}

// Options configure a Sender. Only Client is required.
type Options struct {
	Client *egress.Client
	// Keys sign for hooks that want HTTP Message Signatures.
	Keys *httpsig.Ring
	// PublicURL is where receivers reach the API, for the format thin.
	PublicURL string
	// Version is Whisperer's version, for User-Agent.
	Version string
	// Traces gets a span for each attempt.
	Traces *trace.Tracer
	// Maker limits evaluations; nil means no budget.
	Maker Maker
	// Copier gets copies of requests; may be nil.
	Copier Copier
}

// New returns a sender.
func New(o Options) *Sender {
	if o.Maker == nil {
		o.Maker = unmetered{}
	}
	return &Sender{
		client: o.Client, keys: o.Keys, publicURL: strings.TrimSuffix(o.PublicURL, "/"), userAgent: "Whisperer/" + o.Version, traces: o.Traces, maker: o.Maker, copier: o.Copier,
		prepared: map[uuid.UUID]*prepared{},
	}
}

// Forget drops what is cached for a deleted hook.
func (s *Sender) Forget(id uuid.UUID) {
	s.mu.Lock()
	delete(s.prepared, id)
	s.mu.Unlock()
}

// Send makes one attempt. Failures are recorded in the attempt rather than returned as errors. cancelled says that
// ctx ended before the receiver's answer.
func (s *Sender) Send(ctx context.Context, due *webhook.Due, bodies *envelope.Bodies) (attempt *whispererv1.AttemptFact, result webhook.Result, cancelled bool) {
	return s.send(ctx, s.prepare(due.Hook), due, bodies)
}

func (s *Sender) send(ctx context.Context, p *prepared, due *webhook.Due, bodies *envelope.Bodies) (attempt *whispererv1.AttemptFact, result webhook.Result, cancelled bool) {
	span := s.begin(due, p)
	attempt, result, cancelled = s.request(ctx, p, due, bodies, span)
	finish(span, result, cancelled)
	return attempt, result, cancelled
}

func (s *Sender) request(ctx context.Context, p *prepared, due *webhook.Due, bodies *envelope.Bodies, span trace.Span) (attempt *whispererv1.AttemptFact, result webhook.Result, cancelled bool) {
	body, class, err := s.content(ctx, p, due, bodies)
	switch {
	case err != nil && class == webhook.ClassTransform && ctx.Err() != nil:
		return nil, webhook.Result{}, true
	case err != nil:
		return unsent(due, class, err), webhook.Result{Class: class}, false
	case due.Hook.Config.Batch != nil:
		body = content{Body: envelope.Join(due.Hook.Config.Format, []envelope.Body{body.Body}), batch: []*webhook.Due{due}}
	}
	return s.made(ctx, p, due, body, span)
}

// unsent returns an attempt for which no request could be made.
func unsent(due *webhook.Due, class webhook.ErrorClass, err error) *whispererv1.AttemptFact {
	return &whispererv1.AttemptFact{
		Number: number(due), StartedAt: time.Now().UnixNano(), Outcome: string(webhook.Failed), Method: due.Hook.Config.Method,
		Url: due.Hook.TargetURL, ErrorClass: string(class), Error: err.Error(),
	}
}

// number returns the number of the delivery's next attempt.
func number(due *webhook.Due) uint32 { return uint32(due.Attempts + 1) } //nolint:gosec // small

// made sends the request and returns the attempt.
func (s *Sender) made(ctx context.Context, p *prepared, due *webhook.Due, body content, span trace.Span) (attempt *whispererv1.AttemptFact, result webhook.Result, cancelled bool) {
	recorded, r := s.exchange(ctx, p, due, body, span)
	if r.Cancelled {
		return nil, webhook.Result{}, true
	}
	s.judge(ctx, p, due, &r)
	attempt = &whispererv1.AttemptFact{
		Number: number(due), StartedAt: r.Started.UnixNano(), Duration: int64(r.Duration), Outcome: string(webhook.Failed),
		Status: uint32(r.Status), ErrorClass: string(r.Class), Method: due.Hook.Config.Method, Url: due.Hook.TargetURL, //nolint:gosec // small
		RequestHeaders: recorded, RequestSize: uint32(len(body.Bytes)), ResponseHeaders: lines(egress.HeaderOf(r.Header)), //nolint:gosec // at most 1 MiB
		ResponseBody: r.Body, Truncated: r.Truncated, Dns: int64(r.Timings.DNS), Connect: int64(r.Timings.Connect), Tls: int64(r.Timings.TLS),
		FirstByte: int64(r.Timings.FirstByte),
	}
	if r.Err != nil {
		attempt.Error = r.Err.Error()
	}
	if recorded == "" { // nothing was sent
		attempt.RequestSize = 0
	} else {
		digest := sha256.Sum256(body.Bytes)
		attempt.BodyDigest = digest[:]
	}
	result = webhook.Result{Status: r.Status, Class: r.Class, RetryAfter: r.RetryAfter}
	if result.Success() {
		attempt.Outcome = string(webhook.Succeeded)
	}
	s.copy(due, &body, attempt)
	return attempt, result, false
}

// exchange sends the request and returns the answer and the request's headers as they are recorded. If the receiver
// rejects the token of an earlier login, exchange sends the request once more with a new token; the rejected request
// has had no effect.
func (s *Sender) exchange(ctx context.Context, p *prepared, due *webhook.Due, body content, span trace.Span) (recorded string, r egress.Response) {
	started := time.Now()
	request := egress.Request{Target: p.target, Method: due.Hook.Config.Method, Body: body.Bytes, Timeout: due.Hook.Config.Timeout, Success: due.Hook.Config.Success}
	if p.session == nil {
		if request.Header, r.Err = s.header(due, p, body, started, span); r.Err != nil {
			return "", unsigned(started, r.Err)
		}
		return lines(request.Header, p.hidden...), s.client.Do(ctx, request)
	}
	bounded, cancel := context.WithDeadline(ctx, started.Add(request.Timeout))
	defer cancel()
	for try := 1; ; try++ {
		value, fresh, err := p.session.get(bounded)
		if err != nil {
			r.Class, r.Err, r.Cancelled = webhook.ClassAuth, loginError(err), ctx.Err() != nil
			break
		}
		now := time.Now()
		if request.Header, err = s.header(due, p, body, now, span); err != nil {
			return "", unsigned(started, err)
		}
		request.Header.Set(p.session.header, value)
		request.Timeout = max(time.Until(started.Add(due.Hook.Config.Timeout)), time.Millisecond)
		recorded = lines(request.Header, p.hidden...)
		r = s.client.Do(ctx, request)
		if r.Timings.FirstByte > 0 {
			r.Timings.FirstByte += now.Sub(started)
		}
		if r.Status != http.StatusUnauthorized {
			break
		}
		p.session.forget(value)
		if fresh || try > 1 {
			break
		}
	}
	r.Started, r.Duration = started, time.Since(started)
	return recorded, r
}

func loginError(err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return errors.New("the login did not answer in time")
	}
	return err
}

// prepare returns the hook's constant parts, and rebuilds them when the hook has changed. A login stays valid unless
// its own settings have changed.
func (s *Sender) prepare(h *webhook.Hook) *prepared {
	s.mu.RLock()
	p := s.prepared[h.ID]
	s.mu.RUnlock()
	if p != nil && p.hook == h {
		return p
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.prepared[h.ID]
	switch {
	case before == nil:
		p = s.build(h, nil)
	case before.hook == h:
		return before
	default:
		p = s.build(h, before.session)
	}
	s.prepared[h.ID] = p
	return p
}

func (s *Sender) build(h *webhook.Hook, before *session) *prepared {
	p := &prepared{hook: h, session: newSession(s.client, h, before)}
	p.target, _ = s.client.Prepare(h.TargetURL) // Do answers forbidden targets accordingly
	var err error
	if p.transform, err = filter.NewTransform(h); err != nil {
		p.err = fmt.Errorf("transform cannot be used: %w", err)
		return p
	}
	if p.condition, err = filter.NewCondition(h); err != nil {
		p.err = fmt.Errorf("success.condition cannot be used: %w", err)
		return p
	}
	if p.target, err = s.client.WithTLS(p.target, h.Config.TLS); err != nil {
		p.err = fmt.Errorf("tls cannot be used: %w", err)
		return p
	}
	for _, secret := range h.Secrets {
		k, err := signature.ParseKey(secret.Value)
		if err != nil {
			p.err = fmt.Errorf("secret_key cannot be used: %w", err)
			return p
		}
		made := key{key: k, expiresAt: secret.ExpiresAt}
		if h.Config.Signature != nil && !h.Config.Signature.Message() {
			made.secret = secret.Value
		}
		p.keys = append(p.keys, made)
	}
	p.addTheirs(s.userAgent)
	return p
}

// addTheirs sets theirs and hidden, and adds our user agent if the integrator has not set one.
func (p *prepared) addTheirs(userAgent string) {
	h := p.hook
	for name, value := range h.Headers {
		p.theirs.Set(name, value)
	}
	if h.APIKey != "" {
		p.theirs.Set(h.Config.APIKeyHeader, h.APIKey)
	}
	if auth := h.Config.Auth; auth != nil && auth.AuthType == webhook.AuthBasic {
		p.theirs.Set(auth.Header(), "Basic "+base64.StdEncoding.EncodeToString([]byte(auth.Username+":"+auth.Password)))
	}
	p.hidden = []string{"Authorization"}
	if p.session != nil {
		p.hidden = append(p.hidden, p.session.header)
	}
	for i := range p.theirs {
		if !slices.ContainsFunc(shown, func(name string) bool { return strings.EqualFold(name, p.theirs[i].Name) }) {
			p.hidden = append(p.hidden, p.theirs[i].Name)
		}
	}
	for _, ours := range []webhook.Header{{Name: headerAccept, Value: "*/*"}, {Name: headerAgent, Value: userAgent}} {
		if !p.theirs.Has(ours.Name) {
			p.theirs = append(p.theirs, ours)
		}
	}
}

// header returns all headers of an attempt, sorted by name. Our headers replace the integrator's of the same name.
// The error says why the request cannot be signed.
func (s *Sender) header(due *webhook.Due, p *prepared, body content, now time.Time, span trace.Span) (egress.Header, error) {
	h := make(egress.Header, 0, 16+len(p.theirs)+len(body.headers))
	h = append(h, p.theirs...)
	for _, made := range body.headers { // may replace the defaults of Accept and User-Agent in theirs
		h.Set(made.Name, made.Value)
	}
	id := due.ID.String()
	h.Set("Content-Type", body.ContentType)
	h.Set(headerTrace, traceparent(span, due.Event.Traceparent))
	if due.Event.Tracestate != "" {
		h.Set("Tracestate", due.Event.Tracestate)
	}
	h.Set("Webhook-Id", id)
	if err := s.sign(&h, p, id, body.Body, now); err != nil {
		return nil, err
	}
	h.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	h.Set(headerAttempt, strconv.Itoa(due.Attempts+1))
	if body.batch != nil {
		list(&h, body.batch)
	} else {
		h.Set(headerDelivery, id)
		h.Set(headerEvent, due.Event.Type)
		h.Set(headerEventID, webhook.HeaderText(due.Event.ID))
		if due.Event.Seq != 0 { // a test has no published event
			h.Set(headerSequence, strconv.FormatUint(due.Event.Seq.Number(), 10))
		}
	}
	if due.Replay {
		h.Set(headerReplay, "true")
	}
	if due.Test {
		h.Set(headerTest, "true")
	}
	h.Sort()
	return h, nil
}

// lines formats a header for the ledger; the values of the named headers are hidden.
func lines(h egress.Header, hide ...string) string {
	size := 0
	for i := range h {
		size += len(h[i].Name) + len(": \n") + max(len(h[i].Value), len(hidden))
	}
	var text strings.Builder
	text.Grow(size)
	for i := range h {
		value := h[i].Value
		if slices.ContainsFunc(hide, func(name string) bool { return len(name) == len(h[i].Name) && strings.EqualFold(name, h[i].Name) }) {
			value = hidden
		}
		if i > 0 {
			text.WriteByte('\n')
		}
		text.WriteString(h[i].Name)
		text.WriteString(": ")
		text.WriteString(value)
	}
	return text.String()
}
