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

// Limits on what a client may take for its part of a request. They bound the cost of holding a connection, and are
// far beyond what a working client needs.
const (
	// headerTimeout bounds the time for a request's header to arrive.
	headerTimeout = 5 * time.Second
	// writeTimeout bounds the whole response, unless its handler sets another deadline.
	writeTimeout = 30 * time.Second
	// idleTimeout is how long a connection may wait for its next request.
	idleTimeout = time.Minute
	// maxHeader bounds the header of a request, in bytes.
	maxHeader = 16 << 10
	// stallTime is how long a client may send or take nothing, and minRate the bytes per second that it must send or
	// take beyond that.
	stallTime = 5 * time.Second
	minRate   = 64 << 10
	// lastMoment is how long a stopping server waits for clients that have not sent their request or not taken their
	// response.
	lastMoment = time.Second
)

// ServerOptions configure a Server.
type ServerOptions struct {
	// Name identifies the server in errors, logs and metrics.
	Name string
	// Addr is the address to listen on; port 0 means a free port.
	Addr    string
	Handler http.Handler
	// MaxConns bounds the open connections, and MaxConnsPerAddr those of one address; 0 means no limit.
	MaxConns, MaxConnsPerAddr int
	// Proxies are the networks whose connections carry requests of many clients.
	Proxies Proxies
	// StopTimeout is how long requests in progress may take when the server stops.
	StopTimeout time.Duration
	// Metrics is the registry for the server's metrics.
	Metrics prometheus.Registerer
	// Log gets an entry when connections have to be closed; may be nil.
	Log *zap.Logger
}

// Server is an HTTP server that slow clients cannot block. Headers, bodies and responses have deadlines and a minimum
// rate. When the limit of open connections is reached, a new connection replaces the one that has kept the server
// waiting longest. A request that has arrived completely is never dropped for that.
type Server struct {
	options  ServerOptions
	conns    *conns
	http     *http.Server
	stopping chan struct{}
}

// NewServer listens on the address. It answers requests once Serve runs.
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
		s.http.ErrorLog = std // logs invalid requests of unknown clients
	}
	return s, nil
}

// Addr returns the address that it listens on, with the actual port.
func (s *Server) Addr() string { return s.conns.Addr().String() }

// Close stops listening. It is for servers whose Serve is never called.
func (s *Server) Close() error { return s.conns.Close() }

// Serve answers requests until ctx ends, and then finishes those that have arrived.
func (s *Server) Serve(ctx context.Context, ready func()) error {
	var failure error // http.ErrServerClosed after a shutdown
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

// served is what handlers can learn about the origin of a request.
type served struct {
	conn   *conn
	server *Server
}

func (s *Server) connContext(ctx context.Context, c net.Conn) context.Context {
	own, _ := c.(*conn)
	return context.WithValue(ctx, serverKey{}, served{conn: own, server: s})
}

// Stopping returns a channel that is closed when the server handling the request begins to stop. Responses that
// continue until the client leaves must end then. The channel is nil for requests that no Server handles.
func Stopping(ctx context.Context) <-chan struct{} {
	if s, ok := ctx.Value(serverKey{}).(served); ok {
		return s.server.stopping
	}
	return nil
}
