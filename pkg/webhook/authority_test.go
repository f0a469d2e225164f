package webhook_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	mathbig "math/big"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// authority signs certificates that only tests trust.
type authority struct {
	pool *x509.CertPool
	pem  string

	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: mathbig.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	a := &authority{cert: template, pool: x509.NewCertPool()}
	a.pem, _, a.key = a.sign(t, template)
	a.pool.AppendCertsFromPEM([]byte(a.pem))
	return a
}

// issue returns a client certificate and its key as PEM.
func (a *authority) issue(t *testing.T, until time.Time) (certificate, key string) {
	t.Helper()
	certificate, key, _ = a.sign(t, &x509.Certificate{
		SerialNumber: mathbig.NewInt(2), Subject: pkix.Name{CommonName: "client"}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: until,
	})
	return certificate, key
}

func (a *authority) sign(t *testing.T, template *x509.Certificate) (certificate, key string, private *ecdsa.PrivateKey) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	signer := a.key
	if signer == nil { // self-signed
		signer = private
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &private.PublicKey, signer)
	require.NoError(t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	encode := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return encode("CERTIFICATE", der), encode("PRIVATE KEY", raw), private
}
