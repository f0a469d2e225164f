package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

func (s *server) registerDeliveryReplay() {
	register(s, route{role: usecase.Admin, body: bodyAs[api.Elsewhere](s, "ElsewhereInput"), conflict: true, limit: usecase.TestTimeout}, huma.Operation{
		OperationID: "replay-delivery", Method: http.MethodPost, Path: deliveriesPath + "{id}/replay/", Tags: []string{tagDeliveries},
		Summary: "Send a delivery to another URL as a test",
		Description: "The request has the body that the hook's current settings produce, and the delivery's id, but none of the hook's headers, API key, " +
			"credentials and certificates. It has the header X-Whisperer-Test: true, is sent once, and does not count as an attempt of the delivery. " +
			"The audit log records the host.",
	}, s.replayDelivery)
}

func (s *server) replayDelivery(ctx context.Context, c *call, _ *deliveryGetInput) (*testOutput, error) {
	in, sent, err := decodeAs[api.Elsewhere](c.body)
	if err != nil {
		return nil, err
	}
	tested, err := s.Cases.Deliveries.ReplayElsewhere(ctx, &c.Caller, c.id, usecase.Elsewhere{
		TargetURL: sentFor(sent, &in.TargetURL), SecretKey: sentFor(sent, &in.SecretKey), SignAsHook: in.SignAsHook,
	})
	if err != nil {
		return nil, err
	}
	return s.renderTested(c, &tested), nil
}
