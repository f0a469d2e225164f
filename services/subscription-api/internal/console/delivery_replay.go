package console

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// elsewhereBody is the page for sending a delivery to another URL.
type elsewhereBody struct {
	ID        uuid.UUID
	EventType string
	Published time.Time
	// TargetURL and Sign are the form's values.
	TargetURL, Sign string
	Wrong           formErrors
	testBody
}

func (c *console) elsewhere(ctx context.Context, v *visit) (body elsewhereBody, err error) {
	id, err := readID(v)
	if err != nil {
		return body, err
	}
	d, _, err := c.Cases.Deliveries.Get(ctx, &v.Caller, id)
	return elsewhereBody{
		ID: id, EventType: d.EventType, Published: d.PublishedAt, TargetURL: strings.TrimSpace(v.posted.Get("target_url")), Sign: v.posted.Get("sign"), Wrong: formErrors{},
	}, err
}

func (c *console) elsewherePage(ctx context.Context, v *visit) (reply, error) {
	body, err := c.elsewhere(ctx, v)
	return page("delivery-replay", "Send a delivery elsewhere", body), err
}

// replayElsewhere sends a delivery to another URL now.
func (c *console) replayElsewhere(ctx context.Context, v *visit) (reply, error) {
	body, err := daemon.Within(ctx, pageTimeout, func(ctx context.Context) (elsewhereBody, error) { return c.elsewhere(ctx, v) })
	if err != nil {
		return reply{}, err
	}
	to := usecase.Elsewhere{SignAsHook: body.Sign == "hook"}
	if body.TargetURL != "" {
		to.TargetURL = usecase.Some(body.TargetURL)
	}
	if body.Sign == "own" {
		if to.SecretKey = usecase.Some(v.posted.Get("secret_key")); to.SecretKey.Value == "" {
			body.Wrong.add("secret_key", "is required")
		}
	}
	if !body.Wrong.any() {
		tested, err := c.Cases.Deliveries.ReplayElsewhere(ctx, &v.Caller, body.ID, to)
		var limited *usecase.LimitError
		var refused *usecase.ReplayError
		switch {
		case errors.As(err, &limited):
			body.Problem = limited.Detail + " Wait a moment."
		case errors.As(err, &refused):
			body.Problem = "It was not sent. " + inWords(refused.Reason)
		case errors.Is(err, webhook.ErrInvalid):
			body.Wrong.collect(map[string]string{"/target_url": "target_url", "/secret_key": "secret_key", "/sign_as_hook": "sign"}, err)
		case err != nil:
			return reply{}, err
		default:
			body.Result = c.newTestResult(v, &tested)
		}
	}
	answer := page("delivery-replay", "Send a delivery elsewhere", body)
	if body.Result == nil {
		answer = answer.with(http.StatusUnprocessableEntity)
	}
	return answer, nil
}
