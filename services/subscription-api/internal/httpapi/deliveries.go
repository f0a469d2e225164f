package httpapi

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

const (
	deliveriesPath = root + "/deliveries/"
	tagDeliveries  = "Deliveries"
	tagJobs        = "Jobs"
)

type (
	// DeliveryFilter is the query of every list of deliveries.
	DeliveryFilter struct {
		Event       string     `query:"event" doc:"Deliveries of the event of this id; seven days are no limit then"`
		EventType   string     `query:"event_type" doc:"A type, or a pattern that the event's type is covered by"`
		Entity      string     `query:"entity" doc:"Such as package:61; for as long as the event's payload is kept"`
		State       string     `query:"state" doc:"One or more of waiting, parked, delivered, dead, cancelled, separated by commas"`
		Status      intParam   `query:"status" doc:"The HTTP status of the last attempt; 0 for none"`
		StatusClass string     `query:"status_class" enum:"2xx,3xx,4xx,5xx,none" doc:"That of the last attempt; none where there was no answer"`
		From        fromParam  `query:"from"`
		To          toParam    `query:"to"`
		Limit       limitParam `query:"limit"`
		Cursor      string     `query:"cursor" doc:"From next or previous"`
		PayloadQuery
	}
	deliveryListInput struct {
		Hook string `query:"hook" format:"uuid" doc:"Deliveries to this hook"`
		DeliveryFilter
	}
	hookDeliveriesInput struct {
		ID string `path:"id" format:"uuid" doc:"The hook's id"`
		DeliveryFilter
	}
	deliveryGetInput struct {
		ID string `path:"id" format:"uuid" doc:"The delivery's id"`
	}
	// DeliveryBody is a delivery in a list.
	DeliveryBody struct {
		ID               uuid.UUID             `json:"id" format:"uuid" doc:"Also the header webhook-id"`
		Hook             uuid.UUID             `json:"hook" format:"uuid"`
		Event            string                `json:"event" doc:"The event's id"`
		EventType        string                `json:"event_type"`
		Entity           string                `json:"entity"`
		State            webhook.DeliveryState `json:"state" enum:"waiting,parked,delivered,dead,cancelled"`
		Reason           webhook.Reason        `json:"reason" doc:"Why it is in its state, in one fixed word; may be empty"`
		AttemptCount     int                   `json:"attempt_count"`
		Status           *int                  `json:"status" doc:"The HTTP status of the last attempt; null where no answer came"`
		ErrorClass       webhook.ErrorClass    `json:"error_class" doc:"Why the last attempt failed, in one fixed word; empty for a success"`
		Replay           bool                  `json:"replay" doc:"Whether a person asked for the last attempts"`
		NextAttemptDate  *time.Time            `json:"next_attempt_date" doc:"Null unless it is waiting"`
		FirstAttemptDate *time.Time            `json:"first_attempt_date"`
		CreatedDate      time.Time             `json:"created_date" doc:"When the event was published"`
		ModifiedDate     time.Time             `json:"modified_date"`
	}
	deliveryPage struct {
		Next       *string        `json:"next" doc:"URL of the next page; null on the last one"`
		Previous   *string        `json:"previous" doc:"URL of the previous page; null on the first one"`
		Results    []DeliveryBody `json:"results" nullable:"false"`
		SearchedTo *time.Time     `json:"searched_to" doc:"How far a search for what there is no index of (payloads, event types, statuses of success) has come; it goes on with next, or with previous where that was followed. Null where it is through, or the page is full"`
	}
	deliveryListOutput struct{ Body deliveryPage }
	deliveryDetailBody struct {
		DeliveryBody
		Attempts []attemptBody `json:"attempts" nullable:"false" doc:"The first one first"`
	}
	deliveryOutput struct{ Body deliveryDetailBody }
)

type (
	attemptTimings struct {
		DNS       float64 `json:"dns" doc:"Seconds; 0 on a connection that was there already"`
		Connect   float64 `json:"connect"`
		TLS       float64 `json:"tls"`
		FirstByte float64 `json:"first_byte" doc:"Seconds from the begin of the attempt to the begin of the answer"`
	}
	attemptBody struct {
		Number               int                    `json:"number" doc:"Counts from 1"`
		StartedAt            time.Time              `json:"started_at"`
		Duration             float64                `json:"duration" doc:"Seconds"`
		Outcome              webhook.AttemptOutcome `json:"outcome" enum:"succeeded,failed,unknown" doc:"unknown: a worker ended before it could tell"`
		Status               *int                   `json:"status" doc:"The HTTP status; null where no answer came"`
		ErrorClass           webhook.ErrorClass     `json:"error_class"`
		Error                string                 `json:"error" doc:"What went wrong, for people"`
		Replay               bool                   `json:"replay"`
		Worker               string                 `json:"worker"`
		Method               string                 `json:"method"`
		URL                  string                 `json:"url"`
		RequestHeaders       []headerLine           `json:"request_headers" nullable:"false" doc:"The integrator's own values are hidden"`
		RequestSize          int                    `json:"request_size" doc:"Of the body, in bytes"`
		ResponseHeaders      []headerLine           `json:"response_headers" nullable:"false"`
		ResponseBody         string                 `json:"response_body" doc:"The first 16 KiB, or up to 64 KiB decoded from them"`
		ResponseBodyDecoded  bool                   `json:"response_body_decoded" doc:"Whether the receiver sent the body compressed (Content-Encoding)"`
		ResponseBodyIsBase64 bool                   `json:"response_body_is_base64" doc:"Whether the body was no text"`
		Truncated            bool                   `json:"truncated" doc:"Whether there was more of the answer than is shown"`
		Timings              attemptTimings         `json:"timings"`
	}
)

func (s *server) registerDeliveries() {
	tag := []string{tagDeliveries}
	register(s, route{role: store.Viewer, lookUp: true, limit: usecase.SearchTimeout + storeTimeout}, huma.Operation{
		OperationID: "list-deliveries", Method: http.MethodGet, Path: deliveriesPath, Tags: tag,
		Summary: "List deliveries by when their events were published, newest first", Description: "Of the last seven days, unless from says otherwise.",
	}, s.listDeliveries)
	register(s, route{role: store.Viewer, lookUp: true}, huma.Operation{
		OperationID: "get-delivery", Method: http.MethodGet, Path: deliveriesPath + "{id}/", Tags: tag,
		Summary: "Get a delivery with all its attempts",
	}, s.getDelivery)
	register(s, route{role: store.Viewer, lookUp: true, limit: usecase.SearchTimeout + storeTimeout}, huma.Operation{
		OperationID: "list-hook-deliveries", Method: http.MethodGet, Path: hooksPath + "{id}/deliveries/", Tags: tag,
		Summary: "List a hook's deliveries, newest first", Description: "Of the last seven days, unless from says otherwise.",
	}, s.listHookDeliveries)
}

// filter reads what the lists of deliveries have in common.
func (in *DeliveryFilter) filter(now time.Time) (f store.DeliveryFilter, err error) {
	f.EventID, f.Entity = in.Event, in.Entity
	if f.EventTypes, err = readTypes("event_type", in.EventType); err != nil {
		return f, err
	}
	if f.States, err = readState(in.State); err != nil {
		return f, err
	}
	if f.Range, err = readRange(in.From, in.To, now); err != nil {
		return f, err
	}
	if f.Payload, err = in.payload(in.From, f.Range, now); err != nil {
		return f, err
	}
	if in.Event != "" && in.From == "" {
		f.Range.From = time.Time{}
	}
	status, err := readHTTPStatus("status", string(in.Status))
	if err != nil {
		return f, err
	}
	f.MinStatus, f.MaxStatus = status, status
	if status == nil {
		f.MinStatus, f.MaxStatus, err = statusClass(in.StatusClass)
	}
	return f, err
}

func statusClass(class string) (low, high *int, err error) {
	if class == "" {
		return nil, nil, nil
	}
	bounds, known := map[string][2]int{
		"2xx": {200, 299}, "3xx": {300, 399}, "4xx": {400, 499}, "5xx": {500, 599}, "none": {0, 0},
	}[strings.ToLower(class)]
	if !known {
		return nil, nil, badParameter("status_class", "must be 2xx, 3xx, 4xx, 5xx or none")
	}
	return &bounds[0], &bounds[1], nil
}

func (s *server) listDeliveries(ctx context.Context, c *call, in *deliveryListInput) (*deliveryListOutput, error) {
	f, err := in.filter(time.Now())
	if err != nil {
		return nil, err
	}
	if f.Hook, err = readFilterID("hook", in.Hook); err != nil {
		return nil, err
	}
	return s.deliveryPage(ctx, c, f, deliveriesPath)
}

func (s *server) listHookDeliveries(ctx context.Context, c *call, in *hookDeliveriesInput) (*deliveryListOutput, error) {
	f, err := in.filter(time.Now())
	if err != nil {
		return nil, err
	}
	if _, err := s.Cases.Hook(ctx, &c.Caller, c.id); err != nil {
		return nil, err
	}
	f.Hook = c.id
	return s.deliveryPage(ctx, c, f, hooksPath+c.id.String()+"/deliveries/")
}

func (s *server) deliveryPage(ctx context.Context, c *call, f store.DeliveryFilter, path string) (*deliveryListOutput, error) {
	scope := c.scopeOf(path)
	page, err := s.cursors.page(c.query, scope)
	if err != nil {
		return nil, err
	}
	got, err := listed(ctx, f.Scans(), func(ctx context.Context) (store.Scanned[webhook.Delivery], error) {
		return s.Cases.Deliveries(ctx, &c.Caller, f, page)
	})
	if err != nil {
		return nil, err
	}
	out := deliveryPage{Results: make([]DeliveryBody, len(got.List)), SearchedTo: searchedTo(got.Reached)}
	for i := range got.List {
		out.Results[i] = renderDelivery(&got.List[i])
	}
	first, last := ends(&got, page, func(d *webhook.Delivery) store.Position { return store.Position{At: d.PublishedAt, ID: d.ID} })
	out.Next, out.Previous = s.cursors.links(c.base+path, c.query, scope, page, got.More, first, last)
	return &deliveryListOutput{Body: out}, nil
}

func (s *server) getDelivery(ctx context.Context, c *call, _ *deliveryGetInput) (*deliveryOutput, error) {
	return s.showDelivery(ctx, c)
}

func (s *server) showDelivery(ctx context.Context, c *call) (*deliveryOutput, error) {
	d, attempts, err := s.Cases.Delivery(ctx, &c.Caller, c.id)
	if err != nil {
		return nil, err
	}
	out := deliveryDetailBody{DeliveryBody: renderDelivery(&d), Attempts: make([]attemptBody, len(attempts))}
	for i := range attempts {
		out.Attempts[i] = renderAttempt(c.mask.Attempt(attempts[i]))
	}
	return &deliveryOutput{Body: out}, nil
}

func renderDelivery(d *webhook.Delivery) DeliveryBody {
	return DeliveryBody{
		ID: d.ID, Hook: d.HookID, Event: d.EventID, EventType: d.EventType, Entity: d.Entity, State: d.State, Reason: d.Reason,
		AttemptCount: d.Attempts, Status: optionalStatus(d.LastStatus), ErrorClass: d.LastError, Replay: d.Replay,
		NextAttemptDate: optionalTime(d.NextAt), FirstAttemptDate: optionalTime(d.FirstAttemptAt), CreatedDate: d.PublishedAt,
		ModifiedDate: d.UpdatedAt,
	}
}

func renderAttempt(a webhook.ShownAttempt) attemptBody {
	shown := a.Body
	body := contentOf(shown.Bytes)
	return attemptBody{
		Number: a.Number, StartedAt: a.StartedAt, Duration: a.Duration.Seconds(), Outcome: a.Outcome,
		Status: optionalStatus(a.Status), ErrorClass: a.Class, Error: a.Error, Replay: a.Replay, Worker: a.Worker, Method: a.Method,
		URL: a.URL, RequestHeaders: headerLines(a.RequestHeaders), RequestSize: a.RequestSize,
		ResponseHeaders: headerLines(a.ResponseHeaders), ResponseBody: body.text, ResponseBodyDecoded: shown.Decoded, ResponseBodyIsBase64: body.base64,
		Truncated: shown.Truncated, Timings: attemptTimings{
			DNS: a.Timings.DNS.Seconds(), Connect: a.Timings.Connect.Seconds(), TLS: a.Timings.TLS.Seconds(),
			FirstByte: a.Timings.FirstByte.Seconds(),
		},
	}
}
