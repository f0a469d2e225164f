package webhook

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/netip"
	"strings"
	"time"
)

// Limits of config.tls, in bytes.
const (
	maxPEM        = 32 << 10
	maxServerName = 253
)

// TLS is config.tls: the client certificate for connections to the target URL's host, and whom to trust. ClientKey is
// secret.
type TLS struct {
	// ClientCertificate is a certificate followed by its chain, and ClientKey its private key, in PEM; both or none.
	ClientCertificate string `json:"client_certificate,omitempty"`
	ClientKey         string `json:"client_key,omitempty"`
	// CA has the only certificates, in PEM, that may sign the receiver's; empty means those that the system trusts.
	CA string `json:"ca,omitempty"`
	// ServerName is the name that the receiver's certificate must be valid for; empty means the target URL's host.
	ServerName string `json:"server_name,omitempty"`
}

// tlsMembers describes config.tls.
var tlsMembers = []Field{
	{
		Name: "client_certificate", Kind: KindText, MaxLength: maxPEM, Example: "-----BEGIN CERTIFICATE-----…",
		Help: "The client certificate and its intermediate certificates, in PEM",
	},
	{
		Name: "client_key", Kind: KindText, MaxLength: maxPEM, Hidden: true, Example: "-----BEGIN PRIVATE KEY-----…",
		Help: "The private key of client_certificate in PEM, without a passphrase; stored encrypted, and never shown",
	},
	{
		Name: "ca", Kind: KindText, MaxLength: maxPEM, Example: "-----BEGIN CERTIFICATE-----…",
		Help: "The only certificate authorities trusted for the receiver, in PEM; the system's if absent",
	},
	{
		Name: "server_name", Kind: KindText, MaxLength: maxServerName, Example: "hooks.example.com",
		Help: "The name that the receiver's certificate must contain; the host of target_url if absent",
	},
}

// Shown returns a copy without the private key.
func (t *TLS) Shown() *TLS {
	shown := *t
	shown.ClientKey = ""
	return &shown
}

// Certificate returns the client certificate with its key, or nil if there is none. The error says why they cannot be
// used, without revealing the key.
func (t *TLS) Certificate() (*tls.Certificate, error) {
	if t.ClientCertificate == "" && t.ClientKey == "" {
		return nil, nil //nolint:nilnil // a client certificate is not needed
	}
	pair, err := tls.X509KeyPair([]byte(t.ClientCertificate), []byte(t.ClientKey))
	if err != nil {
		return nil, errors.New("is not the private key of client_certificate, as PEM without a passphrase")
	}
	return &pair, nil
}

// Roots returns the certificates of CA, or nil if there are none. The error is a sentence about CA.
func (t *TLS) Roots() (*x509.CertPool, error) {
	if t.CA == "" {
		return nil, nil //nolint:nilnil // the system's, then
	}
	certificates, err := parseCertificates(t.CA)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	for _, c := range certificates {
		pool.AddCert(c)
	}
	return pool, nil
}

func parseTLS(raw json.RawMessage, now time.Time, p *ValidationError) *TLS {
	var t TLS
	if err := decodeStrict(raw, &t); err != nil {
		p.Collect("/tls", err)
		return nil
	}
	if t == (TLS{}) {
		p.Add("/tls", "must have client_certificate and client_key, ca or server_name")
		return nil
	}
	t.checkCertificate(now, p)
	if t.CA != "" {
		certificates, err := parseCertificates(t.CA)
		if err == nil {
			err = checkDates(certificates, now)
		}
		if err != nil {
			p.Add("/tls/ca", "%s", err)
		}
	}
	if _, err := netip.ParseAddr(t.ServerName); t.ServerName != "" && err != nil && !isHostName(t.ServerName) {
		p.Add("/tls/server_name", "must be a host name or an address")
	}
	return &t
}

func (t *TLS) checkCertificate(now time.Time, p *ValidationError) {
	switch {
	case t.ClientCertificate == "" && t.ClientKey == "":
		return
	case t.ClientCertificate == "":
		p.Add("/tls/client_certificate", "is required with client_key")
		return
	}
	certificates, err := parseCertificates(t.ClientCertificate)
	if err == nil {
		err = checkDates(certificates[:1], now)
	}
	if err != nil {
		p.Add("/tls/client_certificate", "%s", err)
		return
	}
	block, _ := pem.Decode([]byte(t.ClientKey))
	switch {
	case t.ClientKey == "":
		p.Add("/tls/client_key", "is required with client_certificate")
	case len(t.ClientKey) > maxPEM || block == nil:
		p.Add("/tls/client_key", "is not a private key in PEM")
	case block.Type == "ENCRYPTED PRIVATE KEY" || strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
		p.Add("/tls/client_key", "is encrypted: give it without a passphrase; it is sealed here")
	default:
		if _, err := t.Certificate(); err != nil {
			p.Add("/tls/client_key", "%s", err)
		}
	}
}

// parseCertificates parses one or more certificates; it ignores text between them, as PEM allows.
func parseCertificates(text string) ([]*x509.Certificate, error) {
	if len(text) > maxPEM {
		return nil, errors.New("is larger than 32 KiB")
	}
	var list []*x509.Certificate
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("has something else than certificates in it: " + Clip(block.Type))
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("has a certificate that cannot be read")
		}
		list = append(list, c)
	}
	if len(list) == 0 {
		return nil, errors.New("is not a certificate in PEM")
	}
	return list, nil
}

func checkDates(certificates []*x509.Certificate, now time.Time) error {
	for _, c := range certificates {
		if now.After(c.NotAfter) {
			return errors.New("has expired on " + c.NotAfter.UTC().Format(time.DateOnly))
		}
	}
	return nil
}

// isHostName reports whether s is a name of letters, digits and hyphens joined by dots.
func isHostName(s string) bool {
	if len(s) > maxServerName {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
			if !letter && (c < '0' || c > '9') && c != '-' {
				return false
			}
		}
	}
	return true
}
