package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

type hookTest struct {
	ID        uuid.UUID `arg:"" help:"The hook's id."`
	EventType string    `help:"Send an event of this type (default: the first that the hook wants)." short:"e" placeholder:"TYPE"`
	Data      string    `help:"The event's data: JSON, @FILE or - (default: the type's example)." placeholder:"JSON"`
}

// errTestFailed makes the exit code; what failed was printed.
var errTestFailed = errors.New("the receiver did not accept the test")

// Run tests.
func (c *hookTest) Run(ctx context.Context, a *app) error {
	api, err := a.client()
	if err != nil {
		return err
	}
	trial := client.Trial{EventType: c.EventType}
	if c.Data != "" {
		if trial.Data, err = a.readJSON("data", c.Data); err != nil {
			return err
		}
	}
	tried, err := api.TestHook(ctx, c.ID, trial)
	if err != nil {
		return err
	}
	if err := a.printTried(&tried); err != nil {
		return err
	}
	if tried.Attempt.Outcome != webhook.Succeeded {
		return errTestFailed
	}
	return nil
}

func (a *app) printTried(tried *client.Tried) error {
	return a.print(tried, func(t table) {
		at := &tried.Attempt
		took := time.Duration(at.Duration * float64(time.Second)).Round(time.Millisecond)
		t.row("event", tried.EventType+" "+tried.Event)
		t.row("request", at.Method+" "+at.URL)
		for _, h := range at.RequestHeaders {
			t.row("", h.Name+": "+h.Value)
		}
		t.row("", tried.RequestBody)
		t.row("answer", fmt.Sprintf("%s %s in %s", at.Outcome, httpStatus(at.Status), took))
		if at.Error != "" {
			t.row("", fmt.Sprintf("%s: %s", at.ErrorClass, at.Error))
		}
		for _, h := range at.ResponseHeaders {
			t.row("", h.Name+": "+h.Value)
		}
		t.row("", at.ResponseBody)
		if at.ResponseBodyDecoded {
			t.row("", "(decoded: the body came compressed)")
		}
	})
}
