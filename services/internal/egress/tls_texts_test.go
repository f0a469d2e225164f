package egress_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// signer is an authority, possibly below another one.
type signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// sign makes a certificate: for an authority if ca is set, self-signed if by is nil.
func sign(t *testing.T, by *signer, ca bool, change func(*x509.Certificate)) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: rand.Text()}, IsCA: ca, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(2 * time.Hour), DNSNames: []string{tlsName},
	}
	if ca {
		template.DNSNames, template.KeyUsage = nil, x509.KeyUsageCertSign
	}
	if change != nil {
		change(template)
	}
	parent, signingKey := template, key
	if by != nil {
		parent, signingKey = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signingKey)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &signer{cert: cert, key: key}
}

func (s *signer) with(chain ...*signer) tls.Certificate {
	c := tls.Certificate{Certificate: [][]byte{s.cert.Raw}, PrivateKey: s.key}
	for _, link := range chain {
		c.Certificate = append(c.Certificate, link.cert.Raw)
	}
	return c
}

func TestErrorsOfCertificatesNameWhatIsMissing(t *testing.T) {
	t.Parallel()
	root, foreign := sign(t, nil, true, nil), sign(t, nil, true, nil)
	intermediate := sign(t, root, true, nil)
	old := sign(t, root, true, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	leaf := sign(t, intermediate, false, nil)
	roots := x509.NewCertPool()
	roots.AddCert(root.cert)
	changed := func(change func(*x509.Certificate)) tls.Certificate { return sign(t, root, false, change).with() }
	for name, c := range map[string]struct {
		certificate tls.Certificate
		class       webhook.ErrorClass
		text        string
	}{
		"good":            {leaf.with(intermediate), webhook.ClassNone, ""},
		"no intermediate": {leaf.with(), webhook.ClassTLSUntrusted, "came without the intermediate certificate that signed it"},
		"self-signed":     {sign(t, nil, false, nil).with(), webhook.ClassTLSUntrusted, "is self-signed"},
		"foreign": {
			sign(t, foreign, false, nil).with(foreign), webhook.ClassTLSUntrusted, "is signed by an authority that is not trusted here: pin it as config.tls.ca",
		},
		"an intermediate that has expired": {sign(t, old, false, nil).with(old), webhook.ClassTLSExpired, "is signed by an intermediate certificate that has expired"},
		"expired":                          {changed(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }), webhook.ClassTLSExpired, "certificate has expired"},
		"of tomorrow":                      {changed(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }), webhook.ClassTLSExpired, "is not valid yet"},
		"another name":                     {changed(func(c *x509.Certificate) { c.DNSNames = []string{"other.example.com"} }), webhook.ClassTLSHostname, "is for another host name"},
		"only a common name": {
			changed(func(c *x509.Certificate) { c.DNSNames, c.Subject.CommonName = nil, tlsName }), webhook.ClassTLSHostname, "has no host name in it (subjectAltName)",
		},
		"for clients": {
			changed(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }), webhook.ClassTLSUntrusted, "is not one for servers",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := listen(t, serveTLS(&tls.Config{Certificates: []tls.Certificate{c.certificate}}, answering(empty200)))
			got := post(t, newClient(t, egress.Options{RootCAs: roots, Resolver: answers("127.0.0.1")}), "https://"+tlsName+":"+portOf(server))
			require.Equal(t, c.class, got.Class, "%v", got.Err)
			if c.text != "" {
				require.ErrorContains(t, got.Err, "the receiver's certificate ")
				require.ErrorContains(t, got.Err, c.text)
			}
		})
	}
}

func TestErrorsOfClientCertificatesNameWhatIsMissing(t *testing.T) {
	t.Parallel()
	ca, clients, others := testenv.NewAuthority(t), testenv.NewAuthority(t), sign(t, nil, true, nil)
	cert, key := ca.IssuePEM(t, "not theirs", time.Now().Add(time.Hour))
	old, oldKey := clients.IssuePEM(t, "of yesterday", time.Now().Add(-time.Hour))
	otherPool := x509.NewCertPool()
	otherPool.AddCert(others.cert)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, protocol := range []string{"h2", "http/1.1"} {
			for name, c := range map[string]struct {
				id    *webhook.TLS
				pool  *x509.CertPool
				abort bool
				text  string
			}{
				"none":                          {nil, clients.Pool, false, "requires a client certificate, and there is none: set config.tls.client_certificate and client_key"},
				"none, and hangs up":            {nil, clients.Pool, true, "requires a client certificate, and there is none"},
				"one of an unknown authority":   {&webhook.TLS{ClientCertificate: cert, ClientKey: key}, otherPool, false, "of other authorities than the one that issued config.tls.client_certificate"},
				"one that has expired":          {&webhook.TLS{ClientCertificate: old, ClientKey: oldKey}, clients.Pool, false, "refused the client certificate of config.tls"},
				"one that is refused, hangs up": {&webhook.TLS{ClientCertificate: old, ClientKey: oldKey}, clients.Pool, true, "refused the client certificate of config.tls"},
			} {
				t.Run(tls.VersionName(version)+" "+protocol+" "+name, func(t *testing.T) {
					t.Parallel()
					config := &tls.Config{
						Certificates: []tls.Certificate{ca.Issue(t, tlsName, time.Now().Add(time.Hour))}, ClientAuth: tls.RequireAndVerifyClientCert,
						ClientCAs: c.pool, MinVersion: version, MaxVersion: version, NextProtos: []string{protocol},
					}
					server := listen(t, func(_ *receiver, conn net.Conn) {
						if c.abort { // without an alert
							config := config.Clone()
							config.ClientAuth = tls.RequestClientCert
							config.VerifyConnection = func(tls.ConnectionState) error {
								reset(conn)
								return nil
							}
							_ = tls.Server(conn, config).HandshakeContext(t.Context())
							return
						}
						secured := tls.Server(conn, config)
						if secured.HandshakeContext(t.Context()) != nil {
							_ = conn.(*net.TCPConn).CloseWrite()
							hang(conn) // data that arrives after a close would cause a reset, which would discard the alert
						}
					})
					client := newClient(t, egress.Options{RootCAs: ca.Pool, Resolver: answers("127.0.0.1")})
					target, err := client.Prepare("https://" + tlsName + ":" + portOf(server))
					require.NoError(t, err)
					target, err = client.WithTLS(target, c.id)
					require.NoError(t, err)
					got := client.Do(t.Context(), egress.Request{Target: target, Body: []byte("{}")})
					require.Equal(t, webhook.ClassTLS, got.Class, "%v", got.Err)
					require.ErrorContains(t, got.Err, c.text)
				})
			}
		}
	}
}
