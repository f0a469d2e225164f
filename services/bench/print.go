package bench

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Print prints the report as tables for people.
func (r *Report) Print(out io.Writer) {
	fmt.Fprintf(out, "Whisperer %s, %s, %d cores of %s, %s, %s\n", r.Version, r.At.Format(time.DateOnly), r.Machine.Cores, r.Machine.CPU,
		r.Machine.OS, r.Machine.Go)
	fmt.Fprintf(out, "Everything shares these cores: publisher, Whisperer, PostgreSQL (durable), nats-server (fast), receiver.\n")
	fmt.Fprintf(out, "The disk makes 8 KiB durable in %.0f µs. Bodies have %d bytes. Medians of %d run(s).\n\n", r.Machine.SyncMicros, r.Size, r.Runs)
	r.figures().write(out)
	r.comparisons().write(out)
	r.processes().write(out)
	r.printChanges(out)
	r.printSoaks(out)
	r.printProblems(out)
}

// table has rows of cells: the first cell is left-aligned, the others are right-aligned. A row of one cell is a
// heading.
type table [][]string

func (t *table) row(cells ...string) { *t = append(*t, cells) }

func (t *table) write(out io.Writer) {
	if len(*t) == 0 {
		return
	}
	var widths []int
	for _, cells := range *t {
		for i, cell := range cells {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			if len(cells) > 1 {
				widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			}
		}
	}
	for _, cells := range *t {
		line := cells[0]
		for i, cell := range cells[1:] {
			if i == 0 {
				line += strings.Repeat(" ", widths[0]-utf8.RuneCountInString(line))
			}
			line += strings.Repeat(" ", 2+widths[i+1]-utf8.RuneCountInString(cell)) + cell
		}
		fmt.Fprintln(out, line)
	}
	fmt.Fprintln(out)
}

func (r *Report) figures() *table {
	t := &table{}
	heads := []string{"", "deliveries/s", "CPU µs/delivery", "p50 ms", "p95 ms", "p99 ms", "max ms"}
	if r.CoreHour > 0 {
		heads = append(heads, "€/million")
	}
	t.row(heads...)
	for i := range r.Results {
		x := &r.Results[i]
		t.row(fmt.Sprintf("%s: %s (%s deliveries)", x.Scenario.Name, x.Scenario.Title, thousands(float64(x.System.Deliveries))))
		line := func(name string, f *Figures) {
			cells := []string{"  " + name, thousands(f.PerSecond), number(f.CPU), number(f.P50), number(f.P95), number(f.P99), number(f.Max)}
			if r.CoreHour > 0 { // a microsecond per delivery is a second per million
				cells = append(cells, number(f.CPU*r.CoreHour/time.Hour.Seconds()))
			}
			t.row(cells...)
		}
		line("Whisperer", &x.System)
		line("plain client", &x.Bare)
		t.row(append([]string{"  ratio"}, x.Ratio.cells()...)...)
	}
	return t
}

func (r *Report) comparisons() *table {
	t := &table{}
	for i := range r.Results {
		x := &r.Results[i]
		if x.Against == nil {
			continue
		}
		if len(*t) == 0 {
			t.row("Whisperer against itself", "deliveries/s", "CPU", "p50", "p95", "p99", "max")
		}
		t.row(append([]string{x.Scenario.Name + " / " + x.Scenario.Against}, x.Against.cells()...)...)
	}
	return t
}

func (r *Ratio) cells() []string {
	return []string{times(r.PerSecond), times(r.CPU), times(r.P50), times(r.P95), times(r.P99), times(r.Max)}
}

func (r *Report) processes() *table {
	t := &table{}
	names := []string{processAPI, processWorker, processPostgres, processNATS, processPublisher, processReceiver}
	t.row(append(append([]string{"CPU µs/delivery of"}, names...), "plain client", "other programs", "recorded after s")...)
	for i := range r.Results {
		x := &r.Results[i]
		cells := []string{x.Scenario.Name}
		for _, name := range names {
			cells = append(cells, number(x.System.CPUOf[name]))
		}
		t.row(append(cells, number(x.Bare.CPUOf[processClient]), percent(x.System.Others), number(x.System.RecordedAfter))...)
	}
	t.row(append(append([]string{"memory MiB of"}, names...), "plain client")...)
	for i := range r.Results {
		x := &r.Results[i]
		cells := []string{x.Scenario.Name}
		for _, name := range names {
			cells = append(cells, number(x.System.MemoryOf[name]))
		}
		t.row(append(cells, number(x.Bare.MemoryOf[processClient]))...)
	}
	return t
}

// printChanges prints how soon changes of hooks take effect, over all runs together.
func (r *Report) printChanges(out io.Writer) {
	for i := range r.Results {
		var all, starts []float64
		for j := range r.Results[i].Each {
			all, starts = append(all, r.Results[i].Each[j].Changes...), append(starts, r.Results[i].Each[j].Start)
		}
		if len(all) > 0 {
			slices.Sort(all)
			slices.Sort(starts)
			fmt.Fprintf(out, "%s: from the commit of a new hook to the first event that reaches it p50 %s, p99 %s, max %s ms\n",
				r.Results[i].Scenario.Name, number(quantile(all, 0.5)), number(quantile(all, 0.99)), number(quantile(all, 1)))
			fmt.Fprintf(out, "%s: a worker is ready, with all hooks in memory, after %s s\n\n", r.Results[i].Scenario.Name, number(quantile(starts, 0.5)))
		}
	}
}

func (r *Report) printProblems(out io.Writer) {
	fmt.Fprintln(out, "At full speed, latency is that of the queue which builds up: see the scenarios with a rate.")
	fmt.Fprintln(out, "CPU is that of all that delivers: worker, postgres and nats. Others' load makes rates worse; CPU suffers less.")
	for i := range r.Results {
		x := &r.Results[i]
		for n := range x.Each {
			run := &x.Each[n]
			for _, problem := range run.Problems {
				fmt.Fprintf(out, "! %s, run %d: %s\n", x.Scenario.Name, n+1, problem)
			}
			if x.Scenario.Later == Down {
				fmt.Fprintf(out, "  %s, run %d: no event came after more than %d later ones\n", x.Scenario.Name, n+1, run.Disorder)
			}
			if !x.Scenario.Hanging {
				continue
			}
			for _, name := range slices.Sorted(maps.Keys(run.Counters)) {
				fmt.Fprintf(out, "  %s, run %d: %s %.0f\n", x.Scenario.Name, n+1, name, run.Counters[name])
			}
		}
	}
	if r.Problems() == 0 {
		fmt.Fprintln(out, "Nothing was lost, nothing came twice, everything was signed and recorded.")
	}
}

// number formats three significant digits.
func number(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v >= 100:
		return thousands(v)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
}

// thousands formats a whole number with commas.
func thousands(v float64) string {
	digits := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func times(ratio float64) string {
	switch {
	case ratio == 0:
		return "-"
	case ratio < 0.1:
		return strconv.FormatFloat(ratio, 'f', 3, 64) + "x"
	default:
		return number(ratio) + "x"
	}
}

func percent(part float64) string { return strconv.FormatFloat(100*part, 'f', 0, 64) + " %" }
