package deliveryworker

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

// outcome is the body of a callback.
type outcome struct {
	Outcome    webhook.DeliveryState `json:"outcome"`
	Reason     webhook.Reason        `json:"reason,omitempty"`
	DeliveryID string                `json:"delivery_id"`
	HookID     string                `json:"hook_id"`
	EventID    string                `json:"event_id"`
	EventType  string                `json:"event_type"`
	Entity     string                `json:"entity,omitempty"`
	Sequence   uint64                `json:"sequence"`
	Attempts   int                   `json:"attempts"`
	At         time.Time             `json:"at"`
	Error      string                `json:"error,omitempty"`
	ErrorClass string                `json:"error_class,omitempty"`
	Response   *response             `json:"response"`
}

// response is the receiver's response, truncated as in the ledger.
type response struct {
	Status     uint32            `json:"status"`
	Headers    map[string]string `json:"headers"`
	Body       string            `json:"body"`
	BodyBase64 []byte            `json:"body_base64,omitempty"`
	Truncated  bool              `json:"truncated"`
}

// Notify implements deliver's operator. A callback over HTTP is an event that only its own hook gets: it is signed, retried and
// recorded like any delivery. Its id is derived from the outcome, so that publishing it again does not cause a second callback.
func (o operator) Notify(ctx context.Context, due *webhook.Due, state webhook.DeliveryState, reason webhook.Reason, attempt *whispererv1.AttemptFact) error {
	told := outcome{
		Outcome: state, Reason: reason, DeliveryID: due.ID.String(), HookID: due.Hook.ID.String(), EventID: due.Event.ID,
		EventType: due.Event.Type, Entity: due.Event.Entity, Sequence: due.Event.Seq.Number(), Attempts: due.Attempts, At: time.Now().UTC(),
	}
	if attempt != nil {
		told.Attempts = int(attempt.GetNumber())
		told.ErrorClass = attempt.GetErrorClass()
		told.Error, told.Response = answerOf(o.s.mask, attempt)
	}
	id := webhook.CallbackID(due.ID, told.Attempts, state)
	data, err := json.Marshal(told)
	if err != nil {
		return fmt.Errorf("encode callback: %w", err)
	}
	if due.Hook.Callback.Subject != "" {
		return o.s.own.tell(ctx, due, id, data)
	}
	return o.s.own.publish(ctx, due.Event.Tenant, &whispererv1.Event{
		Id: id, Type: webhook.CallbackType(due.Hook.ID), Entity: "hook:" + told.HookID, Data: data,
		Traceparent: due.Event.Traceparent, Tracestate: due.Event.Tracestate,
	})
}

// answerOf returns the attempt's error, and its response, or nil if there was none. Viewers can read callbacks, because they are
// events: secrets of the target URL are masked where the response repeats them. The body is as received, unless something had to be
// masked within a content coding: then it is decoded.
func answerOf(mask webhook.Mask, fact *whispererv1.AttemptFact) (problem string, r *response) {
	a := mask.Attempt(webhook.Attempt{
		URL: fact.GetUrl(), Error: fact.GetError(), ResponseHeaders: webhook.ParseHeaderLines(fact.GetResponseHeaders()),
		ResponseBody: fact.GetResponseBody(), Truncated: fact.GetTruncated(),
	})
	if fact.GetStatus() == 0 {
		return a.Error, nil
	}
	body := fact.GetResponseBody()
	r = &response{Status: fact.GetStatus(), Headers: map[string]string{}, Truncated: fact.GetTruncated()}
	if a.Masked {
		body, r.Truncated = a.Body.Bytes, a.Body.Truncated
	}
	for _, h := range a.ResponseHeaders {
		if !a.Masked || !a.Body.Decoded || !strings.EqualFold(h.Name, "Content-Encoding") {
			r.Headers[h.Name] = h.Value
		}
	}
	if utf8.Valid(body) {
		r.Body = string(body)
	} else {
		r.BodyBase64 = body
	}
	return a.Error, r
}
