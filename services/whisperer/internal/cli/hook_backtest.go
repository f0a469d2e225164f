package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/whisperer-oms/whisperer/pkg/client"
)

type hookBacktest struct {
	EventType []string `help:"Event type or pattern; may be repeated (default: all)." short:"e" placeholder:"TYPE"`
	Filter    string   `help:"CEL expression, as config.filter has it." placeholder:"CEL"`
	Transform string   `help:"CEL expression, as config.transform has it." placeholder:"CEL"`
	Config    string   `help:"Config object, whose filter, transform and own keys count: JSON, @FILE or -." placeholder:"JSON"`
	Since     moment   `help:"The earliest events: how long ago, such as 2h, or a time." default:"24h" placeholder:"WHEN"`
}

// Help describes what happens.
func (c *hookBacktest) Help() string {
	return "Nothing is saved or sent. It examines at most 10,000 events, the newest first."
}

// Run runs the backtest and prints the result.
func (c *hookBacktest) Run(ctx context.Context, a *app) error {
	config, err := c.config(a)
	if err != nil {
		return err
	}
	server, err := a.client()
	if err != nil {
		return err
	}
	b, err := server.Hooks.Backtest(ctx, client.BacktestFields{EventTypes: c.EventType, Config: config, From: c.Since.Time})
	if err != nil {
		return err
	}
	return a.print(b, func(t *table) {
		of := fmt.Sprintf("%d of %d events", b.Matched, b.Scanned)
		if b.Truncated {
			of += "; there were more, which were not looked at"
		}
		t.row("matched", of)
		if f := b.Failure; f != nil {
			t.row("could not evaluate", fmt.Sprintf("%d events, the newest %s: %s", b.Missed["filter_failed"], f.EventID, f.Detail))
		}
		if b.Made+b.Unmade > 0 {
			t.row("transformed", fmt.Sprintf("%d of %d events", b.Made, b.Made+b.Unmade))
		}
		if f := b.TransformFailure; f != nil {
			t.row("transform failed", f.EventID+": "+f.Problem)
		}
		for _, reason := range slices.Sorted(maps.Keys(b.Missed)) {
			t.row("missed by "+reason, fmt.Sprint(b.Missed[reason]))
		}
		for _, s := range b.Samples {
			t.row("matched "+s.EventID, s.EventType+" "+s.Detail)
			if len(s.Before) > 0 {
				t.row("published", string(s.Before))
			}
			if len(s.After)+len(s.Problem) > 0 {
				t.row("sent", string(s.After)+s.Problem)
			}
		}
		for _, s := range b.Misses {
			t.row("missed "+s.EventID, s.EventType+" "+s.Detail)
		}
	})
}

func (c *hookBacktest) config(a *app) (json.RawMessage, error) {
	fields := map[string]any{}
	if c.Config != "" {
		text, err := a.readJSON("config", c.Config)
		if err != nil {
			return nil, err
		}
		if json.Unmarshal(text, &fields) != nil {
			return nil, usage("--config: must be an object")
		}
	}
	if c.Filter != "" {
		fields["filter"] = c.Filter
	}
	if c.Transform != "" {
		fields["transform"] = c.Transform
	}
	return json.Marshal(fields)
}
