package erase

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/httpsig"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// certificate says what was erased where, when and by whom. The API returns its fields together with the key and
// signature.
type certificate struct {
	Erasure     uuid.UUID         `json:"erasure"`
	Tenant      string            `json:"tenant"`
	Criterion   store.ErasureKind `json:"criterion"`
	From        time.Time         `json:"from"`
	To          time.Time         `json:"to"`
	RequestedBy store.Actor       `json:"requested_by"`
	Reason      string            `json:"reason"`
	RequestedAt time.Time         `json:"requested_at"`
	CompletedAt time.Time         `json:"completed_at"`
	Events      int64             `json:"events"`
	// EventsDigest is the SHA-256 of the events' ids, sorted bytewise, each followed by a line feed.
	EventsDigest string           `json:"events_sha256"`
	Places       map[string]int64 `json:"places"`
}

// signed is a certificate as it is stored.
type signed struct {
	certificate

	// Key is the public half of the tenant's key that signed; it was in the tenant's key set at the time.
	Key httpsig.JWK `json:"key"`
	// Signature is a compact JWS. Its payload is the certificate without Key and Signature.
	Signature string `json:"signature"`
}

func (r *Eraser) complete(ctx context.Context, e *store.Erasure) error {
	now, err := r.db.Get(ctx, e.Tenant, e.ID)
	if err != nil {
		return err
	}
	digest, err := r.db.Digest(ctx, e)
	if err != nil {
		return err
	}
	text, err := r.sign(ctx, certificate{
		Erasure: e.ID, Tenant: e.Tenant, Criterion: e.Kind, From: e.Range.From, To: e.Range.To, RequestedBy: e.Owner, Reason: e.Reason,
		RequestedAt: e.CreatedAt, CompletedAt: time.Now().UTC(), Events: now.Done, EventsDigest: digest, Places: now.Places,
	})
	if err != nil {
		return err
	}
	if err := r.db.Complete(ctx, &now, text); err != nil {
		return err
	}
	r.log.Info("erasure completed", zap.Stringer("erasure_id", e.ID), zap.Int64("events", now.Done))
	return nil
}

// sign signs a certificate with the tenant's key, which it creates if there is none.
func (r *Eraser) sign(ctx context.Context, c certificate) ([]byte, error) {
	if _, err := r.keys.EnsureSigningKeys(ctx, c.RequestedBy, c.Tenant); err != nil {
		return nil, err
	}
	keys, err := r.keys.SigningKeys(ctx, c.Tenant)
	if err != nil {
		return nil, err
	}
	payload, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode certificate: %w", err)
	}
	at := slices.IndexFunc(keys, func(k httpsig.Key) bool {
		return k.State == httpsig.Current && k.Algorithm == webhook.Ed25519 && k.CanSign()
	})
	if at < 0 {
		return nil, &waitError{"It waits for a signing key: the tenant's cannot be opened with the master keys that are configured."}
	}
	token, err := keys[at].SignJWS(payload)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(signed{c, keys[at].Public, token})
	if err != nil {
		return nil, fmt.Errorf("encode certificate: %w", err)
	}
	return text, nil
}

// Verify checks a certificate, as the API returns it, against the tenant's key set, or against the key in the
// certificate if keys is empty. The fields must equal the signed payload. It returns the id of the key that signed.
func Verify(text []byte, keys []httpsig.JWK) (kid string, err error) {
	var c signed
	if err := json.Unmarshal(text, &c); err != nil {
		return "", fmt.Errorf("read certificate: %w", err)
	}
	if c.Signature == "" {
		return "", errors.New("the certificate is not signed")
	}
	if keys == nil {
		keys = []httpsig.JWK{c.Key}
	}
	payload, kid, err := httpsig.VerifyJWS(c.Signature, keys)
	if err != nil {
		return "", err
	}
	var said, told map[string]any
	if err := errors.Join(decode(payload, &said), decode(text, &told)); err != nil {
		return "", fmt.Errorf("read certificate: %w", err)
	}
	delete(told, "key")
	delete(told, "signature")
	if !reflect.DeepEqual(said, told) {
		return "", errors.New("the certificate was changed after it was signed")
	}
	return kid, nil
}

func decode(text []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return d.Decode(into)
}
