//go:build faults

// Package faults_test kills, stops, cuts off and confuses the real programs while events flow. It counts what was lost and what
// arrived twice, and measures the time of recovery. `make faults` runs it; every scenario prints one line of a table.
package faults_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/natsd"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

const (
	root = "../../../.." // of the repository
	// These variables turn this binary into a nats-server, which can be killed.
	natsStore  = "WHISPERER_FAULTS_NATS_STORE"
	natsPort   = "WHISPERER_FAULTS_NATS_PORT"
	natsStrict = "WHISPERER_FAULTS_NATS_STRICT"
	// busy turns this binary into a program that keeps this many CPUs busy.
	busy = "WHISPERER_FAULTS_BUSY"
)

var (
	full   = flag.Bool("full", false, "long outages, more load, three seeds")
	seed   = flag.Uint64("seed", 1, "where chance begins; a failure prints the one to use again")
	report = flag.String("report", "", "file that gets the table of results, besides the output")

	// These are the programs under test.
	worker, subscriptionAPI string

	results table
)

func TestMain(m *testing.M) {
	if store := os.Getenv(natsStore); store != "" {
		if err := runNATS(store, os.Getenv(natsPort), os.Getenv(natsStrict) == "true"); err != nil {
			fmt.Fprintln(os.Stderr, "nats-server:", err)
			os.Exit(1)
		}
		return
	}
	if n, err := strconv.Atoi(os.Getenv(busy)); err == nil {
		runtime.GOMAXPROCS(n + 1)
		for range n {
			go func() {
				for n := 0; ; n++ {
				}
			}()
		}
		select {}
	}
	flag.Parse()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "whisperer-faults-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	worker, subscriptionAPI = filepath.Join(dir, "delivery-worker"), filepath.Join(dir, "subscription-api")
	build := exec.CommandContext(context.Background(), "go", "build", "-o", dir, "./services/delivery-worker/cmd/delivery-worker",
		"./services/subscription-api/cmd/subscription-api")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, out)
		return 1
	}
	code := testenv.Main(m)
	results.write(os.Stdout)
	if *report != "" {
		file, err := os.Create(*report)
		if err != nil {
			fmt.Fprintln(os.Stderr, "write report:", err)
			return 1
		}
		defer file.Close()
		results.write(file)
	}
	return code
}

// runNATS runs this binary as a nats-server.
func runNATS(store, port string, strict bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	number, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	o := natsd.Options{StoreDir: store, Port: number, MaxStore: 4 << 30, Logger: zap.NewNop()}
	if strict {
		o.Durability = natsd.Strict
	}
	s, err := natsd.Start(ctx, o)
	if err != nil {
		return err
	}
	<-ctx.Done()
	ending, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return s.Shutdown(ending)
}

// result is one line of the table.
type result struct {
	fault          string
	acked, lost    int
	extras, same   int // requests beyond the first successful one, and those among them with the same id and body
	bound          int // maximum of extras
	unmarked       int // extras that reuse an earlier attempt's number
	recovery       time.Duration
	before, during time.Duration // 99th percentiles of healthy hooks, from publication to arrival
	after          time.Duration
	note           string
	part           bool // part of a scenario whose own line has the counts
}

var columns = []string{"fault", "events", "lost", "extra (at most)", "same id, body", "unmarked", "recovery", "p99 before", "during", "after", ""}

func (r result) cells() []string {
	if r.part {
		return []string{r.fault, "", "", "", "", "", "", short(r.before), short(r.during), "", r.note}
	}
	return []string{
		r.fault, strconv.Itoa(r.acked), strconv.Itoa(r.lost), fmt.Sprintf("%d (%d)", r.extras, r.bound), strconv.Itoa(r.same),
		strconv.Itoa(r.unmarked), fmt.Sprintf("%.1f s", r.recovery.Seconds()), short(r.before), short(r.during), short(r.after), r.note,
	}
}

// String returns the line that a scenario prints at its end.
func (r result) String() string {
	var line strings.Builder
	for i, cell := range r.cells() {
		switch {
		case i == 0:
			line.WriteString(cell)
		case cell != "":
			fmt.Fprintf(&line, " | %s", strings.TrimSpace(columns[i]+" "+cell))
		}
	}
	return line.String()
}

// table collects the results of all scenarios.
type table struct {
	mu   sync.Mutex
	rows []result
}

// add prints the line of a scenario and adds it to the table.
func (t *table) add(r result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, r)
	fmt.Println(r)
}

func (t *table) write(w io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	slices.SortStableFunc(t.rows, func(a, b result) int { return strings.Compare(a.fault[:3], b.fault[:3]) })
	sum := result{fault: "all"}
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "faults, seed %d; times are the 99th percentile from publication to arrival at healthy hooks\n", *seed)
	fmt.Fprintln(out, strings.Join(columns, "\t"))
	for _, r := range t.rows {
		fmt.Fprintln(out, strings.Join(r.cells(), "\t"))
		sum.acked, sum.lost, sum.extras, sum.same = sum.acked+r.acked, sum.lost+r.lost, sum.extras+r.extras, sum.same+r.same
		sum.bound, sum.unmarked, sum.recovery = sum.bound+r.bound, sum.unmarked+r.unmarked, max(sum.recovery, r.recovery)
	}
	fmt.Fprintln(out, strings.Join(sum.cells(), "\t"))
	out.Flush()
}

func short(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return d.Round(time.Millisecond).String()
}
