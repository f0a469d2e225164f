package bench

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// counters are the workers' own metrics, by their names in /metrics with labels.
type counters map[string]float64

// counted are the metrics about anything but deliveries that succeed at the first attempt.
var counted = [...]string{
	"whisperer_attempts_total", "whisperer_deliveries_parked_total", "whisperer_events_repeated_total",
	"whisperer_events_rejected_total", "whisperer_recorder_set_aside_total",
}

// delivered counts successful attempts.
const delivered = `whisperer_attempts_total{class="",outcome="delivered"}`

// countersOf reads the workers' metrics from their health addresses.
func countersOf(ctx context.Context, health []string) (counters, error) {
	sum := counters{}
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	for _, address := range health {
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/metrics", nil)
		if err != nil {
			return nil, fmt.Errorf("ask worker for metrics: %w", err)
		}
		r, err := client.Do(q)
		if err != nil {
			return nil, fmt.Errorf("ask worker for metrics: %w", err)
		}
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			sum.add(lines.Text())
		}
		if err := errors.Join(lines.Err(), r.Body.Close()); err != nil {
			return nil, fmt.Errorf("read worker's metrics: %w", err)
		}
	}
	return sum, nil
}

// add parses a line of Prometheus' text format.
func (c counters) add(line string) {
	at := strings.LastIndexByte(line, ' ')
	for _, name := range counted {
		if at < 0 || !strings.HasPrefix(line, name) {
			continue
		}
		if n, err := strconv.ParseFloat(line[at+1:], 64); err == nil {
			c[line[:at]] += n
		}
	}
}

// since returns the increases.
func (c counters) since(before counters) counters {
	grown := counters{}
	for name, n := range c {
		if n > before[name] {
			grown[name] = n - before[name]
		}
	}
	return grown
}

// maxWords is how many lines of a log are quoted.
const maxWords = 3

// judge describes in sentences what was wrong in a run.
func (r *Once) judge(s Scenario, y *system) {
	say := func(n int, format string) {
		if n != 0 {
			r.Problems = append(r.Problems, fmt.Sprintf(format, n))
		}
	}
	say(r.Missing, "%d deliveries have not come")
	say(r.Duplicates, "%d deliveries came twice")
	if s.Ordering == webhook.OrderHook {
		say(r.Disorder, "an event came after %d later ones")
	}
	say(r.Unreadable, "%d requests were none of ours")
	say(r.Unsigned, "%d requests had no signature")
	if r.Unrecorded {
		r.Problems = append(r.Problems, "not everything was recorded in time")
	}
	for name, n := range r.Counters {
		if name != delivered && !s.Hanging && s.Later == "" && s.Limited == 0 { // such a receiver costs its own hook attempts and parking
			say(int(n), name+" grew by %d")
		}
	}
	for _, p := range y.parts() {
		if p == y.nats && s.Nodes > 1 {
			continue // nodes cannot reach each other before all are up
		}
		n, words := logProblems(p.log)
		say(n, p.name+" logged %d warnings or errors")
		r.Problems = append(r.Problems, words...)
	}
}

// logProblems counts the lines of a log that only has warnings and errors, and quotes the first ones.
func logProblems(name string) (n int, words []string) {
	text, err := os.ReadFile(name)
	if err != nil {
		return 0, nil
	}
	for line := range bytes.Lines(text) {
		if n++; n <= maxWords {
			var compact bytes.Buffer
			if json.Compact(&compact, line) != nil {
				compact.Write(bytes.TrimSpace(line))
			}
			words = append(words, "  "+compact.String())
		}
	}
	return n, words
}

// failure keeps the first error of several goroutines.
type failure struct{ first atomic.Pointer[error] }

func (f *failure) set(err error) {
	if err != nil {
		f.first.CompareAndSwap(nil, &err)
	}
}

func (f *failure) get(ctx context.Context) error {
	if err := f.first.Load(); err != nil {
		return *err
	}
	return ctx.Err()
}
