package signature

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"
)

// Prefixes of serialized keys, as defined by Standard Webhooks 1.0.0.
const (
	// SecretPrefix begins a base64 HMAC secret.
	SecretPrefix = "whsec_"
	// PrivatePrefix begins a base64 ed25519 private key.
	PrivatePrefix = "whsk_"
	// PublicPrefix begins a base64 ed25519 public key.
	PublicPrefix = "whpk_"
)

const (
	generatedSecretBytes = 32
	// Lengths that the standard allows for the key after whsec_.
	minSecretBytes = 24
	maxSecretBytes = 64
)

// ErrSecret says that a secret cannot be used as a key. The error's text never contains the secret.
var ErrSecret = errors.New("unusable secret")

// Key signs. Create one with ParseKey. It is safe for concurrent use; the zero Key signs nothing.
type Key struct {
	macs    *sync.Pool // of *mac, for v1
	private ed25519.PrivateKey
}

// Format prints a placeholder for every verb, so that no key ends up in a log.
func (Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[signing key]") }

// mac is a keyed HMAC with a buffer for what precedes the body.
type mac struct {
	hash   hash.Hash
	prefix []byte
	sum    []byte
}

// ParseKey parses a hook's secret. A secret that begins with SecretPrefix is base64 of 24 to 64 bytes. One that
// begins with PrivatePrefix is base64 of an ed25519 private key (64 bytes, or the 32 of its seed). Any other secret
// is used as its bytes. It returns ErrSecret for an empty secret, for one that does not match its prefix, and for a
// public key, which cannot sign.
func ParseKey(secret string) (Key, error) {
	switch {
	case secret == "":
		return Key{}, fmt.Errorf("parse secret: it is empty: %w", ErrSecret)
	case strings.HasPrefix(secret, PublicPrefix):
		return Key{}, fmt.Errorf("parse secret: %s begins a public key, which cannot sign: %w", PublicPrefix, ErrSecret)
	case strings.HasPrefix(secret, PrivatePrefix):
		return parsePrivate(secret)
	case strings.HasPrefix(secret, SecretPrefix):
		raw, err := decode(secret, SecretPrefix)
		if err != nil {
			return Key{}, err
		}
		if len(raw) < minSecretBytes || len(raw) > maxSecretBytes {
			return Key{}, fmt.Errorf("parse secret: what follows %s must be base64 of %d to %d bytes: %w",
				SecretPrefix, minSecretBytes, maxSecretBytes, ErrSecret)
		}
		return symmetric(raw), nil
	default:
		return symmetric([]byte(secret)), nil
	}
}

// GenerateSecret returns a new random HMAC secret for ParseKey.
func GenerateSecret() string {
	raw := make([]byte, generatedSecretBytes)
	_, _ = rand.Read(raw) // never fails: it ends the program first
	return SecretPrefix + base64.StdEncoding.EncodeToString(raw)
}

// GeneratePrivate returns a new random ed25519 private key for ParseKey.
func GeneratePrivate() string {
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed) // never fails: it ends the program first
	return PrivatePrefix + base64.StdEncoding.EncodeToString(ed25519.NewKeyFromSeed(seed))
}

// Public returns what a receiver needs to verify an ed25519 key's signatures ("whpk_…"), or "" for an HMAC key.
func (k Key) Public() string {
	public, ok := k.public()
	if !ok {
		return ""
	}
	return PublicPrefix + base64.StdEncoding.EncodeToString(public)
}

func (k Key) public() (ed25519.PublicKey, bool) {
	if k.private == nil {
		return nil, false
	}
	public, ok := k.private.Public().(ed25519.PublicKey)
	return public, ok
}

func symmetric(secret []byte) Key {
	return Key{macs: &sync.Pool{New: func() any {
		m := &mac{hash: hmac.New(sha256.New, secret), sum: make([]byte, 0, sha256.Size)}
		m.hash.Reset() // saves the keyed state, which makes every later Reset cheap
		return m
	}}}
}

func parsePrivate(secret string) (Key, error) {
	raw, err := decode(secret, PrivatePrefix)
	if err != nil {
		return Key{}, err
	}
	if len(raw) != ed25519.SeedSize && len(raw) != ed25519.PrivateKeySize {
		return Key{}, fmt.Errorf("parse secret: what follows %s must be base64 of %d or %d bytes: %w",
			PrivatePrefix, ed25519.SeedSize, ed25519.PrivateKeySize, ErrSecret)
	}
	private := ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
	// Signing with a public half that is not the seed's would give the private key away.
	if len(raw) == ed25519.PrivateKeySize && !private.Equal(ed25519.PrivateKey(raw)) {
		return Key{}, fmt.Errorf("parse secret: its public half does not belong to its private half: %w", ErrSecret)
	}
	return Key{private: private}, nil
}

func decode(secret, prefix string) ([]byte, error) {
	text := strings.TrimPrefix(secret, prefix)
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("parse secret: what follows %s is not base64: %w", prefix, ErrSecret)
	}
	return raw, nil
}
