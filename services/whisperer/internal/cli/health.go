package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/client"
)

// healthTimeout is shorter than container engines' timeout for a health check.
const healthTimeout = 3 * time.Second

type healthcheckCommand struct {
	Ready string `arg:"" optional:"" default:"http://127.0.0.1:9090/readyz" help:"The service's readiness URL (default: ${default})." name:"url"`
}

// Run asks the service whether it is ready.
func (c *healthcheckCommand) Run(ctx context.Context, a *app) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.Ready, nil)
	if err != nil {
		return usage("<url>: %s", err)
	}
	answer, err := (&http.Client{Timeout: healthTimeout}).Do(req)
	if err != nil {
		return errors.Join(client.ErrUnavailable, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err != nil {
		return errors.Join(client.ErrUnavailable, err)
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s %s", client.ErrUnavailable, answer.Status, oneLine(string(body)))
	}
	fmt.Fprintln(a.Out, "ready")
	return nil
}
