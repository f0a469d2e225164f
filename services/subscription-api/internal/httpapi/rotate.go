package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

type (
	rotateInput struct {
		SecretKey optional[string] `json:"secret_key,omitzero" doc:"The new secret; generated if absent" maxLength:"1024"`
		Algorithm optional[string] `json:"algorithm,omitzero" doc:"Algorithm of the generated secret: hmac-sha256 (whsec_…, signs v1) if absent, or ed25519 (signs v1a), of which only the public key is shown"`
	}
	rotatedOutput struct {
		ETag string `header:"ETag" doc:"The hook's version"`
		Body api.Rotated
	}
)

func (s *server) registerRotate() {
	register(s, route{role: usecase.Editor, body: bodyOf[rotateInput](s), optional: true, conflict: true}, huma.Operation{
		OperationID: "rotate-secret", Method: http.MethodPost, Path: hooksPath + "{id}/secret/rotate/", Tags: []string{"Hooks"},
		Summary:     "Rotate a hook's secret",
		Description: "The old secret signs for another 24 hours: requests carry both signatures.",
	}, s.rotateSecret)
}

func (s *server) rotateSecret(ctx context.Context, c *call, in *hookChangeInput) (*rotatedOutput, error) {
	var fields rotateInput
	if len(c.body) > 0 {
		if err := decodeBody(c.body, &fields); err != nil {
			return nil, err
		}
	}
	r, err := s.Cases.RotateSecret(ctx, &c.Caller, c.id, readIfMatch(in.IfMatch), usecase.Rotation{
		Secret: fields.SecretKey.Optional, Algorithm: fields.Algorithm.Optional,
	})
	if err != nil {
		return nil, err
	}
	out := api.Rotated{SecretKey: &r.Secret, PublicKey: usecase.PublicKey(r.Secret), OldUntil: optionalTime(r.OldUntil)}
	if out.PublicKey != nil {
		out.SecretKey = nil
	}
	return &rotatedOutput{ETag: etag(r.Version), Body: out}, nil
}
