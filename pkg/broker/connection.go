package broker

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/zap"
)

// logAgain is how often a persistent connection problem is logged.
const logAgain = time.Minute

// state tracks the connection to NATS, to explain why there is none.
type state struct {
	log *zap.Logger
	// up is closed when the first connection is made.
	up chan struct{}

	mu sync.Mutex
	// trouble is the error of the last attempt to connect.
	trouble error
	// said maps each problem to when it was last logged.
	said map[string]time.Time
	// denied maps each subject that the server has not let us publish to, to when it refused.
	denied map[string]time.Time
}

func newState(log *zap.Logger) *state {
	return &state{log: log, up: make(chan struct{}), said: map[string]time.Time{}, denied: map[string]time.Time{}}
}

// options make the NATS client report everything that happens, and retry forever: even if the server refuses the
// credentials, because somebody may be about to fix them.
func (c *state) options() []nats.Option {
	connected := sync.OnceFunc(func() { close(c.up) })
	return []nats.Option{
		nats.MaxReconnects(-1), nats.RetryOnFailedConnect(true), nats.IgnoreAuthErrorAbort(), nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectJitter(250*time.Millisecond, 250*time.Millisecond), nats.PingInterval(5 * time.Second), nats.MaxPingsOutstanding(2),
		nats.ConnectHandler(func(*nats.Conn) {
			c.works()
			connected()
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			c.works()
			connected()
			c.log.Info("nats connection is back", zap.String("server", nc.ConnectedServerName()))
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				c.log.Warn("nats connection lost", zap.Error(err))
				c.because(fmt.Errorf("the connection was lost: %w", err))
			}
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) { c.failed(err) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { c.told(err) }),
	}
}

func (c *state) works() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trouble = nil
	clear(c.said)
}

// failed records why there is no connection, and logs it at once and then every minute.
func (c *state) failed(err error) {
	err = explain(err)
	c.because(err)
	c.say("cannot connect to nats", err)
}

// because records why there is no connection.
func (c *state) because(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trouble = err
}

// told handles an asynchronous error of the server.
func (c *state) told(err error) {
	if subject, ok := deniedSubject(err); ok {
		c.mu.Lock()
		if len(c.denied) > 100 {
			clear(c.denied)
		}
		c.denied[subject] = time.Now()
		c.mu.Unlock()
	}
	err = explain(err)
	if refusesCredentials(err) { // while reconnecting, only this callback gets the refusal
		c.because(err)
	}
	c.say("nats error", err)
}

func (c *state) say(what string, err error) {
	c.mu.Lock()
	key := what + kind(err)
	again := time.Since(c.said[key]) >= logAgain
	if again {
		c.said[key] = time.Now()
	}
	c.mu.Unlock()
	if again {
		c.log.Warn(what, zap.Error(err))
	}
}

// reason returns why there is no connection.
func (c *state) reason() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.trouble == nil {
		return ErrNotConnected
	}
	return loggedError{fmt.Errorf("%w: %w", ErrNotConnected, c.trouble)}
}

// loggedError marks an error that the connection logs itself.
type loggedError struct{ error }

func (e loggedError) Unwrap() error { return e.error }

// Logged is the method that daemon.Health.Watch looks for.
func (e loggedError) Logged() {}

// published adds to a publishing error that the server denied the subject, if it did so since the given time. The
// server sends no answer to a denied message, so the error alone is only a timeout.
func (c *state) published(subject string, since time.Time, err error) error {
	if err == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.denied[subject].Before(since) {
		return err
	}
	return fmt.Errorf("%w %s: %w", ErrDenied, subject, err)
}

// ErrDenied says that the NATS user may not publish to a subject. Always wrapped.
var ErrDenied = errors.New("this NATS user may not publish to")

var deniedPublish = regexp.MustCompile(`(?i)permissions violation for publish to "([^"]+)"`)

func deniedSubject(err error) (string, bool) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return "", false
	}
	found := deniedPublish.FindStringSubmatch(err.Error())
	if found == nil {
		return "", false
	}
	return found[1], true
}

// adviceError is an error with advice on how to fix it.
type adviceError struct {
	err    error
	advice string
}

func (e adviceError) Error() string { return e.err.Error() + ": " + e.advice }
func (e adviceError) Unwrap() error { return e.err }

// kind returns the same text for problems with the same fix.
func kind(err error) string {
	known, _ := errors.AsType[adviceError](err)
	return known.advice
}

const credentialNames = "WHISPERER_NATS_CREDS, _NKEY, _USER and _PASSWORD, or _TOKEN"

// explain adds advice to a connection error, if there is any.
func explain(err error) error {
	advice := adviceFor(err)
	if advice == "" {
		return err
	}
	return adviceError{err, advice}
}

func expiredCredentials(err error) bool {
	return errors.Is(err, nats.ErrAuthExpired) || errors.Is(err, nats.ErrAccountAuthExpired) || errors.Is(err, nats.ErrAuthRevoked)
}

// refusesCredentials reports whether the server rejects our credentials.
func refusesCredentials(err error) bool {
	return expiredCredentials(err) || errors.Is(err, nats.ErrAuthorization) || strings.Contains(strings.ToLower(err.Error()), "authorization violation")
}

func adviceFor(err error) string {
	var (
		authority x509.UnknownAuthorityError
		host      x509.HostnameError
		invalid   x509.CertificateInvalidError
		name      *net.DNSError
	)
	text := strings.ToLower(err.Error())
	says := func(part string) bool { return strings.Contains(text, part) }
	switch {
	case errors.Is(err, nats.ErrPermissionViolation):
		return "give this user the permissions that `whisperer nats permissions` prints"
	case expiredCredentials(err):
		return "give the programs new credentials: " + credentialNames
	case refusesCredentials(err), errors.Is(err, nats.ErrNkeysNotSupported):
		return "the server refuses these credentials: set " + credentialNames + " to those of a user that it knows"
	case errors.As(err, &authority), says("unknown authority"):
		return "set WHISPERER_NATS_CA_FILE to the certificate of the authority that signs the server's"
	case errors.As(err, &host):
		return "use a name that the server's certificate has in WHISPERER_NATS_URL, or give the server a certificate with that name"
	case errors.As(err, &invalid):
		return "give the server a certificate that is valid now, and look at the clocks"
	case says("certificate required"), says("bad certificate"), says("remote error: tls"):
		return "the server wants a certificate that it trusts: set WHISPERER_NATS_CLIENT_CERT_FILE and WHISPERER_NATS_CLIENT_KEY_FILE"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the server has ended the connection: look at its log; where it asks for a certificate, set WHISPERER_NATS_CLIENT_CERT_FILE and WHISPERER_NATS_CLIENT_KEY_FILE"
	case errors.Is(err, nats.ErrSecureConnWanted):
		return "the server has no TLS: write nats:// in WHISPERER_NATS_URL and set no certificates, or configure the server's tls"
	case errors.As(err, &name):
		return "no server of this name is known here: look at WHISPERER_NATS_URL and at DNS"
	case says("connection refused"), says("i/o timeout"), says("no route to host"), errors.Is(err, nats.ErrTimeout), errors.Is(err, nats.ErrNoServers):
		return "look whether nats-server runs, at WHISPERER_NATS_URL and at the network"
	}
	return ""
}

// ValidateURL reports what is wrong with URLs of NATS servers. The error leaves out any password.
func ValidateURL(urls string) error {
	for one := range strings.SplitSeq(urls, ",") {
		one = strings.TrimSpace(one)
		if !strings.Contains(one, "://") {
			one = "nats://" + one
		}
		u, err := url.Parse(one)
		if err != nil || u.Hostname() == "" {
			return errors.New("must be URLs such as nats://host:4222, separated by commas; characters such as @ and / in a password are written as %40 and %2F")
		}
		switch u.Scheme {
		case "nats", "tls", "ws", "wss":
		default:
			return fmt.Errorf("must begin with nats://, tls://, ws:// or wss://, not %s://", u.Scheme)
		}
	}
	return nil
}

// await returns nil once a connection has been made, or the reason why there was none when ctx ends.
func (c *state) await(ctx context.Context) error {
	select {
	case <-c.up:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("connect to nats: %w: %w", ctx.Err(), c.reason())
	}
}
