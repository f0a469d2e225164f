package webhook_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// tlsConfig returns a config whose tls has the members, given as alternating names and values.
func tlsConfig(t *testing.T, members ...string) json.RawMessage {
	t.Helper()
	object := map[string]string{}
	for i := 0; i < len(members); i += 2 {
		object[members[i]] = members[i+1]
	}
	raw, err := json.Marshal(map[string]any{"tls": object, "mine": 1})
	require.NoError(t, err)
	return raw
}

func TestTLSIsTakenOutOfTheConfig(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	cert, key := ca.issue(t, time.Now().Add(time.Hour))
	c, err := webhook.ParseConfig(tlsConfig(t, "client_certificate", "about me\n"+cert+ca.pem, "client_key", key, "ca", ca.pem+ca.pem, "server_name", "a.example"))
	require.NoError(t, err)
	require.JSONEq(t, `{"mine":1}`, string(c.Raw))
	pair, err := c.TLS.Certificate()
	require.NoError(t, err)
	require.Len(t, pair.Certificate, 2)
	roots, err := c.TLS.Roots()
	require.NoError(t, err)
	require.True(t, roots.Equal(ca.pool))
	require.Empty(t, c.TLS.Shown().ClientKey)
	require.Equal(t, c.TLS.CA, c.TLS.Shown().CA)
	require.NotEmpty(t, c.TLS.ClientKey)
}

func TestAWrongTLSIsPointedAt(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	cert, key := ca.issue(t, time.Now().Add(time.Hour))
	_, another := ca.issue(t, time.Now().Add(time.Hour))
	expired, expiredKey := ca.issue(t, time.Now().Add(-time.Minute))
	encrypted := strings.ReplaceAll(key, "PRIVATE KEY", "ENCRYPTED PRIVATE KEY")
	for name, test := range map[string]struct {
		members []string
		want    string
		says    string
	}{
		"nothing":                          {nil, "/tls", "must have"},
		"a certificate without a key":      {[]string{"client_certificate", cert}, "/tls/client_key", "required"},
		"a key without a certificate":      {[]string{"client_key", key}, "/tls/client_certificate", "required"},
		"another's key":                    {[]string{"client_certificate", cert, "client_key", another}, "/tls/client_key", "not the private key"},
		"a key with a passphrase":          {[]string{"client_certificate", cert, "client_key", encrypted}, "/tls/client_key", "encrypted"},
		"a key that is none":               {[]string{"client_certificate", cert, "client_key", "canary"}, "/tls/client_key", "PEM"},
		"an expired certificate":           {[]string{"client_certificate", expired, "client_key", expiredKey}, "/tls/client_certificate", "expired on 20"},
		"a certificate that is none":       {[]string{"client_certificate", "canary", "client_key", key}, "/tls/client_certificate", "PEM"},
		"a key for a certificate":          {[]string{"client_certificate", key, "client_key", key}, "/tls/client_certificate", "something else"},
		"a broken certificate":             {[]string{"ca", "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n"}, "/tls/ca", "cannot be read"},
		"a CA that is none":                {[]string{"ca", "canary"}, "/tls/ca", "PEM"},
		"an expired CA":                    {[]string{"ca", ca.pem + expired}, "/tls/ca", "expired"},
		"a CA that is too large":           {[]string{"ca", strings.Repeat(ca.pem, 100)}, "/tls/ca", "32 KiB"},
		"a server name that is a URL":      {[]string{"server_name", "https://a.example"}, "/tls/server_name", "host name"},
		"a server name with a space in it": {[]string{"server_name", "a b"}, "/tls/server_name", "host name"},
		"an unknown field":                 {[]string{"cert", cert}, "/tls/cert", "not a known field"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := webhook.ParseConfig(tlsConfig(t, test.members...))
			require.Equal(t, []string{test.want}, pointers(t, err))
			require.ErrorContains(t, err, test.says)
			require.NotContains(t, fmt.Sprint(err), "canary")
		})
	}
}
