package egress_test

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// mutual is a server that requests a client certificate and records whose it got.
type mutual struct {
	*httptest.Server

	mu     sync.Mutex
	names  []string
	resume []bool
}

func newMutual(t *testing.T, config *tls.Config) *mutual {
	t.Helper()
	m := &mutual{}
	m.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		defer m.mu.Unlock()
		name := "nobody"
		if len(r.TLS.PeerCertificates) > 0 {
			name = r.TLS.PeerCertificates[0].Subject.CommonName
		}
		m.names = append(m.names, name)
		m.resume = append(m.resume, r.TLS.DidResume)
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	m.TLS, m.EnableHTTP2 = config, true
	m.StartTLS()
	t.Cleanup(m.Close)
	return m
}

// call sends one request with the identity.
func (m *mutual) call(t *testing.T, c *egress.Client, host string, id *webhook.TLS) egress.Response {
	t.Helper()
	target, err := c.Prepare("https://" + host + m.URL[strings.LastIndexByte(m.URL, ':'):])
	require.NoError(t, err)
	target, err = c.WithTLS(target, id)
	require.NoError(t, err)
	return c.Do(t.Context(), egress.Request{Target: target, Body: []byte("{}")})
}

func TestAnIdentityIsShownToItsOwnReceiversOnly(t *testing.T) {
	t.Parallel()
	ca, clients := testenv.NewAuthority(t), testenv.NewAuthority(t)
	identity := func(name string) *webhook.TLS {
		cert, key := clients.IssuePEM(t, name, time.Now().Add(time.Hour))
		return &webhook.TLS{ClientCertificate: cert, ClientKey: key}
	}
	anna, bert := identity("anna"), identity("bert")
	for _, protocol := range []string{"h2", "http/1.1"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			server := newMutual(t, &tls.Config{
				Certificates: []tls.Certificate{ca.Issue(t, tlsName, time.Now().Add(time.Hour))}, NextProtos: []string{protocol},
				ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: clients.Pool,
			})
			client := newClient(t, egress.Options{RootCAs: ca.Pool, Resolver: answers("127.0.0.1")})
			for _, id := range []*webhook.TLS{nil, anna, bert, anna, nil, bert, bert, anna, nil} {
				require.True(t, server.call(t, client, tlsName, id).Success())
			}
			require.Equal(t, []string{"nobody", "anna", "bert", "anna", "nobody", "bert", "bert", "anna", "nobody"}, server.names)
			client.Close()
			for _, id := range []*webhook.TLS{anna, nil, bert} {
				require.True(t, server.call(t, client, tlsName, id).Success())
			}
			require.Equal(t, []string{"anna", "nobody", "bert"}, server.names[9:])
			if protocol == "http/1.1" {
				require.True(t, server.resume[10], "a session of nobody's is resumed by nobody")
			}
		})
	}
}

func TestAReceiverThatWantsACertificateRefusesWithoutIt(t *testing.T) {
	t.Parallel()
	ca, clients := testenv.NewAuthority(t), testenv.NewAuthority(t)
	cert, key := ca.IssuePEM(t, "not theirs", time.Now().Add(time.Hour))
	for version, name := range map[uint16]string{tls.VersionTLS12: "TLS 1.2", tls.VersionTLS13: "TLS 1.3"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newMutual(t, &tls.Config{
				Certificates: []tls.Certificate{ca.Issue(t, tlsName, time.Now().Add(time.Hour))}, ClientAuth: tls.RequireAndVerifyClientCert,
				ClientCAs: clients.Pool, MinVersion: version, MaxVersion: version,
			})
			client := newClient(t, egress.Options{RootCAs: ca.Pool, Resolver: answers("127.0.0.1")})
			for _, id := range []*webhook.TLS{nil, {ClientCertificate: cert, ClientKey: key}} {
				got := server.call(t, client, tlsName, id)
				require.Contains(t, []webhook.ErrorClass{webhook.ClassTLS, webhook.ClassReset}, got.Class, "%v", got.Err)
				require.Zero(t, got.Status)
			}
			require.Empty(t, server.names)
		})
	}
}

func TestPinnedAuthoritiesAloneAreTrusted(t *testing.T) {
	t.Parallel()
	public, private := testenv.NewAuthority(t), testenv.NewAuthority(t)
	server := func(ca *testenv.Authority) *mutual {
		return newMutual(t, &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, tlsName, time.Now().Add(time.Hour))}})
	}
	client := newClient(t, egress.Options{RootCAs: public.Pool, Resolver: answers("127.0.0.1")})
	pinned := &webhook.TLS{CA: private.PEM}
	require.Equal(t, webhook.ClassNone, server(private).call(t, client, tlsName, pinned).Class)
	require.Equal(t, webhook.ClassTLSUntrusted, server(public).call(t, client, tlsName, pinned).Class)
	require.Equal(t, webhook.ClassTLSUntrusted, server(private).call(t, client, tlsName, nil).Class)

	const behind = "load-balancer.example.com"
	require.Equal(t, webhook.ClassTLSHostname, server(private).call(t, client, behind, pinned).Class)
	named := &webhook.TLS{CA: private.PEM, ServerName: tlsName}
	require.Equal(t, webhook.ClassNone, server(private).call(t, client, behind, named).Class)
}

func TestIdentitiesDoNotLeadAroundTheGuard(t *testing.T) {
	t.Parallel()
	ca := testenv.NewAuthority(t)
	server := newMutual(t, &tls.Config{Certificates: []tls.Certificate{ca.Issue(t, tlsName, time.Now().Add(time.Hour))}})
	client := egress.NewClient(egress.Options{Resolver: answers("127.0.0.1"), Policy: egress.Policy{Ports: []uint16{443}}})
	t.Cleanup(client.Close)
	target, err := client.Prepare("https://" + tlsName + "/")
	require.NoError(t, err)
	target, err = client.WithTLS(target, &webhook.TLS{CA: ca.PEM, ServerName: "127.0.0.1"})
	require.NoError(t, err)
	require.Equal(t, webhook.ClassForbidden, client.Do(t.Context(), egress.Request{Target: target}).Class)
	require.Empty(t, server.names)
}

func TestManyIdentitiesGoOnWorking(t *testing.T) {
	t.Parallel()
	ca, clients := testenv.NewAuthority(t), testenv.NewAuthority(t)
	server := newMutual(t, &tls.Config{
		Certificates: []tls.Certificate{ca.Issue(t, tlsName, time.Now().Add(time.Hour))}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients.Pool,
	})
	cert, key := clients.IssuePEM(t, "anna", time.Now().Add(time.Hour))
	client := newClient(t, egress.Options{Resolver: answers("127.0.0.1")})
	for i := range 300 { // each is a different identity, because the text around its certificate differs
		id := &webhook.TLS{ClientCertificate: strings.Repeat("\n", i) + cert, ClientKey: key, CA: ca.PEM}
		require.Equal(t, webhook.ClassNone, server.call(t, client, tlsName, id).Class)
	}
	require.Len(t, server.names, 300)
}
