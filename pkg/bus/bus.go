// Package bus is the only one that talks to NATS: it declares the JetStream topology, publishes to it and consumes
// from it. Everything above sees Messages.
package bus

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
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
	// Inbox begins the subjects on which answers come; empty means ProgramInbox.
	Inbox string
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
	Log                      *zap.Logger
}

// DefaultOMSMaxBytes bounds the event log, and DefaultOwnMaxBytes what we publish ourselves.
const (
	DefaultOMSMaxBytes = 2 << 30
	DefaultOwnMaxBytes = 256 << 20
)

// ProgramInbox begins the subjects on which our own programs get answers and messages: who may listen there reads payloads.
const ProgramInbox = "_INBOX.whisperer"

const (
	// maxPublished is how many events may be on their way to the server at once.
	maxPublished = 3000
	// maxUnacked is how many messages may be; the others are retries.
	maxUnacked = maxPublished + 1000
)

// publishDeadline bounds every publish: a server whose disk is full gives no answer at all.
const publishDeadline = 5 * time.Second

// Bus is a connection to NATS. It reconnects by itself for as long as it is open.
type Bus struct {
	nc   *nats.Conn
	js   jetstream.JetStream
	opts Options
	log  *zap.Logger
	conn *connection

	// publishing has room for the events that are on their way to the server.
	publishing *semaphore.Weighted

	repairing sync.Mutex
	positions map[Consumer]position
	clock     atomic.Pointer[reading]
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
	o.Replicas = cmp.Or(o.Replicas, 1)
	o.OMSMaxBytes, o.OwnMaxBytes = cmp.Or(o.OMSMaxBytes, DefaultOMSMaxBytes), cmp.Or(o.OwnMaxBytes, DefaultOwnMaxBytes)
	if err := o.Namespace.Validate(); err != nil {
		return nil, fmt.Errorf("namespace %q: %w", string(o.Namespace), err)
	}
	b := &Bus{opts: o, log: o.Log, conn: newConnection(o.Log), positions: map[Consumer]position{}, publishing: semaphore.NewWeighted(maxPublished)}
	opts := append(b.conn.options(), nats.Name(o.Name), nats.CustomInboxPrefix(cmp.Or(o.Inbox, ProgramInbox)))
	if o.InProcess != nil {
		opts = append(opts, nats.InProcessServer(o.InProcess))
	} else if err := ValidateURL(o.URL); err != nil { // the client's own error quotes the URL
		return nil, fmt.Errorf("read URL of nats: %w", err)
	}
	credentials, err := o.Credentials.options()
	if err != nil {
		return nil, fmt.Errorf("read credentials for nats: %w", err)
	}
	if b.nc, err = nats.Connect(o.URL, append(opts, credentials...)...); err != nil {
		return nil, fmt.Errorf("connect to nats: %w", explain(err))
	}
	b.js, err = jetstream.New(b.nc, jetstream.WithPublishAsyncMaxPending(maxUnacked), jetstream.WithPublishAsyncTimeout(publishDeadline))
	if err != nil {
		b.nc.Close()
		return nil, fmt.Errorf("open jetstream: %w", err)
	}
	return b, nil
}

// Await returns when there has been a connection, and an error that says why there was none when ctx ends before.
func (b *Bus) Await(ctx context.Context) error { return b.conn.await(ctx) }

// Ready reports why NATS cannot be used now; nil if it can.
func (b *Bus) Ready(context.Context) error {
	if !b.nc.IsConnected() {
		return b.conn.reason()
	}
	return b.CheckServer() // each connection may lead to another server
}

// MaxPayload is the largest message in bytes that the server takes.
func (b *Bus) MaxPayload() int { return int(b.nc.MaxPayload()) }

// Close sends what is buffered and closes the connection.
func (b *Bus) Close() {
	if !b.nc.IsConnected() {
		b.nc.Close()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), publishDeadline)
	defer cancel()
	_ = b.nc.FlushWithContext(ctx) // there is nobody left to tell
	b.nc.Close()
}
