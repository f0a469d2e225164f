package signature

import (
	"crypto/ed25519"
	"crypto/hmac"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// DefaultTolerance is how far a webhook's timestamp may be from the receiver's clock, in either direction.
const DefaultTolerance = 5 * time.Minute

// maxSignatures bounds the work that one request can cause: a real sender has a handful of keys.
const maxSignatures = 16

// Errors of Verify, wrapped; test with errors.Is.
var (
	// ErrMissingHeader: one of the three headers is absent or empty.
	ErrMissingHeader = errors.New("missing webhook header")
	// ErrTimestamp: the timestamp is not a number of seconds, or differs from now by more than the tolerance.
	ErrTimestamp = errors.New("webhook timestamp not acceptable")
	// ErrNoMatch: none of the keys made a signature over this id, timestamp and body.
	ErrNoMatch = errors.New("no matching webhook signature")
)

// VerifyKey verifies signatures. Create one with ParseVerifyKey; the zero VerifyKey accepts nothing.
type VerifyKey struct {
	key    Key
	public ed25519.PublicKey
}

// Format prints a placeholder for every verb, so that no key ends up in a log.
func (VerifyKey) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[verification key]") }

// ParseVerifyKey parses what a receiver was given: everything that ParseKey accepts, and an ed25519 public key that
// begins with PublicPrefix. It returns ErrSecret like ParseKey.
func ParseVerifyKey(secret string) (VerifyKey, error) {
	if strings.HasPrefix(secret, PublicPrefix) {
		raw, err := decode(secret, PublicPrefix)
		if err != nil {
			return VerifyKey{}, err
		}
		if len(raw) != ed25519.PublicKeySize {
			return VerifyKey{}, fmt.Errorf("parse secret: what follows %s must be base64 of %d bytes: %w",
				PublicPrefix, ed25519.PublicKeySize, ErrSecret)
		}
		return VerifyKey{public: raw}, nil
	}
	key, err := ParseKey(secret)
	if err != nil {
		return VerifyKey{}, err
	}
	public, _ := key.public()
	return VerifyKey{key: key, public: public}, nil
}

// Verify reports whether one of the keys signed this request. It compares in constant time. now is the receiver's
// clock, and tolerance is how far the timestamp may be from it: DefaultTolerance suits most receivers. A receiver
// that must not act twice must also remember the ids that it has seen, because a webhook is sent again if its answer
// was lost. Verify returns ErrMissingHeader, ErrTimestamp or ErrNoMatch.
func Verify(header http.Header, body []byte, keys []VerifyKey, now time.Time, tolerance time.Duration) error {
	id, timestamp, signatures := header.Get(HeaderID), header.Get(HeaderTimestamp), header.Get(HeaderSignature)
	if id == "" || timestamp == "" || signatures == "" {
		return fmt.Errorf("verify webhook: %s, %s and %s are needed: %w",
			HeaderID, HeaderTimestamp, HeaderSignature, ErrMissingHeader)
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return fmt.Errorf("verify webhook: not a number of seconds: %w", ErrTimestamp)
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > tolerance || age < -tolerance {
		return fmt.Errorf("verify webhook: more than %s from now: %w", tolerance, ErrTimestamp)
	}
	if strings.Contains(id, ".") {
		return fmt.Errorf("verify webhook: a dot in %s makes the signed text ambiguous: %w", HeaderID, ErrNoMatch)
	}
	for _, k := range keys {
		if k.matches(signatures, id, []byte(timestamp), body) {
			return nil
		}
	}
	return fmt.Errorf("verify webhook: %w", ErrNoMatch)
}

// matches reports whether one of the space-separated signatures was made by the key.
func (k VerifyKey) matches(signatures, id string, timestamp, body []byte) bool {
	var expected, signed []byte
	switch {
	case k.key.macs != nil:
		expected = k.key.appendMAC(nil, id, timestamp, body)
	case k.public != nil:
		signed = message(id, timestamp, body)
	default:
		return false
	}
	for i, text := range strings.SplitN(signatures, " ", maxSignatures+1) {
		if i == maxSignatures {
			return false
		}
		version, encoded, _ := strings.Cut(text, ",")
		switch {
		case version == versionHMAC && expected != nil && hmac.Equal([]byte(encoded), expected):
			return true
		case version == versionEd25519 && signed != nil && k.verifies(encoded, signed):
			return true
		}
	}
	return false
}

func (k VerifyKey) verifies(encoded string, signed []byte) bool {
	raw, err := base64.StdEncoding.DecodeString(encoded)
	return err == nil && ed25519.Verify(k.public, signed, raw)
}
