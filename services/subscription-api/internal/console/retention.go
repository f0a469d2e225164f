package console

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const retentionPath = Root + "retention/"

type retentionBody struct {
	Rows  []usecase.RetentionPolicy
	Types []string
	Form  retentionForm
	Wrong formErrors
}

// retentionForm is a policy as typed text.
type retentionForm struct {
	EventType, Days string
	// Sure says that the person has confirmed that older payloads are erased.
	Sure bool
}

// retentionFieldIDs maps pointers to the ids of the form's fields.
var retentionFieldIDs = map[string]string{"/event_type": "event_type", "/days": "days"}

func (c *console) listRetention(ctx context.Context, v *visit) (reply, error) {
	return c.retention(ctx, v, retentionBody{})
}

func (c *console) retention(ctx context.Context, v *visit, body retentionBody) (reply, error) {
	var err error
	if body.Rows, err = c.Cases.Erasures.Retention(ctx, &v.Caller); err != nil {
		return reply{}, err
	}
	if body.Types, err = c.typeNames(ctx, v.Tenant); err != nil {
		return reply{}, err
	}
	answer := page("retention", "Retention", body)
	if body.Wrong.any() {
		answer = answer.with(http.StatusUnprocessableEntity)
	}
	return answer, nil
}

func (c *console) setRetention(ctx context.Context, v *visit) (reply, error) {
	get := func(name string) string { return strings.TrimSpace(v.posted.Get(name)) }
	body := retentionBody{
		Form: retentionForm{EventType: get("event_type"), Days: get("days"), Sure: get("sure") != ""}, Wrong: formErrors{},
	}
	if !body.Form.Sure {
		body.Wrong.add("sure", "Tick this: what is erased cannot be brought back")
		return c.retention(ctx, v, body)
	}
	days, _ := strconv.Atoi(body.Form.Days) // anything but a number becomes 0, which is refused
	_, err := c.Cases.Erasures.SetRetention(ctx, &v.Caller, body.Form.EventType, usecase.Some(days))
	switch {
	case errors.Is(err, webhook.ErrInvalid):
		body.Wrong.collect(retentionFieldIDs, err)
		return c.retention(ctx, v, body)
	case err != nil:
		return reply{}, err
	}
	return goTo(withDone(retentionPath, "retention-set")), nil
}

func (c *console) removeRetention(ctx context.Context, v *visit) (reply, error) {
	_, err := c.Cases.Erasures.SetRetention(ctx, &v.Caller, v.posted.Get("event_type"), usecase.Null[int]())
	switch {
	case errors.Is(err, webhook.ErrInvalid):
		return reply{}, errBadForm
	case err != nil:
		return reply{}, err
	}
	return goTo(withDone(retentionPath, "retention-removed")), nil
}
