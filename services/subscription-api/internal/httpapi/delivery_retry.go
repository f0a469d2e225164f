package httpapi

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

func (s *server) registerDeliveryRetry() {
	register(s, route{role: usecase.Editor, body: bodyAs[api.Retry](s, "RetryInput"), optional: true, conflict: true, lookUp: true}, huma.Operation{
		OperationID: "retry-delivery", Method: http.MethodPost, Path: deliveriesPath + "{id}/retry/", Tags: []string{tagDeliveries},
		Summary: "Retry a delivery now",
		Description: "The delivery is parked and sent with the header X-Whisperer-Replay; the retry schedule starts again. " +
			"The payload and the hook must still exist, and the hook must not be disabled.",
	}, s.retryDelivery)
}

func (s *server) retryDelivery(ctx context.Context, c *call, _ *deliveryGetInput) (*deliveryOutput, error) {
	if err := s.parkForRetry(ctx, c); err != nil {
		return nil, err
	}
	return s.showDelivery(ctx, c)
}

// parkForRetry retries a delivery with the options in the body.
func (s *server) parkForRetry(ctx context.Context, c *call) error {
	options, _, err := decodeAs[api.Retry](c.body)
	if err != nil {
		return err
	}
	return s.Cases.Deliveries.Retry(ctx, &c.Caller, c.id, options.Force)
}
