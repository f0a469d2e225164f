package cli

import (
	"context"

	"github.com/whisperer-oms/whisperer/services/whisperer/internal/bench/history"
)

type benchHistory struct {
	Attempts int    `help:"Attempts that the database is filled with." default:"200000" placeholder:"N"`
	Requests int    `help:"Requests of each kind." default:"200" placeholder:"N"`
	Dir      string `help:"Where the throw-away database goes: on the disk to be measured (default: /var/tmp)." placeholder:"FOLDER"`
}

// Run measures.
func (c *benchHistory) Run(ctx context.Context, a *app) error {
	if c.Attempts < 1 || c.Requests < 1 {
		return usage("--attempts and --requests must be at least 1")
	}
	report, err := history.Run(ctx, history.Options{
		Attempts: c.Attempts, Requests: c.Requests, Dir: c.Dir, Version: a.Version, Progress: a.Err,
	})
	if err != nil {
		return err
	}
	if a.JSON {
		return a.print(report, nil)
	}
	report.Print(a.Out)
	return nil
}
