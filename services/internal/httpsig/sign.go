package httpsig

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// label is the signature's name. A request may have further signatures.
const label = "sig1"

// Message is the part of a request that is signed.
type Message struct {
	Method string
	// Authority is the host, with its port unless that is the scheme's default. Path is the rest of the URL including
	// the query. Both are as sent.
	Authority, Path string
	ContentType     string
	ID              string // webhook-id
	Body            []byte
	At              time.Time // webhook-timestamp, and the time of the signature
}

// Sign returns the headers that sign a message: Content-Digest (RFC 9530), Signature-Input and Signature (RFC 9421).
// The signature covers the method, host, path and query, the digest and type of the body, and the webhook's id and
// timestamp.
func (k *Key) Sign(m *Message) ([]webhook.Header, error) {
	sum := sha256.Sum256(m.Body)
	digest := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
	created := strconv.FormatInt(m.At.Unix(), 10)
	path, query, hasQuery := strings.Cut(m.Path, "?")
	components := []webhook.Header{{Name: "@method", Value: m.Method}, {Name: "@authority", Value: m.Authority}, {Name: "@path", Value: path}}
	if hasQuery {
		components = append(components, webhook.Header{Name: "@query", Value: "?" + query})
	}
	components = append(components,
		webhook.Header{Name: "content-digest", Value: digest}, webhook.Header{Name: "content-type", Value: m.ContentType},
		webhook.Header{Name: "webhook-id", Value: m.ID}, webhook.Header{Name: "webhook-timestamp", Value: created},
	)
	var base, params strings.Builder
	for i, c := range components {
		base.WriteString(`"` + c.Name + `": ` + c.Value + "\n")
		if i > 0 {
			params.WriteByte(' ')
		}
		params.WriteString(`"` + c.Name + `"`)
	}
	input := "(" + params.String() + ");created=" + created + `;keyid="` + k.ID + `";alg="` + k.Algorithm + `"`
	base.WriteString(`"@signature-params": ` + input)
	signed, err := k.sign([]byte(base.String()))
	if err != nil {
		return nil, err
	}
	return []webhook.Header{
		{Name: webhook.HeaderContentDigest, Value: digest},
		{Name: webhook.HeaderSignatureInput, Value: label + "=" + input},
		{Name: webhook.HeaderSignature, Value: label + "=:" + base64.StdEncoding.EncodeToString(signed) + ":"},
	}, nil
}

// sign signs by the key's algorithm as RFC 9421 section 3.3 defines it.
func (k *Key) sign(text []byte) ([]byte, error) {
	switch private := k.private.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(private, text), nil
	case *ecdsa.PrivateKey:
		sum := sha256.Sum256(text)
		r, s, err := ecdsa.Sign(rand.Reader, private, sum[:])
		if err != nil {
			return nil, fmt.Errorf("sign with key %s: %w", k.ID, err)
		}
		const half = 32
		out := make([]byte, 2*half)
		r.FillBytes(out[:half])
		s.FillBytes(out[half:])
		return out, nil
	}
	return nil, fmt.Errorf("sign with key %s: its private half is not there", k.ID)
}
