package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

type hookTest struct {
	hookArg

	EventType string `help:"Send an event of this type (default: the first that the hook wants)." short:"e" placeholder:"TYPE"`
	Data      string `help:"The event's data: JSON, @FILE or - (default: the type's example)." placeholder:"JSON"`
}

// errTestFailed only sets the exit code; the failure has been printed.
var errTestFailed = errors.New("the receiver did not accept the test")

// Run sends a test event to the hook and prints the receiver's response.
func (c *hookTest) Run(ctx context.Context, a *app) error {
	server, id, err := c.find(ctx, a)
	if err != nil {
		return err
	}
	fields := client.TestFields{EventType: c.EventType}
	if c.Data != "" {
		if fields.Data, err = a.readJSON("data", c.Data); err != nil {
			return err
		}
	}
	result, err := server.Hooks.Test(ctx, id, fields)
	if err != nil {
		return err
	}
	return a.reportTest(&result)
}

// reportTest prints the result of a test, and returns an error if the receiver did not accept it.
func (a *app) reportTest(result *api.TestResult) error {
	if err := a.printTest(result); err != nil {
		return err
	}
	if result.Attempt.Outcome != webhook.Succeeded {
		return errTestFailed
	}
	return nil
}

func (a *app) printTest(result *api.TestResult) error {
	return a.print(result, func(t *table) {
		at := &result.Attempt
		took := time.Duration(at.Duration * float64(time.Second)).Round(time.Millisecond)
		t.row("event", result.EventType+" "+result.Event)
		t.row("request", at.Method+" "+at.URL)
		for _, h := range at.RequestHeaders {
			t.row("", h.Name+": "+h.Value)
		}
		t.row("", result.RequestBody)
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
