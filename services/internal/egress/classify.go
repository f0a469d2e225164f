package egress

import (
	"errors"
	"io"
	"net"
	"net/textproto"
	"strings"
	"syscall"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// failure says why a request got no answer: class is for programs, text for people. text never quotes a receiver, a
// certificate or a resolver. cause is only for errors.Is.
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
	if f, ok := errors.AsType[*failure](err); ok { // from the guard or the dialer
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

// classify converts an error of the transport. stage is how far the connection made for the request had come.
func classify(err error, stage int32) *failure {
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	if isTimeout(err) {
		return classifyTimeout(err, stage)
	}
	// net/http does not export these errors, so their texts have to be matched.
	text := err.Error()
	switch {
	case strings.Contains(text, "response headers exceeded"), strings.Contains(text, "response header list larger"):
		return &failure{class: webhook.ClassHeaders, text: "the receiver's response headers are too large", cause: err}
	case strings.Contains(text, "client conn could not be established"): // from HTTP/2, which does not say what happened
		return &failure{class: webhook.ClassReset, text: "the receiver closed the connection before the request", cause: err}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), // our reader closed it at its end
		strings.Contains(text, "server closed idle connection"),
		strings.Contains(text, "GOAWAY"), strings.Contains(text, "http2: client conn"): // from HTTP/2, before the stream was opened
		return &failure{class: webhook.ClassReset, text: "the receiver closed the connection without an answer", cause: err}
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), strings.Contains(text, "stream error:"):
		return &failure{class: webhook.ClassReset, text: "the receiver reset the connection", cause: err}
	}
	var protocol textproto.ProtocolError
	var network *net.OpError
	if alert, ok := alertOf(err); ok {
		return classifyAlert(err, alert, notAsked)
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
		return classifyTLS(err, notAsked)
	default:
		return &failure{class: webhook.ClassTimeout, text: "the receiver did not answer in time", cause: err}
	}
}
