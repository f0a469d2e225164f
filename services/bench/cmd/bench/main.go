// Command bench measures a machine that runs everything of Whisperer; "make bench" runs it. It is not released.
// "whisperer bench" measures an installation.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/whisperer-oms/whisperer/services/bench"
	"github.com/whisperer-oms/whisperer/services/bench/history"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

type commands struct {
	JSON bool `help:"Print JSON for programs instead of tables for people." name:"json"`

	Machine    machineCommand    `cmd:"" default:"withargs" help:"Measure deliveries per second, what they cost, and how late they come (also without the word machine)."`
	History    historyCommand    `cmd:"" help:"Measure how long looking up what happened takes, in a database with much of it."`
	Durability durabilityCommand `cmd:"" help:"Measure what each durability profile of NATS costs, as ratios."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	c := &commands{}
	parsed := kong.Parse(c, kong.Name("bench"), kong.Description("Measures this machine, with everything of Whisperer on it."),
		kong.Vars{"scenarios": scenarioNames()}, kong.BindTo(ctx, (*context.Context)(nil)), kong.UsageOnError())
	parsed.FatalIfErrorf(parsed.Run(c))
}

// print prints a report: as JSON if that was requested, and otherwise as text does.
func (c *commands) print(v any, text func(io.Writer)) error {
	if !c.JSON {
		text(os.Stdout)
		return nil
	}
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

type durabilityCommand struct {
	Each time.Duration `help:"How long to measure each figure." default:"5s" placeholder:"DURATION"`
	Size int           `help:"Size of the events in bytes." default:"1024" placeholder:"BYTES"`
	Dir  string        `help:"Where the throw-away streams go: on the disk to be measured (default: /var/tmp)." placeholder:"FOLDER"`
}

// Run measures the profiles one after the other.
func (c *durabilityCommand) Run(ctx context.Context, all *commands) error {
	list, err := bench.Durability(ctx, bench.DurabilityOptions{Each: c.Each, Size: c.Size, Dir: c.Dir, Progress: os.Stderr})
	if err != nil {
		return err
	}
	return all.print(list, func(out io.Writer) { bench.PrintDurability(out, list) })
}

type historyCommand struct {
	Attempts int    `help:"Attempts that the database is filled with." default:"200000" placeholder:"N"`
	Hooks    int    `help:"Webhooks that the attempts are of." default:"10000" placeholder:"N"`
	Requests int    `help:"Requests of each kind." default:"200" placeholder:"N"`
	Dir      string `help:"Where the throw-away database goes: on the disk to be measured (default: /var/tmp)." placeholder:"FOLDER" xor:"folder"`
	Only     string `help:"Measure this part only." enum:",look-ups,pages,manifest" default:"" placeholder:"look-ups|pages|manifest"`
	Keep     string `help:"Keep the database in this folder, and use the one that is there: filling it takes longer than measuring." placeholder:"FOLDER" xor:"folder"`
}

// Validate implements kong's interface.
func (c *historyCommand) Validate() error {
	if c.Attempts < 1 || c.Hooks < 1 || c.Requests < 1 {
		return errors.New("--attempts, --hooks and --requests must be at least 1")
	}
	return nil
}

// Run measures look-ups, pages and a manifest in a generated history, and prints the report.
func (c *historyCommand) Run(ctx context.Context, all *commands) error {
	report, err := history.Run(ctx, history.Options{
		Attempts: c.Attempts, Hooks: c.Hooks, Requests: c.Requests, Dir: c.Dir, Keep: c.Keep, Part: history.Part(c.Only),
		Version: daemon.Version(""), Progress: os.Stderr,
	})
	if err != nil {
		return err
	}
	return all.print(report, report.Print)
}

type machineCommand struct {
	Only    []string `help:"Measure these scenarios only, in their full size: ${scenarios}." placeholder:"NAME"`
	Table   bool     `help:"Measure the rows of the table in docs/performance.md."`
	Euros   float64  `help:"Price of a core for an hour, to reckon what a million deliveries cost." name:"core-hour" placeholder:"EUROS"`
	Runs    int      `help:"Runs of each; the figures are medians." default:"1" placeholder:"N"`
	Scale   float64  `help:"Multiply the numbers of events." default:"1" placeholder:"TIMES"`
	Size    int      `help:"Size of the bodies in bytes." default:"1024" placeholder:"BYTES"`
	Dir     string   `help:"Where the throw-away database and streams go: on the disk to be measured (default: /var/tmp)." placeholder:"FOLDER"`
	Profile string   `help:"Write CPU and allocation profiles of worker and nats-server here." placeholder:"FOLDER"`
	Minutes float64  `help:"How long the scenario soak goes on." default:"30" placeholder:"N"`
	Picture string   `help:"Draw what the scenario soak has seen: an SVG." placeholder:"FILE"`
	Part    string   `hidden:""`
}

// Run measures this machine.
func (c *machineCommand) Run(ctx context.Context, all *commands) error {
	if c.Part != "" {
		return bench.ServePart(ctx, c.Part, daemon.Version(""), os.Stdin, os.Stdout)
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
		Scenarios: scenarios, Runs: c.Runs, Scale: c.Scale, Size: c.Size, Dir: c.Dir, ProfileDir: c.Profile, CoreHour: c.Euros,
		Command: []string{program, "machine", "--part"}, Version: daemon.Version(""), Progress: os.Stderr,
	})
	if err != nil {
		return err
	}
	return errors.Join(all.print(report, report.Print), c.draw(&report))
}

// draw draws the chart of the last soak.
func (c *machineCommand) draw(r *bench.Report) error {
	soak := r.Soak()
	if c.Picture == "" || soak == nil {
		return nil
	}
	svg, err := soak.SVG()
	if err != nil {
		return err
	}
	return os.WriteFile(c.Picture, svg, 0o644)
}

// scenarios returns the selected scenarios, in their usual order.
func (c *machineCommand) scenarios() ([]bench.Scenario, error) {
	all := bench.Scenarios()
	if len(c.Only) == 0 {
		return slices.DeleteFunc(all, func(s bench.Scenario) bool { return s.Apart || c.Table && !s.Table }), nil
	}
	for _, name := range c.Only {
		if !slices.ContainsFunc(all, func(s bench.Scenario) bool { return s.Name == name }) {
			return nil, fmt.Errorf("--only: there is no scenario %q; use %s", name, scenarioNames())
		}
	}
	chosen := slices.DeleteFunc(all, func(s bench.Scenario) bool { return !slices.Contains(c.Only, s.Name) })
	for i := range chosen {
		if chosen[i].Named > 0 {
			chosen[i].Events = chosen[i].Named
		}
		if chosen[i].For > 0 {
			chosen[i].For = time.Duration(c.Minutes * float64(time.Minute))
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
