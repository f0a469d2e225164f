package egress

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Whether the receiver requested a client certificate in the TLS handshake, and what it got.
const (
	notAsked         int32 = iota
	noCertificate          // it requested one, and none is configured
	otherCertificate       // it requested one of authorities that did not issue ours
	ourCertificate         // it requested one and got ours
)

// clientTexts explain, by the values above, why a receiver that refuses the connection may dislike our client
// certificate.
var clientTexts = map[int32]string{
	noCertificate:    "the receiver requires a client certificate, and there is none: set config.tls.client_certificate and client_key",
	otherCertificate: "the receiver requires a client certificate of other authorities than the one that issued config.tls.client_certificate",
	ourCertificate:   "the receiver refused the client certificate of config.tls",
}

// certificateAlerts are the alerts about a client certificate, by their texts in crypto/tls, which does not export
// the numbers.
var certificateAlerts = map[string]string{
	"certificate required":          "the receiver requires a client certificate",
	"bad certificate":               "",
	"unsupported certificate":       ": it is of a kind that the receiver does not support",
	"revoked certificate":           ": it has been revoked",
	"expired certificate":           ": it has expired",
	"unknown certificate":           "",
	"unknown certificate authority": ": the receiver does not know the authority that issued it",
	"access denied":                 ": it may not have access",
}

// alertTexts explains the other alerts that a receiver may send.
var alertTexts = map[string]string{
	"handshake failure":           "the receiver ended the TLS handshake: it has no version, cipher or key type in common with us, or requires a client certificate",
	"insufficient security level": "the receiver ended the TLS handshake: it has no cipher in common with us",
	"unrecognized name":           "the receiver does not know the target's host name (TLS server name)",
	"no application protocol":     "the receiver speaks neither HTTP/2 nor HTTP/1.1 by TLS",
	"internal error":              "the receiver ended the TLS handshake because of an error of its own",
}

// alertOf returns the text of the TLS alert if err is an alert sent by the receiver.
func alertOf(err error) (text string, ok bool) {
	var remote *net.OpError
	if !errors.As(err, &remote) || remote.Op != "remote error" {
		return "", false
	}
	return strings.TrimPrefix(remote.Err.Error(), "tls: "), true
}

// classifyAlert converts a TLS alert of the receiver. In TLS 1.3 an alert about our certificate comes after the
// handshake.
func classifyAlert(err error, alert string, asked int32) *failure {
	f := &failure{class: webhook.ClassTLS, text: "the receiver ended the TLS connection by an alert", cause: err}
	detail, certificate := certificateAlerts[alert]
	switch {
	case alert == "protocol version not supported":
		f.class, f.text = webhook.ClassTLSVersion, "the receiver does not speak TLS 1.2 or newer"
	case certificate && asked == ourCertificate && strings.HasPrefix(detail, ":"):
		f.text = clientTexts[ourCertificate] + detail
	case certificate && asked != notAsked, alert == "handshake failure" && (asked == noCertificate || asked == otherCertificate):
		f.text = clientTexts[asked]
	case certificate:
		f.text = clientTexts[noCertificate]
	case alertTexts[alert] != "":
		f.text = alertTexts[alert]
	}
	return f
}

// explain names the client certificate as the cause if a receiver that requested one ends the connection right after
// the handshake, as it may without an alert. It returns other errors unchanged.
func explain(err error, asked int32) error {
	if asked == notAsked {
		return err
	}
	if alert, ok := alertOf(err); ok {
		return classifyAlert(err, alert, asked)
	}
	if hungUp(err) || strings.Contains(err.Error(), "client conn could not be established") {
		return &failure{class: webhook.ClassTLS, text: "the receiver closed the connection after the TLS handshake: " + clientTexts[asked], cause: err}
	}
	return err
}

func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func classifyTLS(err error, asked int32) *failure {
	f := &failure{class: webhook.ClassTLS, text: "the TLS handshake failed", cause: err}
	var record tls.RecordHeaderError
	if untrusted := classifyCertificate(err); untrusted != nil {
		return untrusted
	}
	if alert, ok := alertOf(err); ok {
		return classifyAlert(err, alert, asked)
	}
	switch {
	case errors.As(err, &record):
		f.text = "the receiver does not speak TLS on this port"
	case isTimeout(err):
		f.text = "the TLS handshake was not done in time"
	case hungUp(err) && asked != notAsked:
		f.text = "the receiver closed the connection during the TLS handshake: " + clientTexts[asked]
	case hungUp(err):
		f.text = "the receiver closed the connection during the TLS handshake"
	case strings.Contains(err.Error(), "protocol version"): // crypto/tls has no type for an unsupported protocol version
		f.class, f.text = webhook.ClassTLSVersion, "the receiver does not speak TLS 1.2 or newer"
	}
	return f
}

// classifyCertificate says what is wrong with the receiver's certificate. It returns nil if the error is not about
// that.
func classifyCertificate(err error) *failure {
	var (
		invalid   x509.CertificateInvalidError
		hostname  x509.HostnameError
		authority x509.UnknownAuthorityError
		roots     x509.SystemRootsError
	)
	refuse := func(class webhook.ErrorClass, text string) *failure {
		return &failure{class: class, text: "the receiver's certificate " + text, cause: err}
	}
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return refuse(webhook.ClassTLSExpired, validity(invalid.Cert))
	case errors.As(err, &hostname):
		return refuse(webhook.ClassTLSHostname, nameOf(hostname))
	case errors.As(err, &authority):
		return refuse(webhook.ClassTLSUntrusted, missingLink(err))
	case errors.As(err, &invalid) && invalid.Reason == x509.IncompatibleUsage:
		return refuse(webhook.ClassTLSUntrusted, "is not one for servers")
	case errors.As(err, &invalid):
		return refuse(webhook.ClassTLSUntrusted, "is signed by a certificate that may not sign it")
	case errors.As(err, &roots):
		return refuse(webhook.ClassTLSUntrusted, "cannot be checked: no trusted authorities are installed here")
	}
	return nil
}

// nameOf returns the name that the certificate is not valid for.
func nameOf(err x509.HostnameError) string {
	if c := err.Certificate; c != nil && len(c.DNSNames)+len(c.IPAddresses) == 0 {
		return "has no host name in it (subjectAltName)"
	}
	return "is for another host name"
}

// validity says why a certificate of the chain is not valid at this time.
func validity(c *x509.Certificate) string {
	switch {
	case c == nil:
		return "has expired or is not valid yet"
	case c.IsCA && time.Now().After(c.NotAfter):
		return "is signed by an intermediate certificate that has expired"
	case time.Now().After(c.NotAfter):
		return "has expired"
	default:
		return "is not valid yet"
	}
}

// missingLink says why the receiver's certificate does not lead to a trusted authority.
func missingLink(err error) string {
	var unverified *tls.CertificateVerificationError
	if !errors.As(err, &unverified) || len(unverified.UnverifiedCertificates) == 0 {
		return "is not signed by an authority that is trusted here"
	}
	chain := unverified.UnverifiedCertificates
	switch leaf := chain[0]; {
	case bytes.Equal(leaf.RawIssuer, leaf.RawSubject):
		return "is self-signed: use one of a public authority, or pin it as config.tls.ca"
	case len(chain) == 1:
		return "came without the intermediate certificate that signed it: the receiver has to send its whole chain, " +
			"or, if its authority is a private one, pin that as config.tls.ca"
	default:
		return "is signed by an authority that is not trusted here: pin it as config.tls.ca"
	}
}
