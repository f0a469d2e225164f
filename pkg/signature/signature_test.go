package signature_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/whisperer-oms/whisperer/pkg/signature"
)

// The test vectors of Standard Webhooks' libraries (v1) and Svix's server (v1a).
const (
	vectorID      = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorBody    = `{"test": 2432232314}`
	vectorSecret  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vectorV1      = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	vectorPrivate = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=="
	vectorSeed    = "whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbc="
	vectorPublic  = "whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4="
	vectorV1a     = "v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="
)

func vectorTime() time.Time { return time.Unix(1614265330, 0) }

func TestSignReproducesPublishedVectors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		secrets []string
		want    string
	}{
		"an HMAC secret signs as v1":              {[]string{vectorSecret}, vectorV1},
		"an ed25519 key signs as v1a":             {[]string{vectorPrivate}, vectorV1a},
		"an ed25519 seed is the same key":         {[]string{vectorSeed}, vectorV1a},
		"several keys sign in order, with spaces": {[]string{vectorPrivate, vectorSecret}, vectorV1a + " " + vectorV1},
		"no key signs nothing":                    {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, signature.Sign(vectorID, vectorTime(), []byte(vectorBody), keys(t, c.secrets...)))
		})
	}
}

func TestLegacySignIsTheHexHMACOfTheBody(t *testing.T) {
	t.Parallel()
	// GitHub's published vector for the same construction.
	require.Equal(t, "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
		signature.LegacySign([]byte("Hello, World!"), keys(t, "It's a Secret to Everybody")[0]))
	require.Empty(t, signature.LegacySign([]byte("Hello, World!"), keys(t, vectorPrivate)[0]), "an ed25519 key")
	require.Empty(t, signature.LegacySign([]byte("Hello, World!"), signature.Key{}), "no key")
}

func TestParseKeyRefusesWhatItsPrefixDoesNotPromise(t *testing.T) {
	t.Parallel()
	mismatched, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(vectorPrivate, "whsk_"))
	require.NoError(t, err)
	mismatched[ed25519.PrivateKeySize-1] ^= 1
	for name, secret := range map[string]string{
		"empty":                          "",
		"not base64":                     "whsec_***",
		"a line break in base64":         "whsec_MfKQ9r8GKYqrTwjUPD8I\nLPZIo2LaLaSw",
		"an HMAC secret too short":       "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 23)),
		"an HMAC secret too long":        "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, 65)),
		"a private key too short":        "whsk_" + base64.StdEncoding.EncodeToString(make([]byte, 31)),
		"a private key not base64":       "whsk_?",
		"halves that belong to two keys": "whsk_" + base64.StdEncoding.EncodeToString(mismatched),
		"a public key":                   vectorPublic,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := signature.ParseKey(secret)
			require.ErrorIs(t, err, signature.ErrSecret)
			if len(secret) > 8 {
				require.NotContains(t, err.Error(), secret[6:])
			}
		})
	}
	_, err = signature.ParseVerifyKey("whpk_AAAA")
	require.ErrorIs(t, err, signature.ErrSecret)
	_, err = signature.ParseVerifyKey("whpk_?")
	require.ErrorIs(t, err, signature.ErrSecret)
}

func TestKeysNeverPrintThemselves(t *testing.T) {
	t.Parallel()
	for _, secret := range []string{vectorSecret, vectorPrivate, "plain secret"} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			require.Equal(t, "[signing key]", fmt.Sprintf(verb, keys(t, secret)[0]))
			require.Equal(t, "[verification key]", fmt.Sprintf(verb, verifyKeys(t, secret)[0]))
		}
	}
}

func TestPublicIsWhatAReceiverNeeds(t *testing.T) {
	t.Parallel()
	require.Equal(t, vectorPublic, keys(t, vectorPrivate)[0].Public())
	require.Empty(t, keys(t, vectorSecret)[0].Public())
	require.NoError(t, signature.Verify(request(vectorID, "1614265330", vectorV1a), []byte(vectorBody),
		verifyKeys(t, vectorPublic), vectorTime(), 0))
}

func TestGeneratedSecretsAreUsableAndDiffer(t *testing.T) {
	t.Parallel()
	a, b := signature.GenerateSecret(), signature.GenerateSecret()
	require.NotEqual(t, a, b)
	require.True(t, strings.HasPrefix(a, "whsec_"))
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(a, "whsec_"))
	require.NoError(t, err)
	require.Len(t, raw, 32)
	require.Len(t, keys(t, a, b), 2)
}

func TestVerify(t *testing.T) {
	t.Parallel()
	many := strings.Repeat("v1,AAAA ", 16)
	for name, c := range map[string]struct {
		header  http.Header
		body    string
		secrets []string
		skew    time.Duration
		want    error
	}{
		"one signature, one key":                  {header: request(vectorID, "1614265330", vectorV1)},
		"the second of two signatures":            {header: request(vectorID, "1614265330", "v1,AAAA "+vectorV1)},
		"the second of two keys":                  {header: request(vectorID, "1614265330", vectorV1), secrets: []string{"old", vectorSecret}},
		"an ed25519 private key verifies as well": {header: request(vectorID, "1614265330", vectorV1a), secrets: []string{vectorPrivate}},
		"unknown versions are passed over":        {header: request(vectorID, "1614265330", "v2,x v0 , "+vectorV1)},
		"five minutes old":                        {header: request(vectorID, "1614265330", vectorV1), skew: 5 * time.Minute},
		"five minutes ahead":                      {header: request(vectorID, "1614265330", vectorV1), skew: -5 * time.Minute},
		"too old":                                 {header: request(vectorID, "1614265330", vectorV1), skew: 5*time.Minute + 1, want: signature.ErrTimestamp},
		"too far ahead":                           {header: request(vectorID, "1614265330", vectorV1), skew: -5*time.Minute - 1, want: signature.ErrTimestamp},
		"a timestamp that is no number":           {header: request(vectorID, "today", vectorV1), want: signature.ErrTimestamp},
		"a timestamp beyond all time":             {header: request(vectorID, "9223372036854775807", vectorV1), want: signature.ErrTimestamp},
		"a timestamp before all time":             {header: request(vectorID, "-9223372036854775808", vectorV1), want: signature.ErrTimestamp},
		"a timestamp written differently":         {header: request(vectorID, "+1614265330", vectorV1), want: signature.ErrNoMatch},
		"no id":                                   {header: request("", "1614265330", vectorV1), want: signature.ErrMissingHeader},
		"no timestamp":                            {header: request(vectorID, "", vectorV1), want: signature.ErrMissingHeader},
		"no signature":                            {header: request(vectorID, "1614265330", ""), want: signature.ErrMissingHeader},
		"no headers at all":                       {header: nil, want: signature.ErrMissingHeader},
		"another id":                              {header: request("msg_2", "1614265330", vectorV1), want: signature.ErrNoMatch},
		"another time":                            {header: request(vectorID, "1614265331", vectorV1), want: signature.ErrNoMatch},
		"another body":                            {header: request(vectorID, "1614265330", vectorV1), body: "{}", want: signature.ErrNoMatch},
		"another key":                             {header: request(vectorID, "1614265330", vectorV1), secrets: []string{"other"}, want: signature.ErrNoMatch},
		"the right MAC under the wrong version":   {header: request(vectorID, "1614265330", "v1a"+vectorV1[2:]), want: signature.ErrNoMatch},
		"an HMAC signature for a public key":      {header: request(vectorID, "1614265330", vectorV1), secrets: []string{vectorPublic}, want: signature.ErrNoMatch},
		"an ed25519 signature cut short":          {header: request(vectorID, "1614265330", vectorV1a[:40]), secrets: []string{vectorPublic}, want: signature.ErrNoMatch},
		"more signatures than any sender makes":   {header: request(vectorID, "1614265330", many+vectorV1), want: signature.ErrNoMatch},
		"an id with a dot":                        {header: request("a.b", "1614265330", vectorV1), want: signature.ErrNoMatch},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.body == "" {
				c.body = vectorBody
			}
			if c.secrets == nil {
				c.secrets = []string{vectorSecret}
			}
			err := signature.Verify(c.header, []byte(c.body), verifyKeys(t, c.secrets...),
				vectorTime().Add(c.skew), signature.DefaultTolerance)
			if c.want == nil {
				require.NoError(t, err)
				return
			}
			require.ErrorIs(t, err, c.want)
		})
	}
	require.ErrorIs(t, signature.Verify(request(vectorID, "1614265330", vectorV1), []byte(vectorBody),
		[]signature.VerifyKey{{}}, vectorTime(), time.Minute), signature.ErrNoMatch, "the zero key")
}

// The standard's own library accepts whatever we sign, and we accept whatever it signs.
func TestAgreesWithTheReferenceLibrary(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 24, 64).Draw(t, "secret")
		secret := "whsec_" + base64.StdEncoding.EncodeToString(raw)
		id, body := rapid.StringMatching(`[A-Za-z0-9_-]{1,40}`).Draw(t, "id"), rapid.SliceOf(rapid.Byte()).Draw(t, "body")
		now := time.Now()
		reference, err := standardwebhooks.NewWebhook(secret)
		require.NoError(t, err)

		ours := signature.Sign(id, now, body, keys(t, "an older one", secret))
		header := request(id, strconv.FormatInt(now.Unix(), 10), ours)
		require.NoError(t, reference.Verify(body, header))

		theirs, err := reference.Sign(id, now, body)
		require.NoError(t, err)
		header.Set(signature.HeaderSignature, theirs)
		require.NoError(t, signature.Verify(header, body, verifyKeys(t, secret), now, time.Minute))
	})
}

func TestAnyFlippedBitFails(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.SampledFrom([]string{vectorSecret, vectorPrivate, "plain"}).Draw(t, "secret")
		id := rapid.StringMatching(`[A-Za-z0-9_-]{1,40}`).Draw(t, "id")
		body := rapid.SliceOfN(rapid.Byte(), 1, 2000).Draw(t, "body")
		at := time.Unix(rapid.Int64Range(0, 1<<34).Draw(t, "at"), 0)
		header := request(id, strconv.FormatInt(at.Unix(), 10), signature.Sign(id, at, body, keys(t, secret)))
		verifiers := verifyKeys(t, secret)
		require.NoError(t, signature.Verify(header, body, verifiers, at, time.Minute))

		bit := rapid.IntRange(0, len(body)*8-1).Draw(t, "bit of the body")
		body[bit/8] ^= 1 << (bit % 8)
		require.ErrorIs(t, signature.Verify(header, body, verifiers, at, time.Minute), signature.ErrNoMatch)
		body[bit/8] ^= 1 << (bit % 8)

		signed := []byte(header.Get(signature.HeaderSignature))
		bit = rapid.IntRange(0, len(signed)*8-1).Draw(t, "bit of the signature")
		signed[bit/8] ^= 1 << (bit % 8)
		header.Set(signature.HeaderSignature, string(signed))
		if err := signature.Verify(header, body, verifiers, at, time.Minute); err == nil {
			// Base64 has spare bits before its padding: the text may differ while the 64 bytes of ed25519 are the
			// same.
			require.Equal(t, vectorPrivate, secret)
			require.GreaterOrEqual(t, bit/8, len(signed)-3)
		}
	})
}

func FuzzVerifyNeverAcceptsOrPanics(f *testing.F) {
	f.Add(vectorID, "1614265330", "v1, v1a,= ,,", []byte(vectorBody))
	f.Add("", "", "", []byte(nil))
	f.Fuzz(func(t *testing.T, id, timestamp, signed string, body []byte) {
		keys := verifyKeys(t, "fuzz secret", vectorPublic)
		header := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {signed}}
		if string(body) != vectorBody {
			require.Error(t, signature.Verify(header, body, keys, vectorTime(), time.Minute))
		}
	})
}

func BenchmarkSign1KiB(b *testing.B) {
	for _, c := range []struct{ name, secret string }{{"v1", vectorSecret}, {"v1a", vectorPrivate}} {
		b.Run(c.name, func(b *testing.B) {
			body, signers, at := make([]byte, 1<<10), keys(b, c.secret), vectorTime()
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				signature.Sign(vectorID, at, body, signers)
			}
		})
	}
}

func BenchmarkVerify1KiB(b *testing.B) {
	body := make([]byte, 1<<10)
	header := request(vectorID, "1614265330", signature.Sign(vectorID, vectorTime(), body, keys(b, vectorSecret)))
	verifiers := verifyKeys(b, vectorSecret)
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, signature.Verify(header, body, verifiers, vectorTime(), time.Minute))
	}
}

func keys(t require.TestingT, secrets ...string) []signature.Key {
	out := make([]signature.Key, len(secrets))
	for i, s := range secrets {
		k, err := signature.ParseKey(s)
		require.NoError(t, err)
		out[i] = k
	}
	return out
}

func verifyKeys(t require.TestingT, secrets ...string) []signature.VerifyKey {
	out := make([]signature.VerifyKey, len(secrets))
	for i, s := range secrets {
		k, err := signature.ParseVerifyKey(s)
		require.NoError(t, err)
		out[i] = k
	}
	return out
}

func request(id, timestamp, signed string) http.Header {
	header := http.Header{}
	header.Set(signature.HeaderID, id)
	header.Set(signature.HeaderTimestamp, timestamp)
	header.Set(signature.HeaderSignature, signed)
	return header
}
