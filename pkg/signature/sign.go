package signature

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"time"
)

// Names of the headers of a signed webhook.
const (
	HeaderID        = "webhook-id"
	HeaderTimestamp = "webhook-timestamp"
	HeaderSignature = "webhook-signature"
	// HeaderLegacy carries the result of LegacySign.
	HeaderLegacy = "X-Whisperer-Signature"
)

const (
	versionHMAC    = "v1"
	versionEd25519 = "v1a"
	legacyPrefix   = "sha256="
	// signatureRoom fits two v1 signatures, or one v1a signature.
	signatureRoom = 128
)

// Sign returns the value of HeaderSignature: one signature per key, in the order of the keys, separated by spaces. id
// and at are the values of HeaderID, which must not contain a dot because the signed text would be ambiguous, and
// HeaderTimestamp, in whole seconds. Without keys it returns "".
func Sign(id string, at time.Time, body []byte, keys []Key) string {
	var room [signatureRoom]byte
	var digits [20]byte
	out, timestamp := room[:0], strconv.AppendInt(digits[:0], at.Unix(), 10)
	for _, k := range keys {
		out = k.appendSignature(out, id, timestamp, body)
	}
	return string(out)
}

// LegacySign returns the value of HeaderLegacy: "sha256=" and the hexadecimal HMAC-SHA256 of the body alone, for
// receivers that only know that. It does not protect against replay attacks. For an ed25519 key it returns "".
func LegacySign(body []byte, key Key) string {
	if key.macs == nil {
		return ""
	}
	m := key.mac()
	defer key.macs.Put(m)
	_, _ = m.hash.Write(body)
	m.sum = m.hash.Sum(m.sum[:0])
	var room [len(legacyPrefix) + 64]byte
	return string(hex.AppendEncode(append(room[:0], legacyPrefix...), m.sum))
}

// appendSignature appends ["␣"]version,base64 to out.
func (k Key) appendSignature(out []byte, id string, timestamp, body []byte) []byte {
	if k.macs == nil && k.private == nil {
		return out
	}
	if len(out) > 0 {
		out = append(out, ' ')
	}
	if k.private != nil {
		out = append(out, versionEd25519+","...)
		return base64.StdEncoding.AppendEncode(out, ed25519.Sign(k.private, message(id, timestamp, body)))
	}
	out = append(out, versionHMAC+","...)
	return k.appendMAC(out, id, timestamp, body)
}

// appendMAC appends the base64 HMAC-SHA256 to out. It does not copy the body.
func (k Key) appendMAC(out []byte, id string, timestamp, body []byte) []byte {
	m := k.mac()
	defer k.macs.Put(m)
	m.prefix = appendPrefix(m.prefix[:0], id, timestamp)
	_, _ = m.hash.Write(m.prefix)
	_, _ = m.hash.Write(body)
	m.sum = m.hash.Sum(m.sum[:0])
	return base64.StdEncoding.AppendEncode(out, m.sum)
}

// mac takes a keyed HMAC from the pool; the caller puts it back.
func (k Key) mac() *mac {
	m, _ := k.macs.Get().(*mac)
	m.hash.Reset()
	return m
}

func message(id string, timestamp, body []byte) []byte {
	out := make([]byte, 0, len(id)+len(timestamp)+len(body)+2)
	return append(appendPrefix(out, id, timestamp), body...)
}

func appendPrefix(out []byte, id string, timestamp []byte) []byte {
	out = append(append(out, id...), '.')
	return append(append(out, timestamp...), '.')
}
