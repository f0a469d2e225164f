package egress

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/textproto"
	"strings"
	"syscall"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// failure is why a request got no answer: a class for programs, a sentence for people. The sentence is one of ours: it
// has nothing in it that a receiver, a certificate or a resolver has written. The cause is for errors.Is only.
type failure struct {
	class webhook.ErrorClass
	text  string
	cause error
}

func (f *failure) Error() string { return f.text }

func (f *failure) Unwrap() error { return f.cause }

func classifyDNS(err error) *failure {
	var dns *net.DNSError
	text := "the target's host name could not be resolved"
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		text = "the target's host name does not exist"
	case isTimeout(err):
		text = "the target's host name was not resolved in time"
	}
	return &failure{class: webhook.ClassDNS, text: text, cause: err}
}

func classifyConnect(err error) *failure {
	if f, ok := errors.AsType[*failure](err); ok { // the guard's
		return f
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return &failure{class: webhook.ClassRefused, text: "the receiver refused the connection", cause: err}
	case errors.Is(err, syscall.ECONNRESET):
		return &failure{class: webhook.ClassReset, text: "the receiver reset the connection", cause: err}
	case isTimeout(err):
		return &failure{class: webhook.ClassConnectTimeout, text: "the receiver did not take the connection in time", cause: err}
	default:
		return &failure{class: webhook.ClassConnection, text: "the receiver could not be reached", cause: err}
	}
}

func classifyTLS(err error) *failure {
	var (
		invalid   x509.CertificateInvalidError
		hostname  x509.HostnameError
		authority x509.UnknownAuthorityError
		roots     x509.SystemRootsError
		record    tls.RecordHeaderError
	)
	f := &failure{class: webhook.ClassTLS, text: "the TLS handshake failed", cause: err}
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		f.class, f.text = webhook.ClassTLSExpired, "the receiver's certificate has expired or is not valid yet"
	case errors.As(err, &hostname):
		f.class, f.text = webhook.ClassTLSHostname, "the receiver's certificate is for another host name"
	case errors.As(err, &authority), errors.As(err, &invalid), errors.As(err, &roots):
		f.class, f.text = webhook.ClassTLSUntrusted, "the receiver's certificate is not one that we can trust"
	case errors.As(err, &record):
		f.text = "the receiver does not speak TLS on this port"
	case isTimeout(err):
		f.text = "the TLS handshake was not done in time"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		f.text = "the receiver closed the connection during the TLS handshake"
	case strings.Contains(err.Error(), "protocol version"): // the alert, or the version it has chosen: not typed
		f.class, f.text = webhook.ClassTLSVersion, "the receiver does not speak TLS 1.2 or newer"
	}
	return f
}

// classify says what an error of the transport means. stage is how far the connection made for the request had come.
func classify(err error, stage int32) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if isTimeout(err) {
		return classifyTimeout(err, stage)
	}
	// What net/http does not export is told by its text.
	text := err.Error()
	switch {
	case strings.Contains(text, "response headers exceeded"), strings.Contains(text, "response header list larger"):
		return &failure{class: webhook.ClassHeaders, text: "the receiver's response headers are too large", cause: err}
	case strings.Contains(text, "client conn could not be established"): // HTTP/2 does not say what came instead: an alert of TLS 1.3, as a rule
		return &failure{class: webhook.ClassReset, text: "the receiver closed the connection before the request, as one does that does not accept our client certificate", cause: err}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), // closed by our reader, on their end
		strings.Contains(text, "server closed idle connection"):
		return &failure{class: webhook.ClassReset, text: "the receiver closed the connection without an answer", cause: err}
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), strings.Contains(text, "stream error:"):
		return &failure{class: webhook.ClassReset, text: "the receiver reset the connection", cause: err}
	}
	var protocol textproto.ProtocolError
	var network *net.OpError
	if errors.As(err, &network) && network.Op == "remote error" { // an alert of TLS 1.3, in which the server judges us last
		return &failure{class: webhook.ClassTLS, text: "the receiver refused the TLS connection: our client certificate is missing, or not one that it trusts", cause: err}
	}
	if !errors.As(err, &protocol) && errors.As(err, &network) {
		return &failure{class: webhook.ClassConnection, text: "the connection to the receiver broke", cause: err}
	}
	return &failure{class: webhook.ClassProtocol, text: "the receiver did not answer in valid HTTP", cause: err}
}

func classifyTimeout(err error, stage int32) *failure {
	switch stage {
	case stageDNS:
		return classifyDNS(err)
	case stageConnect:
		return classifyConnect(err)
	case stageTLS:
		return classifyTLS(err)
	default:
		return &failure{class: webhook.ClassTimeout, text: "the receiver did not answer in time", cause: err}
	}
}
