// Package bus is the only one that talks to NATS: it declares the JetStream topology, publishes to it and consumes
// from it. Everything above sees Messages.
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

// What programs that publish know, too.
type (
	// Credentials say as whom to connect.
	Credentials = broker.Credentials
	// Namespace begins the names of streams and subjects.
	Namespace = broker.Namespace
	// Outgoing is an event to be published.
	Outgoing = broker.Outgoing
	// PublishError says that not all events are known to be stored.
	PublishError = broker.PublishError
)

// Options say how to reach NATS and what the streams are like.
type Options struct {
	// URL of the servers, separated by commas; not used with InProcess.
	URL string
	// InProcess is an embedded server; nil for one behind URL.
	InProcess nats.InProcessConnProvider
	// Name of the connection, as the server's monitoring shows it.
	Name string
	// Credentials say as whom.
	Credentials Credentials
	// Namespace begins the names of streams and subjects.
	Namespace Namespace
	// Installation is the id that the database has, which the streams have to have too; empty for a program that does not
	// care, such as one that only publishes.
	Installation string
	// Replicas of the streams where they are made; 0 is 1.
	Replicas int
	// OMSMaxBytes bounds the event log where it is made, and OwnMaxBytes the stream of what we publish ourselves; 0 is
	// DefaultOMSMaxBytes and DefaultOwnMaxBytes.
	OMSMaxBytes, OwnMaxBytes int64
	// Partitions of the event log where it is made; 0 is DefaultPartitions.
	Partitions int
	// SourcesSince is envelope.Published's, for the events that are read.
	SourcesSince time.Time
	Log          *zap.Logger
}

// DefaultOMSMaxBytes bounds the event log, and DefaultOwnMaxBytes what we publish ourselves.
const (
	DefaultOMSMaxBytes = 2 << 30
	DefaultOwnMaxBytes = 256 << 20
)

// ProgramInbox begins the subjects on which our own programs get answers and messages: who may listen there reads payloads.
const ProgramInbox = "_INBOX.whisperer"

// Bus is a connection to NATS. It reconnects by itself for as long as it is open.
type Bus struct {
	*broker.Conn

	nc   *nats.Conn
	link Link
	js   jetstream.JetStream
	opts Options
	log  *zap.Logger

	repairing sync.Mutex
	positions map[string]position // by durable
	clock     atomic.Pointer[reading]
	pulse     pulse
	// acceptUntil is that of isOurs; nil for never.
	acceptUntil atomic.Pointer[time.Time]
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

// Link is the connection below JetStream: a *nats.Conn, or that of a simulation.
type Link interface {
	// IsConnected reports whether the server can be asked now.
	IsConnected() bool
	// IsClosed reports whether it never can be again.
	IsClosed() bool
	// Stats counts reconnects.
	Stats() nats.Statistics
	// MaxPayload is the largest message in bytes that the server takes.
	MaxPayload() int64
}

// Over makes a bus over a JetStream that is reached already, such as a simulated one, whose event log has so many partitions; what
// concerns the server itself needs Open.
func Over(js jetstream.JetStream, link Link, partitions int, log *zap.Logger) *Bus {
	return &Bus{Conn: broker.Over(js, log), link: link, js: js, opts: Options{Partitions: partitions}, log: log, positions: map[string]position{}}
}

// Connect is Open and Await.
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

// Open begins to connect to NATS, which goes on for as long as it takes: Ready says why it takes long. The error says what
// cannot be used of the options.
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

// MaxPayload is the largest message in bytes that the server takes.
func (b *Bus) MaxPayload() int { return int(b.link.MaxPayload()) }
