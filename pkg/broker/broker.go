// Package broker connects to NATS as every program does that publishes events to Whisperer, and publishes them: package
// publisher is built on it, and so are Whisperer's own services. Programs that publish use package publisher.
package broker

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
)

// Options say how to reach NATS and as whom.
type Options struct {
	// URL of the servers, separated by commas; not used with InProcess.
	URL string
	// InProcess is an embedded server; nil for one behind URL.
	InProcess nats.InProcessConnProvider
	// Name of the connection, as the server's monitoring shows it.
	Name string
	// Credentials say as whom.
	Credentials Credentials
	// Inbox begins the subjects on which answers come.
	Inbox string
	// Namespace begins the names of streams and subjects.
	Namespace Namespace
	Log       *zap.Logger
}

const (
	// maxPublished is how many events may be on their way to the server at once.
	maxPublished = 3000
	// maxUnacked is how many messages may be; the others are retries.
	maxUnacked = maxPublished + 1000
)

// PublishDeadline bounds every publish: a server whose disk is full gives no answer at all.
const PublishDeadline = 5 * time.Second

// Conn is a connection to NATS. It reconnects by itself for as long as it is open.
type Conn struct {
	nc        *nats.Conn
	js        jetstream.JetStream
	namespace Namespace
	state     *state
	// publishing has room for the events that are on their way to the server.
	publishing *semaphore.Weighted
	acks       *acks
}

// Open begins to connect to NATS, which goes on for as long as it takes: Ready says why it takes long. The error says what
// cannot be used of the options.
func Open(o Options) (*Conn, error) {
	if err := o.Namespace.Validate(); err != nil {
		return nil, fmt.Errorf("namespace %q: %w", string(o.Namespace), err)
	}
	c := &Conn{namespace: o.Namespace, state: newState(o.Log), publishing: semaphore.NewWeighted(maxPublished)}
	opts := append(c.state.options(), nats.Name(o.Name), nats.CustomInboxPrefix(cmp.Or(o.Inbox, nats.InboxPrefix[:len(nats.InboxPrefix)-1])))
	if o.InProcess != nil {
		opts = append(opts, nats.InProcessServer(o.InProcess))
	} else if err := ValidateURL(o.URL); err != nil { // the client's own error quotes the URL
		return nil, fmt.Errorf("read URL of nats: %w", err)
	}
	credentials, err := o.Credentials.options()
	if err != nil {
		return nil, fmt.Errorf("read credentials for nats: %w", err)
	}
	if c.nc, err = nats.Connect(o.URL, append(opts, credentials...)...); err != nil {
		return nil, fmt.Errorf("connect to nats: %w", explain(err))
	}
	c.js, err = jetstream.New(c.nc, jetstream.WithPublishAsyncMaxPending(maxUnacked), jetstream.WithPublishAsyncTimeout(PublishDeadline))
	if err != nil {
		c.nc.Close()
		return nil, fmt.Errorf("open jetstream: %w", err)
	}
	c.acks = newAcks(c.nc, c.publishing)
	return c, nil
}

// Over publishes by a JetStream that is reached already, such as a simulated one; what concerns the server itself needs Open.
func Over(js jetstream.JetStream, log *zap.Logger) *Conn {
	return &Conn{js: js, state: newState(log), publishing: semaphore.NewWeighted(maxPublished)}
}

// NATS is the connection itself, and JetStream what is asked through it: for what this package does not do.
func (c *Conn) NATS() *nats.Conn { return c.nc }

// JetStream belongs to NATS.
func (c *Conn) JetStream() jetstream.JetStream { return c.js }

// Await returns when there has been a connection, and an error that says why there was none when ctx ends before.
func (c *Conn) Await(ctx context.Context) error { return c.state.await(ctx) }

// Ready reports why NATS cannot be used now; nil if it can.
func (c *Conn) Ready(context.Context) error {
	if !c.nc.IsConnected() {
		return c.state.reason()
	}
	return c.CheckServer() // each connection may lead to another server
}

// MaxPayload is the largest message in bytes that the server takes.
func (c *Conn) MaxPayload() int { return int(c.nc.MaxPayload()) }

// Close sends what is buffered and closes the connection.
func (c *Conn) Close() {
	if !c.nc.IsConnected() {
		c.nc.Close()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), PublishDeadline)
	defer cancel()
	_ = c.nc.FlushWithContext(ctx) // there is nobody left to tell
	c.nc.Close()
}

// Connect is Open and Await.
func Connect(ctx context.Context, o Options) (*Conn, error) {
	c, err := Open(o)
	if err != nil {
		return nil, err
	}
	if err := c.Await(ctx); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}
