//go:build faults

// Package faults_test kills, stops, cuts off and confuses the real programs while events flow, and counts what was lost,
// what came twice and how long it took to recover. `make faults` runs it; every scenario prints one line of a table.
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
	"strconv"
	"sync"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/natsd"
	"github.com/whisperer-oms/whisperer/pkg/testenv"
)

const (
	root = "../../../.." // of the repository
	// The variables that make this binary a nats-server, which can be killed.
	natsStore = "WHISPERER_FAULTS_NATS_STORE"
	natsPort  = "WHISPERER_FAULTS_NATS_PORT"
)

var (
	full   = flag.Bool("full", false, "long outages, more load, three seeds")
	seed   = flag.Uint64("seed", 1, "where chance begins; a failure prints the one to use again")
	report = flag.String("report", "", "file that gets the table of results, besides the output")

	// worker is the program that was built.
	worker  string
	results table
)

func TestMain(m *testing.M) {
	if store := os.Getenv(natsStore); store != "" {
		if err := runNATS(store, os.Getenv(natsPort)); err != nil {
			fmt.Fprintln(os.Stderr, "nats-server:", err)
			os.Exit(1)
		}
		return
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
	worker = filepath.Join(dir, "delivery-worker")
	build := exec.CommandContext(context.Background(), "go", "build", "-o", worker, "./services/delivery-worker/cmd/delivery-worker")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the worker: %v\n%s", err, out)
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

// runNATS is the other program that this binary can be.
func runNATS(store, port string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	number, err := strconv.Atoi(port)
	if err != nil {
		return err
	}
	s, err := natsd.Start(ctx, natsd.Options{StoreDir: store, Port: number, MaxStore: 4 << 30, Logger: zap.NewNop()})
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
	fault                  string
	acked, deliveries      int
	lost, extras, bound    int
	unflagged              int // extras under the number of an attempt before
	recovery               time.Duration
	control, during, after time.Duration // 99th percentiles of healthy hooks
	note                   string
}

type table struct {
	mu   sync.Mutex
	rows []result
}

func (t *table) add(r result) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, r)
}

func (t *table) write(w io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(w, "seed %d\n", *seed)
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(columns, "fault\tevents\tdeliveries\tlost\textras (bound)\tsame number\trecovery\tp99 before\tduring\tafter\t")
	for _, r := range t.rows {
		fmt.Fprintf(columns, "%s\t%d\t%d\t%d\t%d (%d)\t%d\t%s\t%s\t%s\t%s\t%s\n", r.fault, r.acked, r.deliveries, r.lost, r.extras, r.bound,
			r.unflagged, short(r.recovery), short(r.control), short(r.during), short(r.after), r.note)
	}
	columns.Flush()
}

func short(d time.Duration) string {
	if d == 0 {
		return "-"
	}
	return d.Round(time.Millisecond).String()
}
