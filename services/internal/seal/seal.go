// Package seal encrypts secrets at rest, with AES-256-GCM under master keys from the environment.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// KeySize is a master key's length in bytes.
const KeySize = 32

// ErrUnknownKey says that a value was sealed with a master key that is not configured.
var ErrUnknownKey = errors.New("sealed with a master key that is not configured")

// Ring holds the master keys: the first one seals, and all of them open.
type Ring struct {
	current string
	keys    map[string]cipher.AEAD
}

// Sealed is a ciphertext and the id of the key that opens it.
type Sealed struct {
	KeyID string
	// Box is the nonce followed by the ciphertext.
	Box []byte
}

// ParseRing parses master keys: base64 of 32 bytes each, separated by commas, the current one first. The errors never
// contain a key.
func ParseRing(s string) (*Ring, error) {
	r := &Ring{keys: map[string]cipher.AEAD{}}
	for i, part := range strings.Split(s, ",") {
		key, err := base64.StdEncoding.DecodeString(strings.TrimSpace(part))
		if err != nil || len(key) != KeySize {
			return nil, fmt.Errorf("master key %d is not the base64 of %d bytes: make one with `openssl rand -base64 32`", i+1, KeySize)
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, fmt.Errorf("use master key %d: %w", i+1, err)
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, fmt.Errorf("use master key %d: %w", i+1, err)
		}
		id := keyID(key)
		if i == 0 {
			r.current = id
		}
		r.keys[id] = aead
	}
	return r, nil
}

// NewKey returns a new master key in the form that ParseRing accepts.
func NewKey() string {
	key := make([]byte, KeySize)
	_, _ = rand.Read(key) // never fails
	return base64.StdEncoding.EncodeToString(key)
}

// CurrentKeyID returns the id of the key that Seal uses.
func (r *Ring) CurrentKeyID() string { return r.current }

// Knows reports whether the ring has the key with this id.
func (r *Ring) Knows(id string) bool { return r.keys[id] != nil }

// Seal encrypts plain for the given owner. Only Open with the same owner succeeds, so a sealed value that is copied
// to another row is useless there.
func (r *Ring) Seal(plain []byte, owner string) Sealed {
	aead := r.keys[r.current]
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	_, _ = rand.Read(nonce) // never fails
	return Sealed{KeyID: r.current, Box: aead.Seal(nonce, nonce, plain, []byte(owner))}
}

// Open decrypts what Seal made for the same owner. It returns ErrUnknownKey if the ring lacks the key.
func (r *Ring) Open(s Sealed, owner string) ([]byte, error) {
	aead, ok := r.keys[s.KeyID]
	if !ok {
		return nil, fmt.Errorf("key %s: %w", s.KeyID, ErrUnknownKey)
	}
	if len(s.Box) < aead.NonceSize() {
		return nil, errors.New("sealed value is too short")
	}
	plain, err := aead.Open(nil, s.Box[:aead.NonceSize()], s.Box[aead.NonceSize():], []byte(owner))
	if err != nil {
		return nil, fmt.Errorf("open sealed value: %w", err)
	}
	return plain, nil
}

func keyID(key []byte) string {
	sum := sha256.Sum256(append([]byte("whisperer master key "), key...))
	return hex.EncodeToString(sum[:6])
}
