package testenv

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Authority signs certificates that only tests trust.
type Authority struct {
	// Pool contains the authority's own certificate, and PEM is that certificate.
	Pool *x509.CertPool
	PEM  string

	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// NewAuthority returns a new authority, which is valid for an hour.
func NewAuthority(tb testing.TB) *Authority {
	tb.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	key := newKey(tb)
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(tb, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(tb, err)
	a := &Authority{Pool: x509.NewCertPool(), PEM: encode("CERTIFICATE", der), cert: cert, key: key}
	a.Pool.AddCert(cert)
	return a
}

// Issue returns a certificate for a host name or address that is valid until the given time, for servers and clients.
func (a *Authority) Issue(tb testing.TB, host string, until time.Time) tls.Certificate {
	tb.Helper()
	cert, key := a.IssuePEM(tb, host, until)
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	require.NoError(tb, err)
	return pair
}

// IssuePEM is like Issue but returns PEM: the certificate and its key.
func (a *Authority) IssuePEM(tb testing.TB, host string, until time.Time) (certificate, key string) {
	tb.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: host}, DNSNames: []string{host},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: until,
	}
	if ip := net.ParseIP(host); ip != nil {
		template.DNSNames, template.IPAddresses = nil, []net.IP{ip}
	}
	private := newKey(tb)
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, a.key)
	require.NoError(tb, err)
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(tb, err)
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", raw)
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(tb, err)
	return key
}

func encode(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}
