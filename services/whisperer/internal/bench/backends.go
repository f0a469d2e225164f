package bench

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/daemon"
	"github.com/whisperer-oms/whisperer/pkg/natsd"
	deliveryworker "github.com/whisperer-oms/whisperer/services/delivery-worker"
)

// natsPart is a nats-server in a process of its own.
type natsPart struct{ server *natsd.Server }

func newNATS() role {
	n := &natsPart{}
	return role{verbs: map[string]verb{verbStart: taking(n.start)}, stop: func() {
		if n.server != nil {
			ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
			defer cancel()
			_ = n.server.Shutdown(ctx) // its store is thrown away
		}
	}}
}

// start returns the URL; the folder keeps the streams.
func (n *natsPart) start(ctx context.Context, dir string) (any, error) {
	log, err := daemon.NewLogger("warn", "json", os.Stderr)
	if err != nil {
		return nil, err
	}
	n.server, err = natsd.Start(ctx, natsd.Options{StoreDir: dir, Port: natsd.RandomPort, Durability: natsd.Fast, Logger: log})
	if err != nil {
		return nil, err
	}
	return n.server.ClientURL(), nil
}

// workerPart is a delivery-worker, configured by environment variables as in production.
type workerPart struct {
	version string
	cancel  context.CancelFunc
	ended   chan error
}

func newWorker(version string) role {
	w := &workerPart{version: version, ended: make(chan error, 1)}
	return role{verbs: map[string]verb{verbStart: taking(w.start)}, stop: func() {
		if w.cancel != nil {
			w.cancel()
			<-w.ended //nolint:errcheck // how it ended was told by whoever waited
		}
	}}
}

// start returns the health address once the worker takes events.
func (w *workerPart) start(ctx context.Context, environ []string) (any, error) {
	config, err := daemon.LoadConfig[deliveryworker.Config](environ)
	if err != nil {
		return nil, err
	}
	log, err := daemon.NewLogger("warn", "json", os.Stderr)
	if err != nil {
		return nil, err
	}
	ctx, w.cancel = context.WithCancel(context.WithoutCancel(ctx))
	service, err := deliveryworker.New(ctx, config, w.version, log.With(zap.String("part", "delivery-worker")), nil)
	if err != nil {
		w.ended <- nil
		return nil, err
	}
	up := make(chan struct{})
	last := daemon.Component{Name: "up", Run: func(ctx context.Context, ready func()) error {
		close(up)
		ready()
		<-ctx.Done()
		return nil
	}}
	var once sync.Once
	failed := make(chan error, 1)
	go func() {
		err := daemon.Run(ctx, log, append(service.Components(), last)...)
		once.Do(func() { failed <- err })
		w.ended <- err
	}()
	select {
	case <-up:
		return service.HealthAddr(), nil
	case err := <-failed:
		return nil, fmt.Errorf("start worker: %w", err)
	case <-time.After(time.Minute):
		return nil, fmt.Errorf("start worker: it is not ready after a minute")
	}
}
