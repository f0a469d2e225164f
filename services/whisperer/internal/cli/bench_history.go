package cli

import (
	"context"

	"github.com/whisperer-oms/whisperer/services/whisperer/internal/bench/history"
)

type benchHistory struct {
	Attempts int    `help:"Attempts that the database is filled with." default:"200000" placeholder:"N"`
	Hooks    int    `help:"Webhooks that the attempts are of." default:"10000" placeholder:"N"`
	Requests int    `help:"Requests of each kind." default:"200" placeholder:"N"`
	Dir      string `help:"Where the throw-away database goes: on the disk to be measured (default: /var/tmp)." placeholder:"FOLDER" xor:"folder"`
	Only     string `help:"Measure this part only." enum:",look-ups,pages" default:"" placeholder:"look-ups|pages"`
	Keep     string `help:"Keep the database in this folder, and use the one that is there: filling it takes longer than measuring." placeholder:"FOLDER" xor:"folder"`
}

// Run measures.
func (c *benchHistory) Run(ctx context.Context, a *app) error {
	if c.Attempts < 1 || c.Hooks < 1 || c.Requests < 1 {
		return usage("--attempts, --hooks and --requests must be at least 1")
	}
	report, err := history.Run(ctx, history.Options{
		Attempts: c.Attempts, Hooks: c.Hooks, Requests: c.Requests, Dir: c.Dir, Keep: c.Keep, Part: history.Part(c.Only), Version: a.Version, Progress: a.Err,
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
