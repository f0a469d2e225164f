package httpsig_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/httpsig"
)

// seed is the private half of test-key-ed25519 of RFC 9421 appendix B.1.4 (the same as in RFC 8037 appendix A.1), as
// PKCS #8.
const seed = "MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF"

func ed25519Of(t *testing.T) httpsig.Key {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(seed)
	require.NoError(t, err)
	k := httpsig.Key{ID: "poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U"}
	require.NoError(t, k.SetPrivate(der), "the thumbprint is that of the test key of RFC 9421")
	k.Algorithm = webhook.Ed25519
	return k
}

func TestTheThumbprintIsTheRFCs(t *testing.T) {
	t.Parallel()
	k := ed25519Of(t)
	require.True(t, k.CanSign())
	k.ID = "x"
	der, err := base64.StdEncoding.DecodeString(seed)
	require.NoError(t, err)
	require.ErrorContains(t, k.SetPrivate(der), "is another key's")
	require.Error(t, k.SetPrivate([]byte("no key")))
	for _, algorithm := range webhook.MessageAlgorithms() {
		made, err := httpsig.Generate(algorithm)
		require.NoError(t, err)
		private, err := made.Private()
		require.NoError(t, err)
		same := httpsig.Key{ID: made.ID}
		require.NoError(t, same.SetPrivate(private))
		require.NotContains(t, fmt.Sprintf("%v %+v %#v %s", made, made, made, &made), "private")
	}
	_, err = httpsig.Generate("rsa")
	require.ErrorContains(t, err, "rsa")
}

func TestAJWSVerifiesWithTheKeySetAlone(t *testing.T) {
	t.Parallel()
	for _, algorithm := range webhook.MessageAlgorithms() {
		k, err := httpsig.Generate(algorithm)
		require.NoError(t, err)
		other, err := httpsig.Generate(algorithm)
		require.NoError(t, err)
		token, err := k.SignJWS([]byte(`{"a":1}`))
		require.NoError(t, err)
		set := []httpsig.JWK{other.Public, k.Public}
		payload, kid, err := httpsig.VerifyJWS(token, set)
		require.NoError(t, err)
		require.JSONEq(t, `{"a":1}`, string(payload))
		require.Equal(t, k.ID, kid)

		_, _, err = httpsig.VerifyJWS(token, set[:1])
		require.ErrorContains(t, err, "there is no key "+k.ID)
		header, rest, _ := strings.Cut(token, ".")
		_, signature, _ := strings.Cut(rest, ".")
		stranger := other.Public
		stranger.Kid = k.ID // an attacker may claim the id of another key
		none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"` + k.ID + `"}`))
		changed := base64.RawURLEncoding.EncodeToString([]byte(`{"a":2}`))
		for bad, keys := range map[string][]httpsig.JWK{
			token: {stranger}, header + "." + changed + "." + signature: set, none + "." + rest: set, header + "." + changed + ".": set,
			token + ".": set, "": set, "a.b.c": set, token + "!": set, none + "." + changed + ".": set,
		} {
			_, _, err := httpsig.VerifyJWS(bad, keys)
			require.Error(t, err, bad)
		}
	}
}

// TestWhatIsSigned compares with a signature made by other software. services/whisperer/e2e/clients tests with
// verifiers.
func TestWhatIsSigned(t *testing.T) {
	t.Parallel()
	k := ed25519Of(t)
	m := httpsig.Message{
		Method: "POST", Authority: "example.com", Path: "/a%2Fb?x=1&y=", ContentType: "application/json", ID: "d-1", Body: []byte(`{"hello": "world"}`),
		At: time.Unix(1618884473, 0),
	}
	headers, err := k.Sign(&m)
	require.NoError(t, err)
	require.Equal(t, webhook.Header{Name: "Content-Digest", Value: "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"}, headers[0], "RFC 9530 appendix D")
	require.Equal(t, webhook.Header{
		Name: "Signature-Input",
		Value: `sig1=("@method" "@authority" "@path" "@query" "content-digest" "content-type" "webhook-id" "webhook-timestamp");created=1618884473;` +
			`keyid="poqkLGiymh_W0uP6PZFw-dvez3QJT5SolqXBCW38r0U";alg="ed25519"`,
	}, headers[1])
	require.Regexp(t, `^sig1=:[A-Za-z0-9+/]{86}==:$`, headers[2].Value)
	m.Path = "/"
	headers, err = k.Sign(&m)
	require.NoError(t, err)
	require.NotContains(t, headers[1].Value, "@query")
	k = httpsig.Key{ID: "gone"}
	_, err = k.Sign(&m)
	require.ErrorContains(t, err, "not there")
}

func TestTheRingHasWhatSignsAndWhatIsPublished(t *testing.T) {
	t.Parallel()
	now := time.Now()
	key := func(tenant string, state httpsig.State, until time.Time) httpsig.Key {
		k, err := httpsig.Generate(webhook.ECDSAP256)
		require.NoError(t, err)
		k.Tenant, k.State, k.PublishedUntil = tenant, state, until
		return k
	}
	current, next := key("acme", httpsig.Current, time.Time{}), key("acme", httpsig.Next, time.Time{})
	old, gone := key("acme", httpsig.Previous, now.Add(time.Minute)), key("acme", httpsig.Previous, now.Add(-time.Minute))
	var ring httpsig.Ring
	require.False(t, ring.Loaded())
	ring.Put("acme", []httpsig.Key{current})
	require.False(t, ring.Loaded(), "one tenant is not all")
	ring.Replace([]httpsig.Key{old, next, current, gone, key("beta", httpsig.Current, time.Time{})})
	signer, err := ring.Signer("acme", webhook.ECDSAP256)
	require.NoError(t, err)
	require.Equal(t, current.ID, signer.ID)
	require.Equal(t, []httpsig.JWK{old.Public, next.Public, current.Public}, ring.Published("acme", now))
	_, err = ring.Signer("acme", webhook.Ed25519)
	require.ErrorContains(t, err, "no ed25519 signing key")
	_, err = (*httpsig.Ring)(nil).Signer("acme", webhook.Ed25519)
	require.Error(t, err)
	ring.Put("acme", []httpsig.Key{{ID: "sealed", State: httpsig.Current, Algorithm: webhook.ECDSAP256}})
	_, err = ring.Signer("acme", webhook.ECDSAP256)
	require.ErrorContains(t, err, "cannot be opened")
	ring.Put("beta", nil)
	require.Empty(t, ring.Published("beta", now))
}
