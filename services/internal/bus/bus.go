// Package bus is the only package that talks to NATS: it declares the JetStream topology, publishes to it and
// consumes from it. The packages above it only see Messages.
package bus

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/broker"
)

// These types are shared with programs that only publish.
type (
	// Credentials say as which user to connect.
	Credentials = broker.Credentials
	// Namespace is the prefix of the names of streams and subjects.
	Namespace = broker.Namespace
	// Outgoing is an event to publish.
	Outgoing = broker.Outgoing
	// PublishError says which events may not have been stored.
	PublishError = broker.PublishError
)

// Options configure the connection to NATS and the streams.
type Options struct {
	// URL lists the servers, separated by commas. It is not used with InProcess.
	URL string
	// InProcess is an embedded server, or nil to connect to URL.
	InProcess nats.InProcessConnProvider
	// Name is the connection's name in the server's monitoring.
	Name string
	// Credentials say as which user to connect.
	Credentials Credentials
	// Namespace is the prefix of the names of streams and subjects.
	Namespace Namespace
	// Installation is the id that the database holds; the streams must carry the same one. It is empty for programs
	// that do not check, such as those that only publish.
	Installation string
	// Replicas is the number of replicas of streams that are created; 0 means 1.
	Replicas int
	// OMSMaxBytes limits the size of the event log when it is created, and OwnMaxBytes that of the stream of our own
	// events; 0 means DefaultOMSMaxBytes and DefaultOwnMaxBytes.
	OMSMaxBytes, OwnMaxBytes int64
	// Partitions is the number of partitions of the event log when it is created; 0 means DefaultPartitions.
	Partitions int
	// SourcesSince is passed to envelope.Published for each event that is read.
	SourcesSince time.Time
	Log          *zap.Logger
}

// DefaultOMSMaxBytes limits the size of the event log, and DefaultOwnMaxBytes that of the stream of our own events.
const (
	DefaultOMSMaxBytes = 2 << 30
	DefaultOwnMaxBytes = 256 << 20
)

// ProgramInbox is the prefix of the subjects on which our programs receive replies and messages. Whoever may
// subscribe to them can read payloads.
const ProgramInbox = "_INBOX.whisperer"

// Bus is a connection to NATS. It reconnects by itself until it is closed.
type Bus struct {
	*broker.Conn

	nc   *nats.Conn
	link Link
	js   jetstream.JetStream
	opts Options
	log  *zap.Logger

	repairing sync.Mutex
	positions map[string]position // keyed by durable name
	clock     atomic.Pointer[reading]
	pulse     pulse
	// acceptUntil is the end of the period in which isOurs returns true; nil for never.
	acceptUntil atomic.Pointer[time.Time]
}

// reading pairs the server's time with ours. The server read its clock at most one round trip after at.
type reading struct{ server, at time.Time }

// clocksDiffer is the difference from which on the server's clock and ours count as different.
const clocksDiffer = time.Second

// Time converts t, which must come from time.Now, to the server's clock. If our wall clock is wrong or was set, the
// monotonic part of t is what counts. It returns t unchanged if both clocks agree, or before the server was asked.
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

// Link is the connection below JetStream: a *nats.Conn, or a simulated one.
type Link interface {
	// IsConnected reports whether the server can be reached now.
	IsConnected() bool
	// IsClosed reports whether the connection is closed for good.
	IsClosed() bool
	// Stats returns the connection's statistics, which count reconnects.
	Stats() nats.Statistics
	// MaxPayload is the size in bytes of the largest message that the server accepts.
	MaxPayload() int64
}

// Over returns a bus over an existing JetStream, such as a simulated one, whose event log has the given number of
// partitions. Methods that concern the server itself need Open.
func Over(js jetstream.JetStream, link Link, partitions int, log *zap.Logger) *Bus {
	return &Bus{Conn: broker.Over(js, log), link: link, js: js, opts: Options{Partitions: partitions}, log: log, positions: map[string]position{}}
}

// Connect calls Open and then Await.
func Connect(ctx context.Context, o Options) (*Bus, error) {
	b, err := Open(o)
	if err != nil {
		return nil, err
	}
	if err := b.Await(ctx); err != nil {
		b.Close()
		return nil, err
	}
	return b, nil
}

// Open starts to connect to NATS and keeps trying in the background; Ready says why it is not connected yet. The
// error reports invalid options.
func Open(o Options) (*Bus, error) {
	o.Replicas, o.Partitions = cmp.Or(o.Replicas, 1), cmp.Or(o.Partitions, DefaultPartitions)
	o.OMSMaxBytes, o.OwnMaxBytes = cmp.Or(o.OMSMaxBytes, DefaultOMSMaxBytes), cmp.Or(o.OwnMaxBytes, DefaultOwnMaxBytes)
	conn, err := broker.Open(broker.Options{
		URL: o.URL, InProcess: o.InProcess, Name: o.Name, Credentials: o.Credentials, Inbox: ProgramInbox, Namespace: o.Namespace, Log: o.Log,
	})
	if err != nil {
		return nil, err
	}
	return &Bus{Conn: conn, nc: conn.NATS(), link: conn.NATS(), js: conn.JetStream(), opts: o, log: o.Log, positions: map[string]position{}}, nil
}

// MaxPayload is the size in bytes of the largest message that the server accepts.
func (b *Bus) MaxPayload() int { return int(b.link.MaxPayload()) }
