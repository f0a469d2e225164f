package client

import (
	"context"
	"iter"
	"net/http"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

const (
	deliveriesPath = "/whisperer/deliveries/"
	eventsPath     = "/whisperer/events/"
)

type (
	// DeliveryFilter narrows a list of deliveries; zero fields let everything pass. Without Event, IDPrefix and From the list goes
	// back seven days.
	DeliveryFilter = api.DeliveryFilter
	// DataFilter narrows a list by the events' data. It needs From, and at most 31 days.
	DataFilter = api.DataFilter
)

// Deliveries lists deliveries, newest first, fetching page after page. It ends after the first error.
func (c *Client) Deliveries(ctx context.Context, filter DeliveryFilter) iter.Seq2[api.Delivery, error] {
	return pages[api.Delivery](ctx, c, deliveriesPath, queryOf(filter))
}

// Delivery returns a delivery with its attempts.
func (c *Client) Delivery(ctx context.Context, id uuid.UUID) (api.DeliveryDetail, error) {
	var d api.DeliveryDetail
	err := c.do(ctx, request{method: http.MethodGet, path: deliveriesPath + id.String() + "/"}, &d)
	return d, err
}

// RetryDelivery has a delivery tried again at once; with force also one that was delivered.
func (c *Client) RetryDelivery(ctx context.Context, id uuid.UUID, force bool) (api.DeliveryDetail, error) {
	var d api.DeliveryDetail
	err := c.do(ctx, request{method: http.MethodPost, path: deliveriesPath + id.String() + "/retry/", body: api.Retry{Force: force}}, &d)
	return d, err
}

// Elsewhere says where a delivery is sent besides its hook's target.
type Elsewhere = api.Elsewhere

// ReplayDelivery sends what a delivery's hook is sent of its event to another URL now, and returns the answer. It is no attempt of the delivery.
func (c *Client) ReplayDelivery(ctx context.Context, id uuid.UUID, to Elsewhere) (api.TestResult, error) {
	var result api.TestResult
	err := c.do(ctx, request{method: http.MethodPost, path: deliveriesPath + id.String() + "/replay/", body: to}, &result)
	return result, err
}

// Explain says for every hook why it did or did not get the event.
func (c *Client) Explain(ctx context.Context, eventID string) iter.Seq2[api.ExplainedHook, error] {
	return pages[api.ExplainedHook](ctx, c, eventsPath+eventID+"/explain/", nil)
}

// Algorithms of secrets that the API makes.
const (
	HMAC    = "hmac-sha256"
	Ed25519 = "ed25519"
)

// RotateSecret gives a hook a new secret of the algorithm, HMAC if it is empty, which is never shown again.
func (c *Client) RotateSecret(ctx context.Context, hook uuid.UUID, algorithm string) (api.Rotated, error) {
	var r api.Rotated
	body := api.SecretRotation{Algorithm: algorithm}
	err := c.do(ctx, request{method: http.MethodPost, path: hookPath(hook, "secret/rotate/"), body: body}, &r)
	return r, err
}
