package client

import (
	"context"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

const (
	deliveriesPath = "/whisperer/deliveries/"
	eventsPath     = "/whisperer/events/"
)

// Delivery is one event for one hook.
type Delivery struct {
	ID           uuid.UUID             `json:"id"`
	Hook         uuid.UUID             `json:"hook"`
	Event        string                `json:"event"`
	EventType    string                `json:"event_type"`
	Entity       string                `json:"entity"`
	State        webhook.DeliveryState `json:"state"`
	Reason       webhook.Reason        `json:"reason"`
	AttemptCount int                   `json:"attempt_count"`
	// Status is the HTTP status of the last attempt; nil where no answer came.
	Status           *int               `json:"status"`
	ErrorClass       webhook.ErrorClass `json:"error_class"`
	Replay           bool               `json:"replay"`
	NextAttemptDate  *time.Time         `json:"next_attempt_date"`
	FirstAttemptDate *time.Time         `json:"first_attempt_date"`
	CreatedDate      time.Time          `json:"created_date"`
	ModifiedDate     time.Time          `json:"modified_date"`
	// Attempts are nil in lists.
	Attempts []Attempt `json:"attempts,omitempty"`
}

// Attempt is one HTTP request for a delivery.
type Attempt struct {
	Number    int       `json:"number"`
	StartedAt time.Time `json:"started_at"`
	// Duration is in seconds.
	Duration float64                `json:"duration"`
	Outcome  webhook.AttemptOutcome `json:"outcome"`
	// Status is the HTTP status; nil where no answer came.
	Status     *int               `json:"status"`
	ErrorClass webhook.ErrorClass `json:"error_class"`
	Error      string             `json:"error"`
	Replay     bool               `json:"replay"`
	Worker     string             `json:"worker"`
	Method     string             `json:"method"`
	URL        string             `json:"url"`
	// RequestHeaders hide the integrator's own values.
	RequestHeaders []Header `json:"request_headers"`
	// RequestSize is the body's, in bytes.
	RequestSize     int      `json:"request_size"`
	ResponseHeaders []Header `json:"response_headers"`
	// ResponseBody is at most 16 KiB, or 64 KiB that were decoded from them.
	ResponseBody string `json:"response_body"`
	// ResponseBodyDecoded says that the receiver sent the body compressed.
	ResponseBodyDecoded bool `json:"response_body_decoded"`
	// ResponseBodyIsBase64 says that the body was no text.
	ResponseBodyIsBase64 bool    `json:"response_body_is_base64"`
	Truncated            bool    `json:"truncated"`
	Timings              Timings `json:"timings"`
}

// Header is one HTTP header line.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Timings are the parts of an attempt's duration in seconds; 0 on a connection that was there already.
type Timings struct {
	DNS       float64 `json:"dns"`
	Connect   float64 `json:"connect"`
	TLS       float64 `json:"tls"`
	FirstByte float64 `json:"first_byte"`
}

// DeliveryFilter narrows a list of deliveries; empty fields let everything pass. Without Event and From the list goes
// back seven days.
type DeliveryFilter struct {
	Hook      uuid.UUID
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
		"hook": idParameter(f.Hook), "event": f.Event, "event_type": f.EventType, "entity": f.Entity, "state": f.State,
		"status": numberParameter(f.Status), "status_class": f.StatusClass, "from": timeParameter(f.From), "to": timeParameter(f.To),
	}))
}

// Deliveries lists deliveries, newest first, fetching page after page. It ends after the first error.
func (c *Client) Deliveries(ctx context.Context, filter DeliveryFilter) iter.Seq2[Delivery, error] {
	return pages[Delivery](ctx, c, deliveriesPath, filter.query())
}

// Delivery returns a delivery with its attempts.
func (c *Client) Delivery(ctx context.Context, id uuid.UUID) (Delivery, error) {
	var d Delivery
	err := c.do(ctx, request{method: http.MethodGet, path: deliveriesPath + id.String() + "/"}, &d)
	return d, err
}

// RetryDelivery has a delivery tried again at once; with force also one that was delivered.
func (c *Client) RetryDelivery(ctx context.Context, id uuid.UUID, force bool) (Delivery, error) {
	var d Delivery
	body := map[string]bool{"force": force}
	err := c.do(ctx, request{method: http.MethodPost, path: deliveriesPath + id.String() + "/retry/", body: body}, &d)
	return d, err
}

// Explained says why a hook did or did not get an event.
type Explained struct {
	Hook         uuid.UUID `json:"hook"`
	Name         string    `json:"name"`
	Outcome      string    `json:"outcome"`
	Reason       string    `json:"reason"`
	Detail       string    `json:"detail"`
	Delivery     *string   `json:"delivery"`
	AttemptCount int       `json:"attempt_count"`
	Evaluated    string    `json:"evaluated"`
}

// Explain says for every hook why it did or did not get the event.
func (c *Client) Explain(ctx context.Context, eventID string) iter.Seq2[Explained, error] {
	return pages[Explained](ctx, c, eventsPath+eventID+"/explain/", nil)
}

// Rotated is a hook's new secret.
type Rotated struct {
	// SecretKey is empty for an ed25519 key, of which nobody learns the private half.
	SecretKey string `json:"secret_key"`
	// PublicKey verifies the signatures of an ed25519 key; empty for other secrets.
	PublicKey string `json:"public_key"`
	// OldUntil is until when the one before signs, too; nil where there was none.
	OldUntil *time.Time `json:"old_until"`
}

// Algorithms of secrets that the API makes.
const (
	HMAC    = "hmac-sha256"
	Ed25519 = "ed25519"
)

// RotateSecret gives a hook a new secret of the algorithm, HMAC if it is empty, which is never shown again.
func (c *Client) RotateSecret(ctx context.Context, hook uuid.UUID, algorithm string) (Rotated, error) {
	var r Rotated
	body := map[string]string{}
	if algorithm != "" {
		body["algorithm"] = algorithm
	}
	err := c.do(ctx, request{method: http.MethodPost, path: hookPath(hook, "secret/rotate/"), body: body}, &r)
	return r, err
}
