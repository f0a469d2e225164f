package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const (
	// defaultRetryWait is how long the request waits for the attempt.
	defaultRetryWait = 20 * time.Second
	// retryLook is the polling interval during that wait.
	retryLook = 200 * time.Millisecond
	// maxAwaited is how many requests may wait at once; further ones are answered without waiting.
	maxAwaited = 32
)

type (
	retriedBody struct {
		Detail          string   `json:"detail" doc:"The result, for people"`
		ResponseStatus  *int     `json:"response_status" doc:"The HTTP status of the response; null if there was none"`
		ResponseContent *string  `json:"response_content" doc:"The first 16 KiB of the response's body, in base64 if it is not text; null if there was none"`
		Delivered       bool     `json:"delivered"`
		ResponseTime    *float64 `json:"response_time" doc:"Duration of the attempt, in seconds; null if it has not been made yet"`
	}
	retriedOutput struct {
		Status   int
		Location string `header:"Location" doc:"With 202: the URL of the outcome"`
		Body     retriedBody
	}
)

func (s *server) registerHookEventRetry() {
	register(s, route{
		role: usecase.Editor, body: bodyAs[api.Retry](s, "RetryInput"), optional: true, conflict: true, status: http.StatusOK, also: http.StatusAccepted,
		limit: s.RetryWait + 4*storeTimeout,
	}, huma.Operation{
		OperationID: "retry-hook-event", Method: http.MethodPost, Path: hookEventsPath + "{id}/retry/", Tags: []string{tagDeliveries},
		Summary:     "Retry a delivery (deprecated name), and wait for the response",
		Description: "202 if the attempt is not over after 20 seconds, or waits for its hook; Location then has the URL of its outcome.",
	}, s.retryHookEvent)
}

func (s *server) retryHookEvent(ctx context.Context, c *call, _ *deliveryGetInput) (*retriedOutput, error) {
	last, paused, err := s.beforeRetry(ctx, c)
	if err != nil {
		return nil, err
	}
	if _, err := daemon.Within(ctx, storeTimeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.parkForRetry(ctx, c)
	}); err != nil {
		return nil, err
	}
	later := &retriedOutput{Status: http.StatusAccepted, Location: c.base + hookEventsPath + c.id.String() + "/"}
	if paused {
		later.Body.Detail = "The hook is paused: the attempt is made when it is resumed."
		return later, nil
	}
	later.Body.Detail = "The attempt is not over yet."
	select {
	case s.awaited <- struct{}{}:
		defer func() { <-s.awaited }()
	default:
		return later, nil
	}
	made, err := s.awaitAttempt(ctx, c, last)
	if err != nil || made == nil {
		return later, err
	}
	return made, nil
}

// beforeRetry returns the number of the last attempt, and whether the hook is paused.
func (s *server) beforeRetry(ctx context.Context, c *call) (last int, paused bool, err error) {
	type found struct {
		last   int
		paused bool
	}
	look := func(ctx context.Context) (f found, err error) {
		d, attempts, err := s.Cases.Deliveries.Get(ctx, &c.Caller, c.id)
		if err != nil {
			return f, err
		}
		if n := len(attempts); n > 0 {
			f.last = attempts[n-1].Number
		}
		h, err := s.Cases.Hooks.Get(ctx, &c.Caller, d.HookID)
		f.paused = err == nil && h.Status == webhook.Paused
		return f, nil // a deleted hook is refused with its reason
	}
	f, err := daemon.Within(ctx, storeTimeout, func(ctx context.Context) (found, error) { return lookUp(ctx, s, c, look) })
	return f.last, f.paused, err
}

// awaitAttempt returns the result of the next attempt after last. It returns nil if that takes too long or the
// database does not answer; the attempt is made nevertheless.
func (s *server) awaitAttempt(ctx context.Context, c *call, last int) (*retriedOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, s.RetryWait)
	defer cancel()
	look := time.NewTicker(retryLook)
	defer look.Stop()
	see := func(ctx context.Context) (*retriedOutput, error) {
		d, attempts, err := s.Cases.Deliveries.Get(ctx, &c.Caller, c.id)
		if err != nil {
			return nil, err
		}
		return retried(c, &d, attempts, last), nil
	}
	for {
		made, err := daemon.Within(ctx, storeTimeout, func(ctx context.Context) (*retriedOutput, error) { return lookUp(ctx, s, c, see) })
		switch {
		case ctx.Err() != nil:
			return nil, nil //nolint:nilnil // not over yet
		case errors.Is(err, daemon.ErrShare), errors.Is(err, daemon.ErrBusy): // the tenant's other look-ups use up its share
		case err != nil, made != nil:
			return made, err
		}
		select {
		case <-ctx.Done():
			return nil, nil //nolint:nilnil // not over yet
		case <-look.C:
		}
	}
}

// retried returns the attempt after last, or nil if there is none yet.
func retried(c *call, d *webhook.Delivery, attempts []webhook.Attempt, last int) *retriedOutput {
	n := len(attempts)
	if n == 0 || attempts[n-1].Number <= last {
		if d.State.Final() && d.State != webhook.Delivered {
			return &retriedOutput{Status: http.StatusOK, Body: retriedBody{Detail: "No attempt was made: " + string(d.Reason) + "."}}
		}
		return nil
	}
	a := c.mask.Attempt(attempts[n-1])
	shown := hookEventBody{}
	shown.answer(a)
	b := retriedBody{
		Detail: "The receiver took the event.", ResponseStatus: optionalStatus(a.Status), ResponseContent: shown.ResponseContent,
		Delivered: a.Outcome == webhook.Succeeded, ResponseTime: shown.ResponseTime,
	}
	if !b.Delivered {
		b.Detail = "The attempt failed: " + a.Error
	}
	return &retriedOutput{Status: http.StatusOK, Body: b}
}
