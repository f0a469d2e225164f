package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/natsd"
)

const (
	// atOnce is the number of concurrent publishers.
	atOnce = 64
	// batchOf is the number of events in an atomic batch.
	batchOf = 1000
	// clusterStart bounds the time until three nodes can create streams.
	clusterStart = time.Minute
)

// Durable is the throughput of a durability profile, in events per second that NATS has stored.
type Durable struct {
	Profile string `json:"profile"`
	// Single is one event after the other, Together 64 concurrently, and Batches atomic batches of 1,000.
	Single   float64 `json:"single"`
	Together float64 `json:"together"`
	Batches  float64 `json:"batches"`
}

// DurabilityOptions say what to measure.
type DurabilityOptions struct {
	// Each is the duration of each measurement.
	Each time.Duration
	// Size is the size of the events in bytes.
	Size int
	// Dir is on the disk to measure; empty means /var/tmp.
	Dir string
	// Progress gets a line for each step.
	Progress io.Writer
}

// Durability measures all profiles one after the other, the fast one first. The three nodes of R3 run on this
// machine, so their ratio to one node says more than the absolute numbers.
func Durability(ctx context.Context, o DurabilityOptions) ([]Durable, error) {
	if o.Dir == "" {
		o.Dir = "/var/tmp"
	}
	var list []Durable
	for _, p := range []struct {
		name   string
		nodes  int
		strict natsd.Durability
	}{{"fast", 1, natsd.Fast}, {"strict", 1, natsd.Strict}, {"R3", 3, natsd.Fast}, {"R3 strict", 3, natsd.Strict}} {
		fmt.Fprintf(o.Progress, "%s …\n", p.name)
		d, err := measureDurability(ctx, o, p.nodes, p.strict)
		if err != nil {
			return nil, fmt.Errorf("profile %s: %w", p.name, err)
		}
		d.Profile = p.name
		list = append(list, d)
	}
	return list, nil
}

func measureDurability(ctx context.Context, o DurabilityOptions, n int, durability natsd.Durability) (d Durable, err error) {
	dir, err := os.MkdirTemp(o.Dir, "whisperer-durability-")
	if err != nil {
		return d, fmt.Errorf("make folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	options := natsd.Options{StoreDir: dir, Port: natsd.RandomPort, Durability: durability, MaxStore: 8 << 30}
	var nodes []*natsd.Server
	if n == 1 {
		var node *natsd.Server
		node, err = natsd.Start(ctx, options)
		nodes = []*natsd.Server{node}
	} else {
		nodes, err = natsd.StartCluster(ctx, options, n)
	}
	if err != nil {
		return d, err
	}
	defer func() {
		for _, node := range nodes {
			err = errors.Join(err, node.Shutdown(context.WithoutCancel(ctx)))
		}
	}()
	urls := make([]string, len(nodes))
	for i, node := range nodes {
		urls[i] = node.ClientURL()
	}
	b, err := bus.Connect(ctx, bus.Options{URL: strings.Join(urls, ","), Name: "bench", Replicas: n, OMSMaxBytes: 6 << 30, Log: zap.NewNop()})
	if err != nil {
		return d, err
	}
	defer b.Close()
	if err := awaitTopology(ctx, b); err != nil {
		return d, err
	}
	body := []byte(`{"data":"` + strings.Repeat("x", max(0, o.Size-11)) + `"}`)
	publish := func(n int) error { return publishSome(ctx, b, body, n) }
	if d.Single, err = rate(o.Each, 1, 1, publish); err != nil {
		return d, err
	}
	if d.Together, err = rate(o.Each, atOnce, 1, publish); err != nil {
		return d, err
	}
	d.Batches, err = rate(o.Each, 1, batchOf, publish)
	return d, err
}

// awaitTopology waits until the nodes have elected the leaders that they need to create streams.
func awaitTopology(ctx context.Context, b *bus.Bus) error {
	ctx, cancel := context.WithTimeout(ctx, clusterStart)
	defer cancel()
	for {
		step, done := context.WithTimeout(ctx, 10*time.Second)
		err := b.Streams().Ensure(step)
		done()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func publishSome(ctx context.Context, b *bus.Bus, body []byte, n int) error {
	events := make([]bus.Outgoing, n)
	for i := range events {
		events[i] = bus.Outgoing{Tenant: webhook.DefaultTenant, Type: "order.created", ID: uuid.NewString(), Body: body}
	}
	_, err := b.PublishInOrder(ctx, events)
	return err
}

// rate returns how many events per second the publishers store, each of which publishes n at once.
func rate(each time.Duration, publishers, n int, publish func(n int) error) (float64, error) {
	began := time.Now()
	var (
		stored atomic.Int64
		failed atomic.Pointer[error]
		wait   sync.WaitGroup
	)
	for range publishers {
		wait.Go(func() {
			for time.Since(began) < each && failed.Load() == nil {
				if err := publish(n); err != nil {
					failed.Store(&err)
					return
				}
				stored.Add(int64(n))
			}
		})
	}
	wait.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(stored.Load()) / time.Since(began).Seconds(), nil
}

// PrintDurability writes a table with the ratio of each figure to that of the first profile.
func PrintDurability(w io.Writer, list []Durable) {
	out := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(out, "PROFILE\tONE AT A TIME\t%d AT ONCE\tBATCHES OF %d\n", atOnce, batchOf)
	for _, d := range list {
		first := list[0]
		fmt.Fprintf(out, "%s\t%.0f/s (%.2f)\t%.0f/s (%.2f)\t%.0f/s (%.2f)\n", d.Profile,
			d.Single, d.Single/first.Single, d.Together, d.Together/first.Together, d.Batches, d.Batches/first.Batches)
	}
	_ = out.Flush()
}
