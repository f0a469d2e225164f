package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
)

// What a client may take for its part of a request. They bound what it costs to hold a connection, and are far from what
// a client that works needs.
const (
	// headerTimeout is how long the header of a request may take to arrive.
	headerTimeout = 5 * time.Second
	// writeTimeout is how long an answer may take as a whole, unless its handler sets a deadline of its own.
	writeTimeout = 30 * time.Second
	// idleTimeout is how long a connection may wait for its next request.
	idleTimeout = time.Minute
	// maxHeader bounds the header of a request, in bytes.
	maxHeader = 16 << 10
	// stallTime is how long a client may send or take nothing, and minRate is how many bytes a second it has to send or
	// take beyond that.
	stallTime = 5 * time.Second
	minRate   = 64 << 10
	// lastMoment is how long clients that have not sent their request, or have not taken their answer, are waited for when
	// the server stops.
	lastMoment = time.Second
)

// ServerOptions are what a Server is made of.
type ServerOptions struct {
	// Name tells the server apart in errors, logs and metrics.
	Name string
	// Addr is where to listen, with port 0 for a free one.
	Addr    string
	Handler http.Handler
	// MaxConns bounds the connections that are open at once, and MaxConnsPerAddr those of one address; 0 for no bound.
	MaxConns, MaxConnsPerAddr int
	// Proxies are those whose connections are many clients'.
	Proxies Proxies
	// StopTimeout is how long requests that are being worked on may take to finish at the end.
	StopTimeout time.Duration
	// Metrics gets the server's metrics.
	Metrics prometheus.Registerer
	// Log gets a line when connections have to be closed; nil for none.
	Log *zap.Logger
}

// Server is an HTTP server that clients cannot hold up. Headers, bodies and answers have deadlines and a least rate. Where
// as many connections are open as may be, the one that has kept the server waiting longest is closed for a new one: a
// request that has arrived is never given up for that.
type Server struct {
	options  ServerOptions
	conns    *conns
	http     *http.Server
	stopping chan struct{}
}

// NewServer listens on the address; requests are answered once Serve runs.
func NewServer(ctx context.Context, o ServerOptions) (*Server, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	conns, err := newConns(o)
	if err != nil {
		return nil, fmt.Errorf("register metrics of %s: %w", o.Name, err)
	}
	var config net.ListenConfig
	if conns.Listener, err = config.Listen(ctx, "tcp", o.Addr); err != nil {
		return nil, fmt.Errorf("listen for %s: %w", o.Name, err)
	}
	s := &Server{options: o, conns: conns, stopping: make(chan struct{})}
	s.http = &http.Server{
		Handler: s.guard(o.Handler), MaxHeaderBytes: maxHeader, ReadHeaderTimeout: headerTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, ConnContext: s.connContext,
	}
	if std, err := zap.NewStdLogAt(o.Log, zap.DebugLevel); err == nil {
		s.http.ErrorLog = std // what strangers send that is no request
	}
	return s, nil
}

// Addr is the address that is listened on, with its real port.
func (s *Server) Addr() string { return s.conns.Addr().String() }

// Close stops listening, where Serve is not going to run.
func (s *Server) Close() error { return s.conns.Close() }

// Serve answers requests until ctx ends, and then finishes those that have arrived.
func (s *Server) Serve(ctx context.Context, ready func()) error {
	var failure error // http.ErrServerClosed after a stop
	served := make(chan struct{})
	go func() {
		defer close(served)
		failure = s.http.Serve(s.conns)
	}()
	ready()
	select {
	case <-served:
		return fmt.Errorf("serve %s: %w", s.options.Name, failure)
	case <-ctx.Done():
	}
	close(s.stopping)
	finished := make(chan struct{})
	go s.hurry(finished)
	defer close(finished)
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.StopTimeout)
	defer cancel()
	err := s.http.Shutdown(limited)
	if err != nil {
		err = errors.Join(fmt.Errorf("finish requests to %s: %w", s.options.Name, err), s.http.Close())
	}
	<-served
	return err
}

// hurry closes the connections that keep a stopping server waiting, until it has finished.
func (s *Server) hurry(finished <-chan struct{}) {
	wait := lastMoment
	for {
		select {
		case <-finished:
			return
		case <-time.After(wait):
			s.conns.closeWaiting(wait)
			wait = lastMoment / 4
		}
	}
}

type serverKey struct{}

// served is what handlers can learn about where a request came from.
type served struct {
	conn   *conn
	server *Server
}

func (s *Server) connContext(ctx context.Context, c net.Conn) context.Context {
	own, _ := c.(*conn)
	return context.WithValue(ctx, serverKey{}, served{conn: own, server: s})
}

// Stopping is closed when the server that answers the request begins to stop: an answer that goes on until its client
// leaves has to end then. It is nil for a request that comes from no Server.
func Stopping(ctx context.Context) <-chan struct{} {
	if s, ok := ctx.Value(serverKey{}).(served); ok {
		return s.server.stopping
	}
	return nil
}
