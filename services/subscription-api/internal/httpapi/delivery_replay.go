package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

type elsewhereInput struct {
	TargetURL  optional[string] `json:"target_url" doc:"The URL to send it to, under the same rules as a hook's target_url"`
	SecretKey  optional[string] `json:"secret_key,omitzero" doc:"Signs the request; it is not stored"`
	SignAsHook optional[bool]   `json:"sign_as_hook,omitzero" doc:"Sign the request like the hook's; by default it is not signed"`
}

func (s *server) registerDeliveryReplay() {
	register(s, route{role: usecase.Admin, body: bodyOf[elsewhereInput](s), conflict: true, limit: usecase.TestTimeout}, huma.Operation{
		OperationID: "replay-delivery", Method: http.MethodPost, Path: deliveriesPath + "{id}/replay/", Tags: []string{tagDeliveries},
		Summary: "Send a delivery to another URL as a test",
		Description: "The request has the body that the hook's current settings produce, and the delivery's id, but none of the hook's headers, API key, " +
			"credentials and certificates. It has the header X-Whisperer-Test: true, is sent once, and does not count as an attempt of the delivery. " +
			"The audit log records the host.",
	}, s.replayDelivery)
}

func (s *server) replayDelivery(ctx context.Context, c *call, _ *deliveryGetInput) (*testOutput, error) {
	var in elsewhereInput
	if err := decodeBody(c.body, &in); err != nil {
		return nil, err
	}
	tested, err := s.Cases.ReplayElsewhere(ctx, &c.Caller, c.id, usecase.Elsewhere{
		TargetURL: in.TargetURL.Optional, SecretKey: in.SecretKey.Optional, SignAsHook: in.SignAsHook.Value,
	})
	if err != nil {
		return nil, err
	}
	return s.renderTested(c, &tested), nil
}
