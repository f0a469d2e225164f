package client

import (
	"context"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

const (
	deliveriesPath = "/whisperer/deliveries/"
	eventsPath     = "/whisperer/events/"
)

// DeliveryFilter narrows a list of deliveries; empty fields let everything pass. Without Event and From the list goes
// back seven days.
type DeliveryFilter struct {
	// IDPrefix is how the id begins: at least 4 hexadecimal digits.
	IDPrefix string
	Hook     uuid.UUID
	// Labels are those that the hook has to have; an empty value is any.
	Labels    webhook.LabelSelector
	Event     string
	EventType string
	Entity    string
	State     string
	Status    int
	// StatusClass is 2xx, 3xx, 4xx, 5xx, or none where there was no answer.
	StatusClass string
	From, To    time.Time
	DataFilter
}

// DataFilter narrows a list by the events' data. It needs From, and at most 31 days.
type DataFilter struct {
	// DataContains is JSON that the data has to contain, DataPath an SQL/JSON path that has to find something in it, and DataText
	// text in it as it was published.
	DataContains, DataPath, DataText string
}

func (f *DataFilter) add(to url.Values) url.Values {
	maps.Copy(to, queryOf(map[string]string{"data_contains": f.DataContains, "data_path": f.DataPath, "data_text": f.DataText}))
	return to
}

func (f *DeliveryFilter) query() url.Values {
	return f.add(queryOf(map[string]string{
		"id_prefix": f.IDPrefix, "hook": idParameter(f.Hook), "label": f.Labels.String(), "event": f.Event, "event_type": f.EventType, "entity": f.Entity, "state": f.State,
		"status": numberParameter(f.Status), "status_class": f.StatusClass, "from": timeParameter(f.From), "to": timeParameter(f.To),
	}))
}

// Deliveries lists deliveries, newest first, fetching page after page. It ends after the first error.
func (c *Client) Deliveries(ctx context.Context, filter DeliveryFilter) iter.Seq2[api.Delivery, error] {
	return pages[api.Delivery](ctx, c, deliveriesPath, filter.query())
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
	body := map[string]bool{"force": force}
	err := c.do(ctx, request{method: http.MethodPost, path: deliveriesPath + id.String() + "/retry/", body: body}, &d)
	return d, err
}

// Elsewhere says where a delivery is sent besides its hook's target.
type Elsewhere struct {
	TargetURL string `json:"target_url"`
	// SecretKey signs the request; empty for none.
	SecretKey string `json:"secret_key,omitempty"`
	// SignAsHook signs it as the hook's are signed.
	SignAsHook bool `json:"sign_as_hook,omitempty"`
}

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
	body := map[string]string{}
	if algorithm != "" {
		body["algorithm"] = algorithm
	}
	err := c.do(ctx, request{method: http.MethodPost, path: hookPath(hook, "secret/rotate/"), body: body}, &r)
	return r, err
}
