package webhook

import (
	"strings"
	"time"

	"github.com/google/uuid"
)

// ErrorClass says in one word why an attempt failed; it is empty for a success.
type ErrorClass string

// Error classes. They are recorded, counted in metrics and shown, so their spelling must never change.
const (
	ClassNone           ErrorClass = ""
	ClassDNS            ErrorClass = "dns_error"
	ClassRefused        ErrorClass = "connection_refused"
	ClassConnectTimeout ErrorClass = "connect_timeout"
	ClassReset          ErrorClass = "connection_reset"
	ClassConnection     ErrorClass = "connection_error"
	ClassTLS            ErrorClass = "tls_error"
	ClassTLSExpired     ErrorClass = "tls_expired"
	ClassTLSHostname    ErrorClass = "tls_hostname"
	ClassTLSUntrusted   ErrorClass = "tls_untrusted"
	ClassTLSVersion     ErrorClass = "tls_version"
	ClassTimeout        ErrorClass = "timeout"
	ClassIncomplete     ErrorClass = "request_incomplete"
	ClassRedirect       ErrorClass = "redirect_not_followed"
	ClassStatus         ErrorClass = "http_status"
	ClassProtocol       ErrorClass = "protocol_error"
	ClassForbidden      ErrorClass = "target_forbidden"
	ClassHeaders        ErrorClass = "response_headers_too_large"
	ClassRequest        ErrorClass = "request_invalid"
	ClassAuth           ErrorClass = "auth_failed"
	ClassTransform      ErrorClass = "transform_failed"
	ClassCondition      ErrorClass = "success_condition"
	ClassSigning        ErrorClass = "signing_key_missing"
)

// Asked reports whether the receiver may have been involved. It was not if no request could be produced.
func (c ErrorClass) Asked() bool { return c != ClassTransform && c != ClassSigning }

// AttemptOutcome is the result of one HTTP request.
type AttemptOutcome string

// Outcomes of attempts.
const (
	// Succeeded: the receiver's answer counts as delivered.
	Succeeded AttemptOutcome = "succeeded"
	// Failed: any other result that we saw.
	Failed AttemptOutcome = "failed"
	// Unknown: the worker died between sending and recording, so the receiver may or may not have got the request.
	Unknown AttemptOutcome = "unknown"
)

// Attempt is one HTTP request for a delivery.
type Attempt struct {
	DeliveryID  uuid.UUID
	PublishedAt time.Time // of the event; determines the partition
	// Number counts from 1 within the delivery.
	Number    int
	Tenant    string
	HookID    uuid.UUID
	StartedAt time.Time
	Duration  time.Duration
	Outcome   AttemptOutcome
	// Status is the HTTP status, or 0 if no answer came.
	Status int
	Class  ErrorClass
	// Error is one sentence for people; empty for a success.
	Error  string
	Worker string
	Replay bool

	Method         string
	URL            string
	RequestHeaders []Header
	RequestSize    int
	// BodyDigest is the SHA-256 of the body, or nil if none was sent or it is unknown.
	BodyDigest      []byte
	ResponseHeaders []Header
	// ResponseBody is at most 16 KiB.
	ResponseBody []byte
	// Truncated says that the receiver's body continued after ResponseBody, or broke off.
	Truncated bool
	Timings   Timings
}

// Header is one HTTP header line.
type Header struct {
	Name  string
	Value string
}

// ParseHeaderLines parses header lines in HTTP notation, "Name: value" joined by line feeds. It skips other lines.
func ParseHeaderLines(text string) []Header {
	var list []Header
	for line := range strings.SplitSeq(text, "\n") {
		if name, value, ok := strings.Cut(line, ": "); ok {
			list = append(list, Header{Name: name, Value: value})
		}
	}
	return list
}

// Timings are the parts of an attempt's duration. The parts of making a connection are zero if it was reused.
type Timings struct {
	DNS       time.Duration
	Connect   time.Duration
	TLS       time.Duration
	FirstByte time.Duration
}
