package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lib/pq"
)

const (
	// dialLimit is the time limit for opening a connection, from the first packet until the server is ready.
	dialLimit = 5 * time.Second
	// silence is how long a server may remain silent during a statement whose context has no deadline.
	silence = 30 * time.Second
	// grace is how long a statement may go on after its context's deadline. A working server cancels the statement within that
	// time, so that the connection can be kept.
	grace = time.Second
	// unacknowledged is how long the kernel waits for the other side to acknowledge sent data. If nothing is sent, keep-alives
	// detect a dead machine within the same time.
	unacknowledged = 15 * time.Second
)

// endsAlone makes the server end a session whose program is cut off in the middle of a transaction. Otherwise its locks would
// block other programs for as long as the server's own keep-alives take. Our transactions run one statement after another, so
// that no session of a live program is idle for long.
const endsAlone = `SET idle_in_transaction_session_timeout = '15s'; SET tcp_keepalives_idle = 5; SET tcp_keepalives_interval = 5;
	SET tcp_keepalives_count = 2`

// endsWhole is added for sessions that hold locks beyond their transactions, and whose statements may take long. The server
// then also ends them when they are idle between transactions, and in the middle of a statement when the program is gone. On
// Windows the server cannot check for the latter.
const endsWhole = `; SET idle_session_timeout = '15s';
	SELECT set_config('client_connection_check_interval', '5s', false) WHERE version() !~ 'Visual C|mingw|windows'`

// deadlineConnector makes connections on which no call waits forever. The driver itself waits for an answer without limit, even
// after the context of a call has ended, so that a frozen server or a network that drops all packets would block the caller.
type deadlineConnector struct {
	connector *pq.Connector
	silence   time.Duration // 0 if a statement may take any time
	settings  string
}

// Connect implements driver.Connector.
func (p deadlineConnector) Connect(ctx context.Context) (driver.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	d := &dialer{silence: p.silence}
	c := *p.connector
	c.Dialer(d)
	conn, err := c.Connect(ctx)
	switch {
	case errors.Is(err, pq.ErrSSLNotSupported):
		return nil, ErrNoTLS
	case err != nil:
		return nil, err
	}
	full, ok := conn.(fullConn)
	if !ok {
		return nil, errors.Join(errors.New("the driver does not know of contexts"), conn.Close())
	}
	if _, err := full.ExecContext(ctx, p.settings, nil); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	socket := d.newest()
	socket.limit(context.Background())
	return &deadlineConn{fullConn: full, socket: socket}, nil
}

// Driver implements driver.Connector.
func (p deadlineConnector) Driver() driver.Driver { return p.connector.Driver() }

// dialer makes the sockets of one connection: one for each server that is tried, and one for each cancellation.
type dialer struct {
	silence time.Duration

	mu   sync.Mutex
	last *socket
}

// newest returns the socket that was opened last.
func (d *dialer) newest() *socket {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

// Dial implements pq.Dialer.
func (d *dialer) Dial(network, address string) (net.Conn, error) {
	return d.DialTimeout(network, address, dialLimit)
}

// DialTimeout implements pq.Dialer.
func (d *dialer) DialTimeout(network, address string, limit time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return d.DialContext(ctx, network, address)
}

// DialContext implements pq.DialerContext. The context also bounds reads and writes on the socket, until limit is called.
func (d *dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	keep := net.KeepAliveConfig{Enable: true, Idle: unacknowledged / 3, Interval: unacknowledged / 3, Count: 2}
	conn, err := (&net.Dialer{KeepAliveConfig: keep, Control: setUserTimeout}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	s := &socket{Conn: conn, silence: d.silence}
	s.limit(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.last = s
	return s, nil
}

// socket is a connection whose reads and writes have a deadline.
type socket struct {
	net.Conn

	silence time.Duration
	until   atomic.Int64 // Unix time in nanoseconds; 0 if only silence limits calls
}

// limit bounds the following calls by the context's deadline, or by silence if it has none.
func (s *socket) limit(ctx context.Context) {
	if at, ok := ctx.Deadline(); ok {
		s.until.Store(at.Add(grace).UnixNano())
		return
	}
	s.until.Store(0)
}

func (s *socket) deadline() time.Time {
	if until := s.until.Load(); until != 0 {
		return time.Unix(0, until)
	}
	if s.silence == 0 {
		return time.Time{}
	}
	return time.Now().Add(s.silence)
}

// Read implements net.Conn.
func (s *socket) Read(b []byte) (int, error) {
	if err := s.SetReadDeadline(s.deadline()); err != nil {
		return 0, err
	}
	return s.Conn.Read(b)
}

// Write implements net.Conn.
func (s *socket) Write(b []byte) (int, error) {
	if err := s.SetWriteDeadline(s.deadline()); err != nil {
		return 0, err
	}
	return s.Conn.Write(b)
}

// fullConn lists the methods of the driver's connections.
type fullConn interface { //nolint:interfacebloat // what database/sql asks a connection for
	driver.Conn
	driver.Pinger
	driver.ExecerContext
	driver.QueryerContext
	driver.ConnPrepareContext
	driver.ConnBeginTx
	driver.SessionResetter
	driver.Validator
	driver.NamedValueChecker
}

// deadlineConn is a connection whose calls end with their context, even if the server remains silent.
type deadlineConn struct {
	fullConn

	socket *socket
}

// ResetSession implements driver.SessionResetter.
func (c *deadlineConn) ResetSession(ctx context.Context) error {
	c.socket.limit(ctx)
	return c.fullConn.ResetSession(ctx)
}

// Close implements driver.Conn. It ends the session properly, with a short deadline of its own, because that of the last
// call may have passed.
func (c *deadlineConn) Close() error {
	c.socket.until.Store(time.Now().Add(grace).UnixNano())
	return c.fullConn.Close()
}

// Ping implements driver.Pinger.
func (c *deadlineConn) Ping(ctx context.Context) error {
	c.socket.limit(ctx)
	return c.fullConn.Ping(ctx)
}

// ExecContext implements driver.ExecerContext.
func (c *deadlineConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	c.socket.limit(ctx)
	return c.fullConn.ExecContext(ctx, query, args)
}

// QueryContext implements driver.QueryerContext.
func (c *deadlineConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	c.socket.limit(ctx)
	return c.fullConn.QueryContext(ctx, query, args)
}

// PrepareContext implements driver.ConnPrepareContext.
func (c *deadlineConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	c.socket.limit(ctx)
	stmt, err := c.fullConn.PrepareContext(ctx, query)
	if full, ok := stmt.(fullStmt); ok && err == nil {
		return deadlineStmt{full, c.socket}, nil
	}
	return stmt, err // a COPY statement, whose calls have no context
}

// fullStmt lists the methods of the driver's statements.
type fullStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// deadlineStmt is a statement of a deadlineConn.
type deadlineStmt struct {
	fullStmt

	socket *socket
}

// ExecContext implements driver.StmtExecContext.
func (s deadlineStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	s.socket.limit(ctx)
	return s.fullStmt.ExecContext(ctx, args)
}

// QueryContext implements driver.StmtQueryContext.
func (s deadlineStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	s.socket.limit(ctx)
	return s.fullStmt.QueryContext(ctx, args)
}

// BeginTx implements driver.ConnBeginTx. Commit and rollback are bounded by the deadline of the transaction's last statement.
func (c *deadlineConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	c.socket.limit(ctx)
	return c.fullConn.BeginTx(ctx, opts)
}
