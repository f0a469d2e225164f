package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Algorithms and encodings of a signature scheme, the default first.
const (
	HMACSHA256 = "hmac-sha256"
	HMACSHA512 = "hmac-sha512"
	InHex      = "hex"
	InBase64   = "base64"
)

// PresetRFC9421 is the scheme of HTTP Message Signatures. The tenant's own keys sign, receivers fetch the public
// halves, and the hook needs no secret.
const PresetRFC9421 = "rfc9421"

// Algorithms of PresetRFC9421, by their names in RFC 9421 section 6.2, the default first.
const (
	ECDSAP256 = "ecdsa-p256-sha256"
	Ed25519   = "ed25519"
)

// Headers that PresetRFC9421 sets.
const (
	HeaderContentDigest  = "Content-Digest"
	HeaderSignatureInput = "Signature-Input"
	HeaderSignature      = "Signature"
)

// MessageAlgorithms lists the algorithms of PresetRFC9421, the default first.
func MessageAlgorithms() []string { return []string{ECDSAP256, Ed25519} }

// maxTemplate is the maximum length of a template in a signature scheme, in bytes.
const maxTemplate = 256

// SignatureScheme is config.signature: an additional signature for receivers that do not verify Standard Webhooks.
// The key is the text of the hook's secret, except for PresetRFC9421.
type SignatureScheme struct {
	Preset string `json:"preset,omitempty"`
	// Header is the header that carries the signature. Value is its template: a text with {signature}, and optionally
	// {timestamp} and {id}.
	Header string `json:"header,omitempty"`
	Value  string `json:"value,omitempty"`
	// Content is the template of what is signed: a text with {body}, and optionally {timestamp} and {id}.
	Content string `json:"content,omitempty"`
	// Algorithm is HMACSHA256 or HMACSHA512, or one of MessageAlgorithms. Encoding is InHex or InBase64.
	Algorithm string `json:"algorithm,omitempty"`
	Encoding  string `json:"encoding,omitempty"`
	// TimestampHeader is the header with the timestamp, in seconds since 1970; empty for none.
	TimestampHeader string `json:"timestamp_header,omitempty"`
}

// schemeMembers describes config.signature.
var schemeMembers = []Field{
	{
		Name: "preset", Kind: KindText, Choices: append(sortedKeys(signaturePresets()), PresetRFC9421), Default: "null",
		Help: "A vendor's scheme, which sets all other members; or rfc9421 for HTTP Message Signatures, with which you may set algorithm",
	},
	{Name: "header", Kind: KindText, MaxLength: MaxHeaderName, Example: "X-Signature", Help: "The header that contains the signature; required without a preset"},
	{
		Name: "value", Kind: KindText, MaxLength: maxTemplate, Default: `"{signature}"`, Example: "sha256={signature}",
		Help: "The header's value: a template with {signature}, and optionally {timestamp} and {id}",
	},
	{
		Name: "content", Kind: KindText, MaxLength: maxTemplate, Default: `"{body}"`, Example: "{timestamp}.{body}",
		Help: "The signed content: a template with {body}, and optionally {timestamp} and {id}",
	},
	{
		Name: "algorithm", Kind: KindText, Choices: append([]string{HMACSHA256, HMACSHA512}, MessageAlgorithms()...), Default: "null",
		Help: "hmac-sha256 if absent, or hmac-sha512. With the preset rfc9421: ecdsa-p256-sha256 if absent, or ed25519",
	},
	{Name: "encoding", Kind: KindText, Choices: []string{InHex, InBase64}, Help: "The encoding of the signature"},
	{
		Name: "timestamp_header", Kind: KindText, MaxLength: MaxHeaderName, Example: "X-Timestamp",
		Help: "A header that contains the attempt's time, in seconds since 1970; none if absent",
	},
}

// signaturePresets returns the schemes of vendors whose verifiers many receivers have, as the vendors document them:
// GitHub's "Validating webhook deliveries", Shopify's "Verify the origin of webhooks", Stripe's "Verify webhook
// signatures manually" and Slack's "Verifying requests from Slack".
func signaturePresets() map[string]SignatureScheme {
	return map[string]SignatureScheme{
		"github":  {Header: "X-Hub-Signature-256", Value: "sha256={signature}", Content: "{body}"},
		"shopify": {Header: "X-Shopify-Hmac-Sha256", Content: "{body}", Encoding: InBase64},
		"stripe":  {Header: "Stripe-Signature", Value: "t={timestamp},v1={signature}", Content: "{timestamp}.{body}"},
		"slack": {
			Header: "X-Slack-Signature", Value: "v0={signature}", Content: "v0:{timestamp}:{body}", TimestampHeader: "X-Slack-Request-Timestamp",
		},
	}
}

// Message reports whether requests are signed with HTTP Message Signatures, by the tenant's keys.
func (s *SignatureScheme) Message() bool { return s != nil && s.Preset == PresetRFC9421 }

// Headers returns the names of the headers that the scheme sets.
func (s *SignatureScheme) Headers() []string {
	switch {
	case s == nil:
		return nil
	case s.Message():
		return []string{HeaderContentDigest, HeaderSignatureInput, HeaderSignature}
	}
	return slices.DeleteFunc([]string{s.Header, s.TimestampHeader}, func(name string) bool { return name == "" })
}

// Sign returns the headers that sign a body sent with that webhook-id at that time. It is only for schemes for which
// Message returns false.
func (s *SignatureScheme) Sign(secret, id string, body []byte, at time.Time) []Header {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	fill := strings.NewReplacer("{timestamp}", timestamp, "{id}", id)
	of := sha256.New
	if s.Algorithm == HMACSHA512 {
		of = sha512.New
	}
	mac := hmac.New(of, []byte(secret))
	before, after, _ := strings.Cut(s.Content, "{body}")
	mac.Write([]byte(fill.Replace(before)))
	mac.Write(body)
	mac.Write([]byte(fill.Replace(after)))
	encode := hex.EncodeToString
	if s.Encoding == InBase64 {
		encode = base64.StdEncoding.EncodeToString
	}
	before, after, _ = strings.Cut(s.Value, "{signature}")
	headers := []Header{{Name: s.Header, Value: fill.Replace(before) + encode(mac.Sum(nil)) + fill.Replace(after)}}
	if s.TimestampHeader != "" {
		headers = append(headers, Header{Name: s.TimestampHeader, Value: timestamp})
	}
	return headers
}

func parseScheme(raw json.RawMessage, p *ValidationError) *SignatureScheme {
	var s SignatureScheme
	if err := decodeStrict(raw, &s); err != nil {
		p.Collect("/signature", err)
		return nil
	}
	if s.Preset != "" {
		name := strings.ToLower(s.Preset)
		preset, known := signaturePresets()[name]
		switch {
		case name == PresetRFC9421:
			return parseMessageScheme(s, p)
		case !known:
			p.Add("/signature/preset", "must be one of %s, %s", strings.Join(sortedKeys(signaturePresets()), ", "), PresetRFC9421)
			return nil
		case s != SignatureScheme{Preset: s.Preset}:
			p.Add("/signature/preset", "says all there is to say: leave out the other fields, or the preset")
			return nil
		}
		s, s.Preset = preset, name
	}
	s.fill()
	s.check(p)
	return &s
}

// parseMessageScheme parses a scheme of PresetRFC9421, in which only the algorithm can be set.
func parseMessageScheme(s SignatureScheme, p *ValidationError) *SignatureScheme {
	algorithm := strings.ToLower(s.Algorithm)
	if s.Algorithm = ""; s != (SignatureScheme{Preset: s.Preset}) {
		p.Add("/signature/preset", "says all there is to say but algorithm: leave out the other fields, or the preset")
	}
	if algorithm == "" {
		algorithm = ECDSAP256
	}
	if !slices.Contains(MessageAlgorithms(), algorithm) {
		p.Add("/signature/algorithm", "must be %s with the preset %s", strings.Join(MessageAlgorithms(), " or "), PresetRFC9421)
	}
	return &SignatureScheme{Preset: PresetRFC9421, Algorithm: algorithm}
}

// fill sets defaults, and converts words to their documented spelling.
func (s *SignatureScheme) fill() {
	s.Algorithm, s.Encoding = strings.ToLower(s.Algorithm), strings.ToLower(s.Encoding)
	for _, field := range []struct {
		value     *string
		otherwise string
	}{{&s.Value, "{signature}"}, {&s.Content, "{body}"}, {&s.Algorithm, HMACSHA256}, {&s.Encoding, InHex}} {
		if *field.value == "" {
			*field.value = field.otherwise
		}
	}
}

func (s *SignatureScheme) check(p *ValidationError) {
	if problem := headerNameProblem(s.Header); problem != "" {
		p.Add("/signature/header", "%s", problem)
	}
	if problem := headerNameProblem(s.TimestampHeader); s.TimestampHeader != "" && problem != "" {
		p.Add("/signature/timestamp_header", "%s", problem)
	}
	if s.TimestampHeader != "" && strings.EqualFold(s.Header, s.TimestampHeader) {
		p.Add("/signature/timestamp_header", "is the header of the signature")
	}
	checkTemplate(p, "/signature/value", s.Value, "{signature}")
	checkTemplate(p, "/signature/content", s.Content, "{body}")
	if s.Algorithm != HMACSHA256 && s.Algorithm != HMACSHA512 {
		p.Add("/signature/algorithm", "must be %s or %s", HMACSHA256, HMACSHA512)
	}
	if s.Encoding != InHex && s.Encoding != InBase64 {
		p.Add("/signature/encoding", "must be %s or %s", InHex, InBase64)
	}
}

// checkTemplate requires a text of printable ASCII that has each placeholder at most once, and the needed one.
func checkTemplate(p *ValidationError, pointer, text, needed string) {
	plain := text
	for _, placeholder := range []string{needed, "{timestamp}", "{id}"} {
		if strings.Count(text, placeholder) > 1 {
			p.Add(pointer, "has %s twice", placeholder)
		}
		plain = strings.ReplaceAll(plain, placeholder, "")
	}
	switch {
	case !strings.Contains(text, needed):
		p.Add(pointer, "must have %s in it", needed)
	case strings.ContainsAny(plain, "{}"):
		p.Add(pointer, "may have only %s, {timestamp} and {id} in braces", needed)
	case len(text) > maxTemplate || strings.ContainsFunc(plain, func(r rune) bool { return r < ' ' || r > '~' }):
		p.Add(pointer, "must be at most %d characters of printable ASCII", maxTemplate)
	}
}

// privateSecret is the prefix of an ed25519 private key (signature.PrivatePrefix), which cannot be used for an HMAC.
const privateSecret = "whsk_"

// checkScheme reports other settings of the hook that conflict with its signature scheme.
func (h *Hook) checkScheme(p *ValidationError) {
	if h.Config.Signature == nil || h.Config.Signature.Message() {
		return
	}
	switch {
	case len(h.Secrets) == 0:
		p.Add("/config/signature", "needs a secret_key to sign with")
	case slices.ContainsFunc(h.Secrets, func(s Secret) bool { return strings.HasPrefix(s.Value, privateSecret) }):
		p.Add("/config/signature", "needs a secret_key that is no ed25519 key, nor one that is being replaced")
	}
}
