package cli

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/services/whisperer/internal/bench"
)

type benchCommand struct {
	Machine      benchMachine      `cmd:"" default:"withargs" help:"Measure this machine, with everything on it (also without the word machine)."`
	History      benchHistory      `cmd:"" help:"Measure how long looking up what happened takes, in a database with much of it."`
	Durability   benchDurability   `cmd:"" help:"Measure what each durability profile of NATS costs on this machine, as ratios."`
	Installation benchInstallation `cmd:"" help:"Measure an installation: publish events and receive their webhooks here."`
}

type benchDurability struct {
	Each time.Duration `help:"How long to measure each figure." default:"5s" placeholder:"DURATION"`
	Size int           `help:"Size of the events in bytes." default:"1024" placeholder:"BYTES"`
	Dir  string        `help:"Where the throw-away streams go: on the disk to be measured (default: /var/tmp)." placeholder:"FOLDER"`
}

// Run measures the profiles one after the other.
func (c *benchDurability) Run(ctx context.Context, a *app) error {
	list, err := bench.Durability(ctx, bench.DurabilityOptions{Each: c.Each, Size: c.Size, Dir: c.Dir, Progress: a.Err})
	if err != nil {
		return err
	}
	if a.JSON {
		return a.print(list, nil)
	}
	bench.PrintDurability(a.Out, list)
	return nil
}

type benchMachine struct {
	Only    []string `help:"Measure these scenarios only, in their full size: ${scenarios}." placeholder:"NAME"`
	Runs    int      `help:"Runs of each; the figures are medians." default:"1" placeholder:"N"`
	Scale   float64  `help:"Multiply the numbers of events." default:"1" placeholder:"TIMES"`
	Size    int      `help:"Size of the bodies in bytes." default:"1024" placeholder:"BYTES"`
	Dir     string   `help:"Where the throw-away database and streams go: on the disk to be measured (default: /var/tmp)." placeholder:"FOLDER"`
	Profile string   `help:"Write CPU and allocation profiles of worker and nats-server here." placeholder:"FOLDER"`
	Part    string   `hidden:""`
}

// Run measures this machine.
func (c *benchMachine) Run(ctx context.Context, a *app) error {
	if c.Part != "" {
		return bench.ServePart(ctx, c.Part, a.Version, a.In, a.Out)
	}
	scenarios, err := c.scenarios()
	if err != nil {
		return err
	}
	program, err := os.Executable()
	if err != nil {
		return err
	}
	report, err := bench.Run(ctx, bench.Options{
		Scenarios: scenarios, Runs: c.Runs, Scale: c.Scale, Size: c.Size, Dir: c.Dir, ProfileDir: c.Profile,
		Command: []string{program, "bench", "machine", "--part"}, Version: a.Version, Progress: a.Err,
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

// scenarios are the chosen ones, in their usual order.
func (c *benchMachine) scenarios() ([]bench.Scenario, error) {
	all := bench.Scenarios()
	if len(c.Only) == 0 {
		return all, nil
	}
	for _, name := range c.Only {
		if !slices.ContainsFunc(all, func(s bench.Scenario) bool { return s.Name == name }) {
			return nil, usage("--only: there is no scenario %q; use %s", name, scenarioNames())
		}
	}
	chosen := slices.DeleteFunc(all, func(s bench.Scenario) bool { return !slices.Contains(c.Only, s.Name) })
	for i := range chosen {
		if chosen[i].Named > 0 {
			chosen[i].Events = chosen[i].Named
		}
	}
	return chosen, nil
}

func scenarioNames() string {
	var names []string
	for _, s := range bench.Scenarios() {
		names = append(names, s.Name)
	}
	return strings.Join(names, ", ")
}
