package httpapi

import (
	"context"
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// replayStore is what asking for deliveries again needs; *store.DB is one.
type replayStore interface {
	RetryDelivery(ctx context.Context, actor store.Actor, tenant string, id uuid.UUID, force bool) error
}

type retryInput struct {
	Force optional[bool] `json:"force,omitzero" doc:"Send it again although it was delivered"`
}

func (s *server) registerDeliveryRetry() {
	register(s, route{role: store.Editor, body: bodyOf[retryInput](s), optional: true, conflict: true, lookUp: true}, huma.Operation{
		OperationID: "retry-delivery", Method: http.MethodPost, Path: deliveriesPath + "{id}/retry/", Tags: []string{tagDeliveries},
		Summary: "Try a delivery again, at once",
		Description: "It is parked and sent with the header X-Whisperer-Replay; the retry schedule begins anew. " +
			"The payload has to be there still, and the hook, which must not be disabled.",
	}, s.retryDelivery)
}

func (s *server) retryDelivery(ctx context.Context, c *call, in *deliveryGetInput) (*deliveryOutput, error) {
	id, err := readID(in.ID)
	if err != nil {
		return nil, err
	}
	if err := s.parkForRetry(ctx, c, id); err != nil {
		return nil, err
	}
	return s.showDelivery(ctx, c, id)
}

// parkForRetry has a delivery made again, as the options of the body say.
func (s *server) parkForRetry(ctx context.Context, c *call, id uuid.UUID) error {
	var options retryInput
	if len(c.body) > 0 {
		if err := decodeBody(c.body, &options); err != nil {
			return err
		}
	}
	return replayProblem(s.Replays.RetryDelivery(ctx, c.actor(), c.tenant, id, options.Force.Value))
}

// replayProblem says why something cannot be sent again.
func replayProblem(err error) error {
	if refused, ok := errors.AsType[*store.ReplayError](err); ok {
		return newProblem(http.StatusConflict, refused.Reason)
	}
	return err
}
