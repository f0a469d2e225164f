package httpapi

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

type (
	rotateInput struct {
		SecretKey optional[string] `json:"secret_key,omitzero" doc:"The new secret; one is made if it is absent" maxLength:"1024"`
		Algorithm optional[string] `json:"algorithm,omitzero" doc:"Of the secret that is made: hmac-sha256 (whsec_…, signs v1) if it is absent, or ed25519 (signs v1a), of which only the public key is told"`
	}
	rotatedBody struct {
		SecretKey *string    `json:"secret_key" doc:"The new secret, shown only now; null for an ed25519 key, which receivers do not need"`
		PublicKey *string    `json:"public_key" doc:"Verifies signatures v1a where the secret is an ed25519 key (whpk_…); null for others"`
		OldUntil  *time.Time `json:"old_until" doc:"Until when the one before signs, too; null where there was none"`
	}
	rotatedOutput struct {
		ETag string `header:"ETag" doc:"The hook's version"`
		Body rotatedBody
	}
)

func (s *server) registerRotate() {
	register(s, route{role: store.Editor, body: bodyOf[rotateInput](s), optional: true, conflict: true}, huma.Operation{
		OperationID: "rotate-secret", Method: http.MethodPost, Path: hooksPath + "{id}/secret/rotate/", Tags: []string{"Hooks"},
		Summary:     "Give a hook a new secret",
		Description: "The old one signs for 24 hours more: requests carry a signature of each.",
	}, s.rotateSecret)
}

func (s *server) rotateSecret(ctx context.Context, c *call, in *hookChangeInput) (*rotatedOutput, error) {
	id, err := readID(in.ID)
	if err != nil {
		return nil, err
	}
	var fields rotateInput
	if len(c.body) > 0 {
		if err := decodeBody(c.body, &fields); err != nil {
			return nil, err
		}
	}
	secret, err := fields.secret()
	if err != nil {
		return nil, err
	}
	out := rotatedBody{SecretKey: &secret, PublicKey: publicKey(secret)}
	if out.PublicKey != nil {
		out.SecretKey = nil
	}
	h, err := s.Hooks.UpdateHook(ctx, c.actor(), c.tenant, id, readIfMatch(in.IfMatch), func(h *webhook.Hook) error {
		out.OldUntil = optionalTime(h.RotateSecret(secret, time.Now()))
		return checkSecret(h)
	})
	if err != nil {
		return nil, err
	}
	return &rotatedOutput{ETag: etag(h.Version), Body: out}, nil
}

// secret is the one that was sent, or a new one.
func (in *rotateInput) secret() (string, error) {
	invalid := &webhook.ValidationError{}
	switch algorithm := strings.ToLower(in.Algorithm.Value); {
	case in.SecretKey.given() && in.Algorithm.given():
		invalid.Add("/algorithm", "is for a secret that is made here: leave out secret_key, or this")
	case in.SecretKey.given():
		return in.SecretKey.Value, nil
	case algorithm == "" || algorithm == "hmac-sha256":
		return signature.GenerateSecret(), nil
	case algorithm == "ed25519":
		return signature.GeneratePrivate(), nil
	default:
		invalid.Add("/algorithm", "must be hmac-sha256 or ed25519")
	}
	return "", invalid
}

func checkSecret(h *webhook.Hook) error {
	if err := h.Validate(); err != nil {
		return err
	}
	invalid := &webhook.ValidationError{}
	checkKey(invalid, h.Secrets[0].Value)
	return invalid.OrNil()
}

// checkKey complains about a secret that nothing can be signed with.
func checkKey(invalid *webhook.ValidationError, secret string) {
	if _, err := signature.ParseKey(secret); err != nil {
		invalid.Add("/secret_key", "%s", err)
	}
}
