package httpsig

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// ErrUnsigned says that a request has no HTTP Message Signature.
var ErrUnsigned = errors.New("there is no Signature-Input and Signature")

// ErrUnknownKey says that the key set does not have the key of a signature.
var ErrUnknownKey = errors.New("the key set has no such key")

// KeySet maps ids to public keys.
type KeySet map[string]any // *ecdsa.PublicKey or ed25519.PublicKey

// ParseKeySet parses a JSON Web Key Set (RFC 7517). It skips keys of kinds that Whisperer does not sign with.
func ParseKeySet(text []byte) (KeySet, error) {
	var set struct {
		Keys []JWK `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("read key set: %w", err)
	}
	keys := KeySet{}
	for i := range set.Keys {
		if key := set.Keys[i].public(); key != nil {
			keys[set.Keys[i].Kid] = key
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("read key set: there is no key with ES256 or EdDSA in it")
	}
	return keys, nil
}

// public returns the key, or nil if it cannot be used.
func (k *JWK) public() any {
	x, err := base64.RawURLEncoding.DecodeString(k.X)
	switch {
	case err != nil:
		return nil
	case k.Kty == "OKP" && k.Crv == "Ed25519" && len(x) == ed25519.PublicKeySize:
		return ed25519.PublicKey(x)
	case k.Kty != "EC" || k.Crv != "P-256" || len(x) != 32:
		return nil
	}
	y, err := base64.RawURLEncoding.DecodeString(k.Y)
	if err != nil || len(y) != 32 {
		return nil
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, x, y))
	if err != nil {
		return nil
	}
	return key
}

// Request is a received request.
type Request struct {
	Method string
	// Authority is the host that the request was sent to, with its port unless that is the scheme's default. Path is
	// the rest of the URL including the query.
	Authority, Path string
	Header          http.Header
	Body            []byte
}

// needed returns the components that a signature must cover; otherwise parts of the request could be replaced.
func needed() []string { return []string{"@method", "@authority", "@path", "content-digest"} }

// Verify reports why the request is not validly signed (RFC 9421) by a key of the set within tolerance of now. It
// only considers the first signature. It returns ErrUnsigned if there is none, and ErrUnknownKey if the set lacks its
// key.
func (s KeySet) Verify(r *Request, now time.Time, tolerance time.Duration) error {
	input, signed := r.Header.Get(webhook.HeaderSignatureInput), r.Header.Get(webhook.HeaderSignature)
	if input == "" || signed == "" {
		return ErrUnsigned
	}
	in, err := parseInput(input)
	if err != nil {
		return err
	}
	key, known := s[in.params["keyid"]]
	if !known {
		return fmt.Errorf("the signature is by the key %q: %w", in.params["keyid"], ErrUnknownKey)
	}
	if err := in.timely(now, tolerance); err != nil {
		return err
	}
	for _, name := range needed() {
		if !slices.Contains(in.components, name) {
			return fmt.Errorf("the signature does not cover %s", name)
		}
	}
	if _, query, has := strings.Cut(r.Path, "?"); has && query != "" && !slices.Contains(in.components, "@query") {
		return errors.New("the signature does not cover @query")
	}
	if err := r.digested(); err != nil {
		return err
	}
	base, err := in.base(r)
	if err != nil {
		return err
	}
	signature, err := signatureOf(signed, in.label)
	if err != nil {
		return err
	}
	if !verifies(key, in.params["alg"], []byte(base), signature) {
		return fmt.Errorf("the signature is not what key %s makes of this request (%s)", in.params["keyid"], strings.Join(in.components, " "))
	}
	return nil
}

// input is one member of Signature-Input.
type input struct {
	label      string
	components []string
	params     map[string]string
	// text is the member's value as it was sent; it is signed, too.
	text string
}

// parseInput parses the first member (RFC 9421 section 2.3). It rejects components with parameters, which Whisperer
// never uses.
func parseInput(header string) (in input, err error) {
	wrong := func(why string) (input, error) {
		return input{}, fmt.Errorf("Signature-Input cannot be read: %s", why)
	}
	label, rest, ok := strings.Cut(header, "=(")
	names, params, closed := strings.Cut(rest, ")")
	if !ok || !closed || label == "" {
		return wrong("it is not label=(components);parameters")
	}
	in = input{label: strings.TrimSpace(label), params: map[string]string{}}
	for name := range strings.FieldsSeq(names) {
		bare, err := strconv.Unquote(name)
		if err != nil || bare == "" || name[0] != '"' {
			return wrong("the component " + name + " is not a name in quotes")
		}
		in.components = append(in.components, bare)
	}
	end := endOfMember(params)
	in.text = "(" + names + ")" + params[:end]
	for param := range strings.SplitSeq(strings.TrimPrefix(params[:end], ";"), ";") {
		name, value, _ := strings.Cut(param, "=")
		if bare, err := strconv.Unquote(value); err == nil {
			value = bare
		}
		in.params[strings.TrimSpace(name)] = value
	}
	return in, nil
}

// endOfMember returns where a member of a dictionary ends: at a comma outside of strings.
func endOfMember(s string) int {
	quoted := false
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == ',' && !quoted:
			return i
		}
	}
	return len(s)
}

// timely reports why the time of the signature is not acceptable.
func (in *input) timely(now time.Time, tolerance time.Duration) error {
	created, err := strconv.ParseInt(in.params["created"], 10, 64)
	if err != nil {
		return errors.New("the signature does not say when it was created")
	}
	if age := now.Sub(time.Unix(created, 0)); age > tolerance || age < -tolerance {
		return fmt.Errorf("the signature was created %s from now: %w", age.Round(time.Second), errStale)
	}
	if expires, given := in.params["expires"]; given {
		if at, err := strconv.ParseInt(expires, 10, 64); err != nil || now.After(time.Unix(at, 0)) {
			return fmt.Errorf("the signature has expired: %w", errStale)
		}
	}
	return nil
}

// errStale says that a signature is too old, or from the future.
var errStale = errors.New("more than the tolerance")

// IsStale reports whether a request was refused only because of its time.
func IsStale(err error) bool { return errors.Is(err, errStale) }

// base returns the text that is signed (RFC 9421 section 2.5).
func (in *input) base(r *Request) (string, error) {
	var b strings.Builder
	seen := map[string]bool{}
	for _, name := range in.components {
		if seen[name] {
			return "", fmt.Errorf("the signature covers %s twice", name)
		}
		seen[name] = true
		value, err := r.component(name)
		if err != nil {
			return "", err
		}
		b.WriteString(`"` + name + `": ` + value + "\n")
	}
	b.WriteString(`"@signature-params": ` + in.text)
	return b.String(), nil
}

// component returns a part of the request as sections 2.1 and 2.2 define it.
func (r *Request) component(name string) (string, error) {
	path, query, _ := strings.Cut(r.Path, "?")
	switch name {
	case "@method":
		return r.Method, nil
	case "@authority":
		return strings.ToLower(r.Authority), nil
	case "@path":
		if path == "" {
			path = "/"
		}
		return path, nil
	case "@query":
		return "?" + query, nil
	}
	values := r.Header.Values(name)
	switch {
	case strings.HasPrefix(name, "@"):
		return "", fmt.Errorf("the signature covers %s, which Whisperer does not sign", name)
	case len(values) == 0:
		return "", fmt.Errorf("the signature covers %s, which the request does not have", name)
	}
	trimmed := make([]string, len(values))
	for i, v := range values {
		trimmed[i] = strings.TrimSpace(v)
	}
	return strings.Join(trimmed, ", "), nil
}

// digested reports why Content-Digest (RFC 9530) does not match the body.
func (r *Request) digested() error {
	for member := range strings.SplitSeq(r.Header.Get(webhook.HeaderContentDigest), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(member), "=")
		var sum []byte
		switch name {
		case "sha-256":
			s := sha256.Sum256(r.Body)
			sum = s[:]
		case "sha-512":
			s := sha512.Sum512(r.Body)
			sum = s[:]
		default:
			continue
		}
		if want := ":" + base64.StdEncoding.EncodeToString(sum) + ":"; subtle.ConstantTimeCompare([]byte(value), []byte(want)) != 1 {
			return errors.New("Content-Digest is not that of the body")
		}
		return nil
	}
	return errors.New("there is no Content-Digest with sha-256 or sha-512")
}

// signatureOf returns the bytes of the signature with the label.
func signatureOf(header, label string) ([]byte, error) {
	for member := range strings.SplitSeq(header, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(member), "=")
		if name != label {
			continue
		}
		raw, err := base64.StdEncoding.DecodeString(strings.Trim(value, ":"))
		if err != nil || len(value) < 2 || value[0] != ':' {
			return nil, fmt.Errorf("the signature %s is not base64 between colons", label)
		}
		return raw, nil
	}
	return nil, fmt.Errorf("there is no %s in Signature, which Signature-Input has", label)
}

// verifies reports whether the key made the signature, by its own algorithm and no other (RFC 9421 section 3.2).
func verifies(key any, algorithm string, base, signature []byte) bool {
	switch key := key.(type) {
	case ed25519.PublicKey:
		return (algorithm == "" || algorithm == webhook.Ed25519) && ed25519.Verify(key, base, signature)
	case *ecdsa.PublicKey:
		const half = 32
		if algorithm != "" && algorithm != webhook.ECDSAP256 || len(signature) != 2*half {
			return false
		}
		sum := sha256.Sum256(base)
		return ecdsa.Verify(key, sum[:], new(big.Int).SetBytes(signature[:half]), new(big.Int).SetBytes(signature[half:]))
	}
	return false
}
