package bench

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"

	deliveryworker "github.com/whisperer-oms/whisperer/services/delivery-worker"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/natsd"
)

// natsPart is one or several nats-servers in a process of their own.
type natsPart struct{ nodes []*natsd.Server }

func newNATS() role {
	n := &natsPart{}
	return role{verbs: map[string]verb{verbStart: taking(n.start)}, stop: func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
		defer cancel()
		for _, node := range n.nodes {
			_ = node.Shutdown(ctx) // its store is temporary
		}
	}}
}

// natsOptions configure NATS, with the folder for the streams.
type natsOptions struct {
	Dir    string
	Nodes  int
	Strict bool
}

// start returns the URLs, separated by commas.
func (n *natsPart) start(ctx context.Context, o natsOptions) (any, error) {
	log, err := daemon.NewLogger("warn", "json", os.Stderr)
	if err != nil {
		return nil, err
	}
	options := natsd.Options{StoreDir: o.Dir, Port: natsd.RandomPort, Durability: natsd.Fast, Logger: log}
	if o.Strict {
		options.Durability = natsd.Strict
	}
	if o.Nodes > 1 {
		if n.nodes, err = natsd.StartCluster(ctx, options, o.Nodes); err != nil {
			return nil, err
		}
	} else {
		node, err := natsd.Start(ctx, options)
		if err != nil {
			return nil, err
		}
		n.nodes = []*natsd.Server{node}
	}
	urls := make([]string, len(n.nodes))
	for i, node := range n.nodes {
		urls[i] = node.ClientURL()
	}
	return strings.Join(urls, ","), nil
}

// workerPart is a delivery-worker, configured by environment variables as in production.
type workerPart struct {
	version string
	end     func() error
}

func newWorker(version string) role {
	w := &workerPart{version: version}
	return role{verbs: map[string]verb{verbStart: taking(w.start)}, stop: func() {
		if w.end != nil {
			_ = w.end() // its store is temporary
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
	service, err := deliveryworker.New(context.WithoutCancel(ctx), config, daemon.Process{Version: w.version, Log: log.With(zap.String("part", "delivery-worker"))})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if w.end, err = daemon.Start(ctx, log, service.Components()...); err != nil {
		return nil, fmt.Errorf("start worker: %w", err)
	}
	return service.HealthAddr(), nil
}
