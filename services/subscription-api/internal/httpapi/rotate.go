package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

type rotatedOutput struct {
	ETag string `header:"ETag" doc:"The hook's version"`
	Body api.Rotated
}

func (s *server) registerRotate() {
	register(s, route{role: usecase.Editor, body: bodyAs[api.SecretRotation](s, "RotateInput"), optional: true, conflict: true}, huma.Operation{
		OperationID: "rotate-secret", Method: http.MethodPost, Path: hooksPath + "{id}/secret/rotate/", Tags: []string{"Hooks"},
		Summary:     "Rotate a hook's secret",
		Description: "The old secret signs for another 24 hours: requests carry both signatures.",
	}, s.rotateSecret)
}

func (s *server) rotateSecret(ctx context.Context, c *call, in *hookChangeInput) (*rotatedOutput, error) {
	fields, sent, err := decodeAs[api.SecretRotation](c.body)
	if err != nil {
		return nil, err
	}
	r, err := s.Cases.Hooks.RotateSecret(ctx, &c.Caller, c.id, readIfMatch(in.IfMatch), usecase.Rotation{
		Secret: sentFor(sent, &fields.SecretKey), Algorithm: sentFor(sent, &fields.Algorithm),
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
