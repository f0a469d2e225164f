// Package bus is the only one that talks to NATS: it declares the JetStream topology, publishes to it and consumes
// from it. Everything above sees Messages.
package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// Options say how to reach NATS and what the streams are like.
type Options struct {
	// URL of the servers, separated by commas; not used with InProcess.
	URL string
	// InProcess is an embedded server; nil for one behind URL.
	InProcess nats.InProcessConnProvider
	// Name of the connection, as the server's monitoring shows it.
	Name string
	// Replicas of the streams; 0 is 1.
	Replicas int
	// OMSMaxBytes bounds the event log; 0 is DefaultOMSMaxBytes.
	OMSMaxBytes int64
	Log         *zap.Logger
}

// DefaultOMSMaxBytes bounds the event log: 2 GiB.
const DefaultOMSMaxBytes = 2 << 30

// publishDeadline bounds every publish: a server whose disk is full gives no answer at all.
const publishDeadline = 5 * time.Second

// Bus is a connection to NATS. It reconnects by itself for as long as it is open.
type Bus struct {
	nc   *nats.Conn
	js   jetstream.JetStream
	opts Options
	log  *zap.Logger

	repairing sync.Mutex
	positions map[Consumer]position
	clock     atomic.Pointer[reading]
}

// reading is what the server's clock showed, at a moment of ours or up to a round trip after it.
type reading struct{ server, at time.Time }

// clocksDiffer is from where on the server's clock and ours do not show the same time.
const clocksDiffer = time.Second

// Time returns what the server's clock shows at the time, which must come from time.Now: where our own clock is wrong, or
// is set, the monotonic part of the time says what is meant. It is the time itself where both clocks agree, and before
// the server has been asked.
func (b *Bus) Time(t time.Time) time.Time {
	r := b.clock.Load()
	if r == nil {
		return t
	}
	there := r.server.Add(t.Sub(r.at))
	if d := there.Sub(t.Round(0)); d > -clocksDiffer && d < clocksDiffer {
		return t
	}
	return there
}

// Connect connects to NATS, waiting until ctx ends for a server that is not there yet.
func Connect(ctx context.Context, o Options) (*Bus, error) {
	o.Replicas = cmp.Or(o.Replicas, 1)
	o.OMSMaxBytes = cmp.Or(o.OMSMaxBytes, DefaultOMSMaxBytes)
	b := &Bus{opts: o, log: o.Log, positions: map[Consumer]position{}}
	connected := make(chan struct{}, 1)
	signal := func(*nats.Conn) {
		select {
		case connected <- struct{}{}:
		default:
		}
	}
	opts := []nats.Option{
		nats.Name(o.Name), nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, 250*time.Millisecond), nats.PingInterval(5 * time.Second), nats.MaxPingsOutstanding(2),
		nats.ConnectHandler(signal),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				b.log.Warn("nats connection lost", zap.Error(err))
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			b.log.Info("nats connection is back", zap.String("server", nc.ConnectedServerName()))
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { b.log.Warn("nats error", zap.Error(err)) }),
	}
	if o.InProcess != nil {
		opts = append(opts, nats.InProcessServer(o.InProcess))
	}
	nc, err := nats.Connect(o.URL, opts...)
	if err != nil {
		return nil, fmt.Errorf("connect to nats: %w", err)
	}
	if !nc.IsConnected() {
		select {
		case <-connected:
		case <-ctx.Done():
			nc.Close()
			return nil, fmt.Errorf("connect to nats: %w", ctx.Err())
		}
	}
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4000), jetstream.WithPublishAsyncTimeout(publishDeadline))
	if err != nil {
		nc.Close()
		return nil, fmt.Errorf("open jetstream: %w", err)
	}
	b.nc, b.js = nc, js
	return b, nil
}

// Ready reports why NATS cannot be used now; nil if it can.
func (b *Bus) Ready(context.Context) error {
	if !b.nc.IsConnected() {
		return errors.New("not connected to nats")
	}
	return b.CheckServer() // each connection may lead to another server
}

// MaxPayload is the largest message in bytes that the server takes.
func (b *Bus) MaxPayload() int { return int(b.nc.MaxPayload()) }

// Close sends what is buffered and closes the connection.
func (b *Bus) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), publishDeadline)
	defer cancel()
	_ = b.nc.FlushWithContext(ctx) // there is nobody left to tell
	b.nc.Close()
}
