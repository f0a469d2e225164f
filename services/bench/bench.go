// Package bench measures the whole system on this machine: deliveries per second, CPU time per delivery, and latency.
// Each figure is accompanied by the bare limit of the same run: a plain Go HTTP client that POSTs the same bytes to
// the same receiver.
//
// Each part is a process of its own, so that the kernel tells what each costs: PostgreSQL, nats-server, the delivery
// workers, the receiver and the plain client. The publisher is the bench's own process. All except PostgreSQL are
// this program, started again with a role for ServePart. Every run has a new database, new streams and new workers.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// Options say what to measure.
type Options struct {
	// Scenarios are measured in this order; see Scenarios.
	Scenarios []Scenario
	// Runs of each scenario; the figures are medians over them.
	Runs int
	// Scale multiplies the numbers of events.
	Scale float64
	// Size is the size of the body that a receiver gets, in bytes.
	Size int
	// Dir is where to create the temporary folder, on the disk to measure; empty means /var/tmp.
	Dir string
	// ProfileDir gets CPU and allocation profiles of the workers and nats-server; empty for none.
	ProfileDir string
	// Command is this program with the arguments that make it call ServePart; the part's name is appended.
	Command []string
	// CoreHour is the price of one core for one hour, in euros; 0 if unknown.
	CoreHour float64
	// Version is this program's version.
	Version string
	// Progress gets a line for each step.
	Progress io.Writer
}

// Limits of Options.
const (
	MaxRuns = 50
	MinSize = 256
	MaxSize = 512 << 10
)

// runLimit bounds one run of one scenario.
const runLimit = 10 * time.Minute

// validate reports the first invalid option.
func (o *Options) validate() error {
	switch {
	case len(o.Scenarios) == 0:
		return errors.New("bench: no scenario is chosen")
	case o.Runs < 1 || o.Runs > MaxRuns:
		return fmt.Errorf("bench: runs must be from 1 to %d", MaxRuns)
	case o.Size < MinSize || o.Size > MaxSize:
		return fmt.Errorf("bench: the size must be from %d to %d bytes", MinSize, MaxSize)
	case o.Scale <= 0 || o.Scale > 1000:
		return errors.New("bench: the scale must be above 0 and at most 1000")
	}
	return nil
}

// bench is what exists during all scenarios.
type bench struct {
	Options
	dir      string
	payload  payload
	receiver *part
	client   *part
	targets  targets
}

// Run measures the scenarios. It stops everything that it has started before it returns, even if ctx ends. The report
// contains problems with deliveries; an error means that nothing could be measured.
func Run(ctx context.Context, o Options) (report Report, err error) {
	if err := o.validate(); err != nil {
		return Report{}, err
	}
	b := &bench{Options: o}
	if b.payload, err = newPayload(o.Size, time.Now()); err != nil {
		return Report{}, err
	}
	if b.dir, err = makeDir(o.Dir); err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if o.ProfileDir != "" {
		if err := os.MkdirAll(o.ProfileDir, 0o750); err != nil {
			return Report{}, fmt.Errorf("make folder for profiles: %w", err)
		}
	}
	if b.receiver, err = b.startPart(ctx, roleReceiver, b.dir); err != nil {
		return Report{}, err
	}
	defer b.receiver.stop()
	if err := b.receiver.do(ctx, verbStart, b.authority(), &b.targets); err != nil {
		return Report{}, err
	}
	if b.client, err = b.startPart(ctx, roleClient, b.dir); err != nil {
		return Report{}, err
	}
	defer b.client.stop()
	return b.all(ctx)
}

func (b *bench) all(ctx context.Context) (Report, error) {
	machine, err := describe(b.dir)
	if err != nil {
		return Report{}, err
	}
	report := Report{At: time.Now().UTC(), Version: b.Version, Machine: machine, Size: b.Size, Runs: b.Runs, CoreHour: b.CoreHour}
	for _, s := range b.Scenarios {
		s.Events = max(1, int(float64(s.Events)*b.Scale))
		report.Results = append(report.Results, Result{Scenario: s})
	}
	for n := range b.Runs { // all scenarios in each round, so that a busy minute of the machine does not affect only one of them
		for i := range report.Results {
			s := report.Results[i].Scenario
			b.tell("%s, run %d of %d: %s", s.Name, n+1, b.Runs, s.Title)
			once, err := b.run(ctx, s, n)
			if err != nil {
				return report, fmt.Errorf("run scenario %s: %w", s.Name, err)
			}
			b.tell("  %.0f deliveries/s, the plain client %.0f", once.System.PerSecond, once.Bare.PerSecond)
			report.Results[i].Each = append(report.Results[i].Each, once)
		}
	}
	for i, r := range report.Results {
		report.Results[i] = r.withMedians()
	}
	report.compare()
	return report, nil
}

// authority is the file with the certificate that all parts trust.
func (b *bench) authority() string { return filepath.Join(b.dir, "authority.pem") }

// target is the URL to which a scenario's hooks append their index.
func (b *bench) target(s Scenario) string {
	if s.TLS {
		return b.targets.TLS
	}
	return b.targets.Plain
}

func (b *bench) tell(format string, args ...any) {
	fmt.Fprintf(b.Progress, format+"\n", args...)
}

// makeDir creates the temporary folder. If we are root, PostgreSQL runs as another user, who must be able to pass
// through it.
func makeDir(parent string) (string, error) {
	if parent == "" {
		parent = "/var/tmp" // /tmp may be in memory, which would not show the costs of a disk
		if _, err := os.Stat(parent); err != nil {
			parent = os.TempDir()
		}
	}
	parent, err := filepath.Abs(parent)
	if err != nil {
		return "", fmt.Errorf("find folder: %w", err)
	}
	dir, err := os.MkdirTemp(parent, "whisperer-bench-")
	if err != nil {
		return "", fmt.Errorf("make throw-away folder: %w", err)
	}
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // others pass through and see nothing
		return "", fmt.Errorf("open throw-away folder: %w", err)
	}
	return dir, nil
}

// describe describes the machine.
func describe(dir string) (Machine, error) {
	m := Machine{
		Cores: runtime.GOMAXPROCS(0), CPU: cpuModel(), Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH,
	}
	sync, err := syncCost(filepath.Join(dir, "sync"))
	if err != nil {
		return m, err
	}
	m.SyncMicros = float64(sync) / float64(time.Microsecond)
	return m, nil
}

// syncCost returns the median time that the disk takes to make 8 KiB durable.
func syncCost(name string) (time.Duration, error) {
	f, err := os.Create(name)
	if err != nil {
		return 0, fmt.Errorf("measure disk: %w", err)
	}
	defer f.Close()
	var took []float64
	for range 101 {
		begin := time.Now()
		if _, err := f.WriteAt(make([]byte, 8<<10), 0); err != nil {
			return 0, fmt.Errorf("measure disk: %w", err)
		}
		if err := f.Sync(); err != nil {
			return 0, fmt.Errorf("measure disk: %w", err)
		}
		took = append(took, float64(time.Since(begin)))
	}
	return time.Duration(median(took)), nil
}
