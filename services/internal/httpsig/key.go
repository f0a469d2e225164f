// Package httpsig signs requests as HTTP Message Signatures (RFC 9421) with keys whose public halves receivers read as a JSON Web
// Key Set, so that receivers hold no secret.
package httpsig

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

const (
	// CacheAge is how long receivers may use a key set before they read it again. A key has to be published for as long before it
	// signs, so that no receiver meets one that it has not read.
	CacheAge = 15 * time.Minute
	// Overlap is how long a key is published after another has taken its place, for what was signed with it and is verified late.
	Overlap = 24 * time.Hour
)

// State is where a key is in its life.
type State string

// The states of keys, in the order in which a key goes through them.
const (
	Next     State = "next"     // published already, and signs from the next rotation on
	Current  State = "current"  // signs
	Previous State = "previous" // published still; its private half is gone
)

// Key is a signing key of a tenant.
type Key struct {
	// ID is the thumbprint of the public half (RFC 7638).
	ID        string
	Tenant    string
	Algorithm string // webhook.ECDSAP256 or webhook.Ed25519
	State     State
	// Public is what receivers verify with.
	Public    JWK
	CreatedAt time.Time
	// SignsFrom is zero for the next key, PublishedUntil for all but previous ones.
	SignsFrom, PublishedUntil time.Time

	private crypto.Signer // nil where it is gone or cannot be opened
}

// JWK is a public key as JSON (RFC 7517, RFC 8037).
type JWK struct {
	Kty string `json:"kty"`
	Crv string `json:"crv"`
	X   string `json:"x"`
	Y   string `json:"y,omitempty"`
	Kid string `json:"kid"`
	Alg string `json:"alg"`
	Use string `json:"use"`
}

// Generate makes a key of the algorithm, whose state and tenant are the caller's to say.
func Generate(algorithm string) (Key, error) {
	var private crypto.Signer
	var err error
	switch algorithm {
	case webhook.ECDSAP256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case webhook.Ed25519:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = fmt.Errorf("there is no algorithm %q", algorithm)
	}
	if err != nil {
		return Key{}, fmt.Errorf("make signing key: %w", err)
	}
	public, err := publicJWK(private.Public())
	return Key{ID: public.Kid, Algorithm: algorithm, Public: public, private: private}, err
}

// Private is the private half, to be sealed.
func (k *Key) Private() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return nil, fmt.Errorf("write signing key %s: %w", k.ID, err)
	}
	return der, nil
}

// SetPrivate gives a key the private half that Private returned.
func (k *Key) SetPrivate(der []byte) error {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return fmt.Errorf("read signing key %s: it is damaged", k.ID) // the error might tell of the key
	}
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return fmt.Errorf("read signing key %s: it cannot sign", k.ID)
	}
	public, err := publicJWK(private.Public())
	if err != nil || public.Kid != k.ID {
		return fmt.Errorf("read signing key %s: its private half is another key's", k.ID)
	}
	k.private = private
	return nil
}

// CanSign reports whether the private half is there.
func (k *Key) CanSign() bool { return k.private != nil }

// Format prints a placeholder for every verb, so that no key can end in a log.
func (k Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[signing key "+k.ID+"]") }

// publicJWK writes a public key with its thumbprint.
func publicJWK(public crypto.PublicKey) (JWK, error) {
	encode := base64.RawURLEncoding.EncodeToString
	var jwk JWK
	var canonical string // the members that RFC 7638 and RFC 8037 name, sorted
	switch key := public.(type) {
	case *ecdsa.PublicKey:
		point, err := key.Bytes() // 4, x and y
		if err != nil || len(point) != 65 {
			return JWK{}, fmt.Errorf("write public key: it is none of P-256")
		}
		jwk = JWK{Kty: "EC", Crv: "P-256", X: encode(point[1:33]), Y: encode(point[33:]), Alg: "ES256", Use: "sig"}
		canonical = `{"crv":"P-256","kty":"EC","x":"` + jwk.X + `","y":"` + jwk.Y + `"}`
	case ed25519.PublicKey:
		jwk = JWK{Kty: "OKP", Crv: "Ed25519", X: encode(key), Alg: "EdDSA", Use: "sig"}
		canonical = `{"crv":"Ed25519","kty":"OKP","x":"` + jwk.X + `"}`
	default:
		return JWK{}, fmt.Errorf("write public key: there is no form for a %T", public)
	}
	sum := sha256.Sum256([]byte(canonical))
	jwk.Kid = encode(sum[:])
	return jwk, nil
}
