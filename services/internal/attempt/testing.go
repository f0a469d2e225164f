package attempt

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

// TestResult is the result of a test.
type TestResult struct {
	// Attempt has the id that was sent as webhook-id. Secrets in its request are hidden.
	Attempt webhook.Attempt
	// RequestBody is the body that was sent, or nil if no request could be made.
	RequestBody []byte
}

// Test sends the event to the hook now, like a first attempt, but marked as a test and with a fresh id. The hook need
// not be stored, and nothing is cached for it: each test logs in anew. The error is ctx's, if it ended before the
// answer came.
func (s *Sender) Test(ctx context.Context, h *webhook.Hook, e *webhook.Event) (TestResult, error) {
	return s.TestAs(ctx, uuid.New(), h, e)
}

// TestAs is like Test with the given id.
func (s *Sender) TestAs(ctx context.Context, id uuid.UUID, h *webhook.Hook, e *webhook.Event) (TestResult, error) {
	bodies := envelope.NewBodies(e)
	due := webhook.Due{ID: id, Hook: h, Event: e, Test: true}
	fact, _, cancelled := s.send(ctx, s.build(h, nil), &due, bodies)
	if cancelled {
		return TestResult{}, ctx.Err()
	}
	result := TestResult{Attempt: fromFact(fact)}
	result.Attempt.DeliveryID, result.Attempt.HookID, result.Attempt.Tenant = due.ID, h.ID, h.Tenant
	result.Attempt.PublishedAt = e.PublishedAt
	if fact.GetRequestSize() > 0 {
		body, err := s.Body(h, e)
		if err != nil {
			return TestResult{}, err
		}
		result.RequestBody = body.Bytes
	}
	return result, nil
}

func fromFact(f *whispererv1.AttemptFact) webhook.Attempt {
	return webhook.Attempt{
		Number: int(f.GetNumber()), StartedAt: time.Unix(0, f.GetStartedAt()).UTC(), Duration: time.Duration(f.GetDuration()),
		Outcome: webhook.AttemptOutcome(f.GetOutcome()), Status: int(f.GetStatus()), Class: webhook.ErrorClass(f.GetErrorClass()),
		Error: f.GetError(), Method: f.GetMethod(), URL: f.GetUrl(), RequestHeaders: webhook.ParseHeaderLines(f.GetRequestHeaders()),
		RequestSize: int(f.GetRequestSize()), BodyDigest: f.GetBodyDigest(), ResponseHeaders: webhook.ParseHeaderLines(f.GetResponseHeaders()), ResponseBody: f.GetResponseBody(),
		Truncated: f.GetTruncated(), Timings: webhook.Timings{
			DNS: time.Duration(f.GetDns()), Connect: time.Duration(f.GetConnect()), TLS: time.Duration(f.GetTls()),
			FirstByte: time.Duration(f.GetFirstByte()),
		},
	}
}
