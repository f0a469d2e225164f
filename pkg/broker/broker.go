// Package broker connects to NATS and publishes events, for package publisher and for Whisperer's own services. Other
// programs use package publisher.
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

// Options configure the connection to NATS.
type Options struct {
	// URL lists the servers, separated by commas. It is not used with InProcess.
	URL string
	// InProcess is an embedded server, or nil to connect to URL.
	InProcess nats.InProcessConnProvider
	// Name is the connection's name in the server's monitoring.
	Name string
	// Credentials say as which user to connect.
	Credentials Credentials
	// Inbox is the prefix of the subjects on which replies come.
	Inbox string
	// Namespace is the prefix of the names of streams and subjects.
	Namespace Namespace
	Log       *zap.Logger
}

const (
	// maxPublished is how many events may be unacknowledged at once.
	maxPublished = 3000
	// maxUnacked is how many messages may be unacknowledged at once; those beyond maxPublished are retries.
	maxUnacked = maxPublished + 1000
)

// PublishDeadline bounds every publish, because a server whose disk is full does not answer at all.
const PublishDeadline = 5 * time.Second

// Conn is a connection to NATS. It reconnects by itself until it is closed.
type Conn struct {
	nc        *nats.Conn
	js        jetstream.JetStream
	namespace Namespace
	state     *state
	// publishing limits the unacknowledged events.
	publishing *semaphore.Weighted
	acks       *acks
}

// Open starts to connect to NATS and keeps trying in the background; Ready says why it is not connected yet. The
// error reports invalid options.
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

// Over returns a Conn over an existing JetStream, such as a simulated one. Methods that concern the server itself
// need Open.
func Over(js jetstream.JetStream, log *zap.Logger) *Conn {
	return &Conn{js: js, state: newState(log), publishing: semaphore.NewWeighted(maxPublished)}
}

// NATS returns the underlying connection, for what this package does not do.
func (c *Conn) NATS() *nats.Conn { return c.nc }

// JetStream returns the JetStream of the connection, for what this package does not do.
func (c *Conn) JetStream() jetstream.JetStream { return c.js }

// Await returns nil once a connection has been made. If ctx ends before that, the error says why there was none.
func (c *Conn) Await(ctx context.Context) error { return c.state.await(ctx) }

// Ready reports why NATS cannot be used now; nil means that it can.
func (c *Conn) Ready(context.Context) error {
	if !c.nc.IsConnected() {
		return c.state.reason()
	}
	return c.CheckServer() // each reconnect may lead to another server
}

// MaxPayload is the size in bytes of the largest message that the server accepts.
func (c *Conn) MaxPayload() int { return int(c.nc.MaxPayload()) }

// Close sends what is buffered and closes the connection.
func (c *Conn) Close() {
	if !c.nc.IsConnected() {
		c.nc.Close()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), PublishDeadline)
	defer cancel()
	_ = c.nc.FlushWithContext(ctx) // nobody is left to report an error to
	c.nc.Close()
}

// Connect calls Open and then Await.
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
