package console

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/attempt"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

type deliveryBody struct {
	Row      deliveryRow
	Hook     string
	HookGone bool
	NextAt   time.Time
	Updated  time.Time
	// Event has the time and the size of the event; nil if the payload is no longer stored.
	Event    *eventFacts
	Replay   bool
	Attempts []attemptView
	// CanRetry says that the delivery can be retried. Force says that it was delivered already, or superseded by a
	// newer one.
	CanRetry, Force bool
	Problem         string
	// Erased says when and by whom the event's payload was erased; may be empty.
	Erased       string
	SupersededBy *uuid.UUID
}

type attemptView struct {
	webhook.Attempt

	Took     string
	Answer   string
	Request  string
	Response string
	Body     string
	Binary   bool
	Decoded  bool
	Parts    []attemptPart
	// RequestBody is the body that was sent. It is only stored for tests. For deliveries it is rebuilt with the
	// hook's current settings, which Rebuilt says. Changed says that it differs from what was sent.
	RequestBody      string
	Rebuilt, Changed bool
	// Curl is a command that sends the request again; empty if the body is unknown.
	Curl string
	// Sent and Got are the sizes of the bodies.
	Sent, Got string
}

// eventFacts describes the event on a delivery's page.
type eventFacts struct {
	Time time.Time
	// Size is empty if the payload was erased.
	Size string
}

// attemptPart is one part of an attempt's duration.
type attemptPart struct{ Name, Took string }

func (c *console) deliveryPage(ctx context.Context, v *visit) (reply, error) {
	return c.showDelivery(ctx, v, "")
}

func (c *console) showDelivery(ctx context.Context, v *visit, problem string) (reply, error) {
	id, err := readID(v)
	if err != nil {
		return reply{}, err
	}
	d, attempts, err := c.Cases.Deliveries.Get(ctx, &v.Caller, id)
	if err != nil {
		return reply{}, err
	}
	body := deliveryBody{Row: newDeliveryRow(&d), NextAt: d.NextAt, Updated: d.UpdatedAt, Replay: d.Replay, Problem: problem, SupersededBy: d.SupersededBy}
	h, err := c.Cases.Hooks.Get(ctx, &v.Caller, d.HookID)
	switch {
	case errors.Is(err, webhook.ErrNotFound):
		body.HookGone = true
	case err != nil:
		return reply{}, err
	default:
		body.Hook = titleOf(&h)
		body.CanRetry, body.Force = h.Status != webhook.Disabled && d.Erased == nil, d.State == webhook.Delivered || d.State == webhook.Superseded
	}
	if body.Erased, err = c.erasedText(ctx, v, d.Erased); err != nil {
		return reply{}, err
	}
	e, err := c.Cases.Deliveries.FindEvent(ctx, &v.Caller, d.EventID)
	switch {
	case err == nil && d.Erased != nil:
		body.Event = &eventFacts{Time: e.Time}
	case err == nil:
		body.Event = &eventFacts{Time: e.Time, Size: size(len(e.Data))}
	case !errors.Is(err, webhook.ErrNotFound):
		return reply{}, err
	}
	for i := range attempts {
		body.Attempts = append(body.Attempts, newAttemptView(c.Cases.MaskFor(&v.Caller).Attempt(attempts[i])))
	}
	if n := len(body.Attempts); n > 0 && body.Event != nil && d.Erased == nil && !body.HookGone && h.Unreadable == "" {
		body.Attempts[n-1].rebuild(c.Cases.Sender, &h, &e)
	}
	answer := page("delivery", "Delivery of "+d.EventType, body)
	if problem != "" {
		answer = answer.with(http.StatusConflict)
	}
	return answer, nil
}

func newAttemptView(a webhook.ShownAttempt) attemptView {
	view := attemptView{
		Attempt: a.Attempt, Took: durationText(a.Duration), Answer: answerText(a.Status, a.Class), Request: headerText(a.RequestHeaders),
		Response: headerText(a.ResponseHeaders), Sent: size(a.RequestSize), Got: size(a.Body.Received),
	}
	if a.Status != 0 && unfinished(a.Class) {
		view.Answer = answerText(a.Status, webhook.ClassNone) + ": " + a.Error
	}
	if a.Status != 0 && (strings.HasSuffix(view.Answer, a.Error) || strings.HasSuffix(a.Error, view.Answer)) {
		view.Error = "" // already part of the answer
	}
	body := a.Body
	view.Truncated, view.Decoded = body.Truncated, body.Decoded
	if utf8.Valid(body.Bytes) {
		view.Body = pretty(body.Bytes)
	} else {
		view.Binary = true
	}
	for _, part := range []struct {
		name string
		took time.Duration
	}{{"DNS", a.Timings.DNS}, {"connect", a.Timings.Connect}, {"TLS", a.Timings.TLS}, {"first byte", a.Timings.FirstByte}} {
		if part.took > 0 {
			view.Parts = append(view.Parts, attemptPart{part.name, durationText(part.took)})
		}
	}
	return view
}

// shownBody is how many bytes of a body are shown.
const shownBody = 16 << 10

// rebuild sets the body that the hook gets for the event, and a command that sends it.
func (a *attemptView) rebuild(s *attempt.Sender, h *webhook.Hook, e *webhook.Event) {
	made, err := s.Body(h, e)
	if err != nil || a.RequestSize == 0 {
		return
	}
	body := made.Bytes
	digest := sha256.Sum256(body)
	a.Rebuilt, a.Changed = true, len(body) != a.RequestSize || a.BodyDigest != nil && !bytes.Equal(digest[:], a.BodyDigest)
	if a.RequestBody = pretty(body); len(a.RequestBody) > shownBody {
		a.RequestBody = strings.ToValidUTF8(a.RequestBody[:shownBody], "") + "\n… (" + size(len(body)) + " in all)"
		return
	}
	lines := []string{"curl -i -X " + a.Method + " " + shellQuoted(a.URL)}
	for _, header := range a.RequestHeaders {
		lines = append(lines, "-H "+shellQuoted(header.Name+": "+header.Value))
	}
	a.Curl = strings.Join(append(lines, "--data-binary "+shellQuoted(string(body))), " \\\n  ")
}

func shellQuoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

func headerText(headers []webhook.Header) string {
	var b strings.Builder
	for _, h := range headers {
		b.WriteString(h.Name + ": " + h.Value + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func (c *console) retryDelivery(ctx context.Context, v *visit) (reply, error) {
	id, err := readID(v)
	if err != nil {
		return reply{}, err
	}
	err = c.Cases.Deliveries.Retry(ctx, &v.Caller, id, v.posted.Get("force") == "true")
	var refused *usecase.ReplayError
	switch {
	case errors.As(err, &refused):
		return c.showDelivery(ctx, v, inWords(refused.Reason))
	case err != nil:
		return reply{}, err
	}
	return goTo(withDone(Root+"deliveries/"+id.String()+"/", "retried")), nil
}
