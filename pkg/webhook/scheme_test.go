package webhook_test

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func scheme(t *testing.T, text string) *webhook.SignatureScheme {
	t.Helper()
	c, err := webhook.ParseConfig(json.RawMessage(`{"signature":` + text + `}`))
	require.NoError(t, err)
	return c.Signature
}

// TestPresetsMakeThePublishedSignatures uses the examples of the vendors' own documentation: GitHub, "Testing the
// webhook payload validation", and Slack, "Verifying requests from Slack".
func TestPresetsMakeThePublishedSignatures(t *testing.T) {
	t.Parallel()
	const slack = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
	for _, c := range []struct {
		scheme, secret, body string
		at                   int64
		want                 []webhook.Header
	}{
		{
			`{"preset":"github"}`, "It's a Secret to Everybody", "Hello, World!", 0,
			[]webhook.Header{{Name: "X-Hub-Signature-256", Value: "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}},
		},
		{
			`{"preset":"Slack"}`, "8f742231b10e8888abcd99yyyzzz85a5", slack, 1531420618,
			[]webhook.Header{
				{Name: "X-Slack-Signature", Value: "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"},
				{Name: "X-Slack-Request-Timestamp", Value: "1531420618"},
			},
		},
	} {
		require.Equal(t, c.want, scheme(t, c.scheme).Sign(c.secret, "d-1", []byte(c.body), time.Unix(c.at, 0)), c.scheme)
	}
}

func TestASchemeOfOnesOwnSignsWhatItSays(t *testing.T) {
	t.Parallel()
	s := scheme(t, `{"header":"X-Sig","value":"k1;{id};{timestamp};{signature}","content":"<{id}|{timestamp}|{body}>","algorithm":"hmac-sha512","encoding":"base64","timestamp_header":"X-At"}`)
	mac := hmac.New(sha512.New, []byte("s{body}cret"))
	mac.Write([]byte(`<d{timestamp}1|7|{"a":"{id}"}>`))
	require.Equal(t, []webhook.Header{
		{Name: "X-Sig", Value: "k1;d{timestamp}1;7;" + base64.StdEncoding.EncodeToString(mac.Sum(nil))}, {Name: "X-At", Value: "7"},
	}, s.Sign("s{body}cret", "d{timestamp}1", []byte(`{"a":"{id}"}`), time.Unix(7, 0)))
	spelt := scheme(t, `{"header":"X-Sig","algorithm":"HMAC-SHA512","encoding":"Base64"}`)
	require.Equal(t, webhook.HMACSHA512, spelt.Algorithm, "words are words in any case")
	require.Equal(t, webhook.InBase64, spelt.Encoding)
}

func TestABadSchemeIsToldByItsField(t *testing.T) {
	t.Parallel()
	for text, pointer := range map[string]string{
		`"github"`:                             "/signature",
		`{"preset":"gitlab"}`:                  "/signature/preset",
		`{"preset":"github","encoding":"hex"}`: "/signature/preset",
		`{"head":"X-A"}`:                       "/signature/head",
		`{}`:                                   "/signature/header",
		`{"header":"Webhook-Signature"}`:       "/signature/header",
		`{"header":"X A"}`:                     "/signature/header",
		`{"header":"X-A","value":"sha256="}`:   "/signature/value",
		`{"header":"X-A","value":"{signature}{body}"}`: "/signature/value",
		`{"header":"X-A","value":"{signature}\\n"}`:    "",
		`{"header":"X-A","value":"{signature}\n"}`:     "/signature/value",
		`{"header":"X-A","content":"{timestamp}"}`:     "/signature/content",
		`{"header":"X-A","content":"{body}{body}"}`:    "/signature/content",
		`{"header":"X-A","content":"{body}{secret}"}`:  "/signature/content",
		`{"header":"X-A","algorithm":"md5"}`:           "/signature/algorithm",
		`{"header":"X-A","encoding":"base32"}`:         "/signature/encoding",
		`{"header":"X-A","timestamp_header":"x-a"}`:    "/signature/timestamp_header",
		`{"header":"X-A","timestamp_header":"Date"}`:   "/signature/timestamp_header",

		`{"preset":"RFC9421"}`:                                        "",
		`{"preset":"rfc9421","algorithm":"Ed25519"}`:                  "",
		`{"preset":"rfc9421","algorithm":"hmac-sha256"}`:              "/signature/algorithm",
		`{"preset":"rfc9421","algorithm":"es256"}`:                    "/signature/algorithm",
		`{"preset":"rfc9421","header":"X-A"}`:                         "/signature/preset",
		`{"preset":"rfc9421","timestamp_header":"X-A"}`:               "/signature/preset",
		`{"header":"X-A","algorithm":"ecdsa-p256-sha256"}`:            "/signature/algorithm",
		`{"preset":"github","algorithm":"ecdsa-p256-sha256"}`:         "/signature/preset",
		`{"preset":"rfc9421","algorithm":["ecdsa-p256-sha256"]}`:      "/signature/algorithm",
		`{"preset":"rfc9421","algorithm":"ed25519","keyid":"theirs"}`: "/signature/keyid",
	} {
		_, err := webhook.ParseConfig(json.RawMessage(`{"signature":` + text + `}`))
		if pointer == "" {
			require.NoError(t, err, text)
			continue
		}
		var invalid *webhook.ValidationError
		require.ErrorAs(t, err, &invalid, text)
		require.Equal(t, pointer, invalid.Fields[0].Pointer, text)
	}
}

func TestMessageSignaturesNeedNoSecretAndHeadersOfTheirOwn(t *testing.T) {
	t.Parallel()
	h := webhook.Hook{
		Tenant: "default", EventTypes: []string{"*"}, TargetURL: "https://example.com/", Status: webhook.Active, NotificationType: webhook.NotificationREST,
		Callback: &webhook.Callback{URL: "https://example.com/outcomes"},
	}
	var err error
	h.Config, err = webhook.ParseConfig(json.RawMessage(`{"signature":{"preset":"rfc9421"}}`))
	require.NoError(t, err)
	require.NoError(t, h.Validate())
	require.Equal(t, webhook.ECDSAP256, h.CallbackHook().Config.Signature.Algorithm, "its callbacks are signed alike")
	for _, name := range []string{"signature", "Signature-Input", "CONTENT-DIGEST"} {
		h.Headers = map[string]string{name: "mine"}
		require.ErrorContains(t, h.Validate(), "/additional_headers/"+name+": is set by config.signature as well")
	}
}

func TestASchemeNeedsASecretAndAHeaderOfItsOwn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change  func(*webhook.Hook)
		pointer string
	}{
		"all is well":  {func(*webhook.Hook) {}, ""},
		"no secret":    {func(h *webhook.Hook) { h.Secrets = nil }, "/config/signature"},
		"ed25519":      {func(h *webhook.Hook) { h.Secrets = []webhook.Secret{{Value: signature.GeneratePrivate()}} }, "/config/signature"},
		"a header":     {func(h *webhook.Hook) { h.Headers = map[string]string{"x-sig": "1"} }, "/additional_headers/x-sig"},
		"the api key":  {func(h *webhook.Hook) { h.APIKey, h.Config.APIKeyHeader = "k", "X-At" }, "/config/signature"},
		"headers_from": {func(h *webhook.Hook) { h.Config.HeadersFrom = map[string]string{"X-AT": "'1'"} }, "/config/headers_from/X-AT"},
	} {
		h := webhook.Hook{
			Tenant: "default", Name: "a", EventTypes: []string{"*"}, TargetURL: "https://example.com/", Status: webhook.Active,
			NotificationType: webhook.NotificationREST, Secrets: []webhook.Secret{{Value: "secret"}},
		}
		var err error
		h.Config, err = webhook.ParseConfig(json.RawMessage(`{"signature":{"header":"X-Sig","timestamp_header":"X-At"}}`))
		require.NoError(t, err)
		c.change(&h)
		err = h.Validate()
		if c.pointer == "" {
			require.NoError(t, err, name)
			continue
		}
		var invalid *webhook.ValidationError
		require.ErrorAs(t, err, &invalid, name)
		require.Equal(t, c.pointer, invalid.Fields[0].Pointer, name)
	}
}
