package httpsig_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/httpsig"
)

// signed returns a request that the key has signed, and the key's set.
func signed(t *testing.T, algorithm string, at time.Time) (*httpsig.Request, httpsig.KeySet) {
	t.Helper()
	k, err := httpsig.Generate(algorithm)
	require.NoError(t, err)
	m := httpsig.Message{
		Method: "POST", Authority: "example.com", Path: "/a%2Fb?x=1", ContentType: "application/json", ID: "d-1", Body: []byte(`{"a": 1}`), At: at,
	}
	k.Algorithm = algorithm
	headers, err := k.Sign(&m)
	require.NoError(t, err)
	r := &httpsig.Request{Method: m.Method, Authority: "Example.com", Path: m.Path, Body: m.Body, Header: http.Header{}}
	for _, h := range headers {
		r.Header.Set(h.Name, h.Value)
	}
	r.Header.Set("Content-Type", m.ContentType)
	r.Header.Set("Webhook-Id", m.ID)
	r.Header.Set("Webhook-Timestamp", strings.Split(strings.Split(r.Header.Get("Signature-Input"), "created=")[1], ";")[0])
	raw, err := json.Marshal(map[string]any{"keys": []any{map[string]string{"kty": "RSA", "kid": "other"}, k.Public}})
	require.NoError(t, err)
	keys, err := httpsig.ParseKeySet(raw)
	require.NoError(t, err)
	return r, keys
}

func TestWhatIsSignedVerifies(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, algorithm := range webhook.MessageAlgorithms() {
		r, keys := signed(t, algorithm, now)
		require.NoError(t, keys.Verify(r, now, time.Minute), algorithm)
	}
}

func TestWhatIsWrongWithASignatureIsSaid(t *testing.T) {
	t.Parallel()
	now := time.Now()
	set := func(name, old, with string) func(*httpsig.Request) {
		return func(r *httpsig.Request) { r.Header.Set(name, strings.Replace(r.Header.Get(name), old, with, 1)) }
	}
	for why, spoil := range map[string]func(*httpsig.Request){
		"there is no Signature-Input and Signature":                func(r *httpsig.Request) { r.Header.Del("Signature") },
		"Content-Digest is not that of the body":                   func(r *httpsig.Request) { r.Body = []byte(`{"a": 2}`) },
		"there is no Content-Digest":                               func(r *httpsig.Request) { r.Header.Del("Content-Digest") },
		"is not what key":                                          func(r *httpsig.Request) { r.Method = "PUT" },
		"covers webhook-id, which the request does not have":       func(r *httpsig.Request) { r.Header.Del("Webhook-Id") },
		"the key set has no such key":                              set("Signature-Input", `keyid="`, `keyid="x`),
		"does not cover @method":                                   set("Signature-Input", `"@method" `, ""),
		"does not cover @query":                                    set("Signature-Input", ` "@query"`, ""),
		"covers @status, which Whisperer does not sign":            set("Signature-Input", `"@method"`, `"@method" "@status"`),
		"covers @method twice":                                     set("Signature-Input", `"@method"`, `"@method" "@method"`),
		"does not say when it was created":                         set("Signature-Input", "created=", "made="),
		"is not label=(components);parameters":                     set("Signature-Input", "(", ""),
		"the component @method is not a name in quotes":            set("Signature-Input", `"@method"`, "@method"),
		"there is no sig1 in Signature, which Signature-Input has": set("Signature", "sig1", "sig2"),
		"the signature sig1 is not base64 between colons":          set("Signature", "sig1=:", "sig1=:*"),
	} {
		r, keys := signed(t, webhook.ECDSAP256, now)
		spoil(r)
		require.ErrorContains(t, keys.Verify(r, now, time.Minute), why)
	}
	for _, spoil := range []func(*httpsig.Request){
		func(r *httpsig.Request) { r.Authority = "other.com" }, func(r *httpsig.Request) { r.Path = "/a/b?x=1" }, set("Webhook-Id", "d-1", "d-2"),
		set("Signature-Input", `alg="ed25519"`, `alg="ecdsa-p256-sha256"`), func(r *httpsig.Request) { r.Header.Set("Signature", "sig1=:AAAA:") },
	} {
		r, keys := signed(t, webhook.Ed25519, now)
		spoil(r)
		require.ErrorContains(t, keys.Verify(r, now, time.Minute), "is not what key")
	}
	r, keys := signed(t, webhook.Ed25519, now.Add(-time.Hour))
	err := keys.Verify(r, now, time.Minute)
	require.ErrorContains(t, err, "was created 1h")
	require.True(t, httpsig.IsStale(err))
	_, err = httpsig.ParseKeySet([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA"}]}`))
	require.ErrorContains(t, err, "no key with ES256 or EdDSA")
	_, err = httpsig.ParseKeySet([]byte(`<html>`))
	require.ErrorContains(t, err, "read key set")
}
