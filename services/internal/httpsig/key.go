// Package httpsig signs requests with HTTP Message Signatures (RFC 9421). Receivers fetch the public keys as a JSON
// Web Key Set, so they need no shared secret.
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
	// CacheAge is how long receivers may cache a key set. A key must be published for that long before it signs, so
	// that no receiver meets a key that it does not have.
	CacheAge = 15 * time.Minute
	// Overlap is how long a key stays published after it was replaced, for signatures that are verified late.
	Overlap = 24 * time.Hour
)

// State is the state of a key in its life cycle.
type State string

// The states of keys, in the order in which a key goes through them.
const (
	Next     State = "next"     // published, will sign after the next rotation
	Current  State = "current"  // published and signs
	Previous State = "previous" // still published; its private half is deleted
)

// Key is a tenant's signing key.
type Key struct {
	// ID is the thumbprint of the public half (RFC 7638).
	ID        string
	Tenant    string
	Algorithm string // webhook.ECDSAP256 or webhook.Ed25519
	State     State
	// Public is the key for receivers to verify with.
	Public    JWK
	CreatedAt time.Time
	// SignsFrom is zero for the next key. PublishedUntil is only set for previous keys.
	SignsFrom, PublishedUntil time.Time

	private crypto.Signer // nil if it is deleted or cannot be opened
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

// Generate returns a new key for the algorithm. The caller sets its state and tenant.
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

// Private returns the private half, to be sealed.
func (k *Key) Private() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.private)
	if err != nil {
		return nil, fmt.Errorf("write signing key %s: %w", k.ID, err)
	}
	return der, nil
}

// SetPrivate sets the private half to what Private returned.
func (k *Key) SetPrivate(der []byte) error {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return fmt.Errorf("read signing key %s: it is damaged", k.ID) // the original error might reveal parts of the key
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

// CanSign reports whether the private half is available.
func (k *Key) CanSign() bool { return k.private != nil }

// Format prints a placeholder for every verb, so that no key ends up in a log.
func (k Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[signing key "+k.ID+"]") }

// publicJWK converts a public key and sets its thumbprint as the id.
func publicJWK(public crypto.PublicKey) (JWK, error) {
	encode := base64.RawURLEncoding.EncodeToString
	var jwk JWK
	var canonical string // the members that RFC 7638 and RFC 8037 prescribe, sorted
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
