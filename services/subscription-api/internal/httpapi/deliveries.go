package httpapi

import (
	"context"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
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
		DeliveryChoice
		Limit  limitParam `query:"limit"`
		Cursor string     `query:"cursor" doc:"From next or previous"`
	}
	// DeliveryChoice narrows deliveries.
	DeliveryChoice struct {
		IDPrefix    string    `query:"id_prefix" doc:"Deliveries whose id begins so: at least 4 hexadecimal digits; seven days are no limit then"`
		Event       string    `query:"event" doc:"Deliveries of the event of this id; seven days are no limit then"`
		EventType   string    `query:"event_type" doc:"A type, or a pattern that the event's type is covered by"`
		Entity      string    `query:"entity" doc:"Such as package:61; for as long as the event's payload is kept"`
		State       string    `query:"state" doc:"One or more of waiting, parked, delivered, dead, cancelled, superseded, separated by commas"`
		Status      intParam  `query:"status" doc:"The HTTP status of the last attempt; 0 for none"`
		StatusClass string    `query:"status_class" enum:"2xx,3xx,4xx,5xx,none" doc:"That of the last attempt; none where there was no answer. 3xx to 5xx leave out what was delivered, unless state asks for it"`
		Label       string    `query:"label" doc:"Deliveries to hooks with these labels: name=value, or name alone for any value; several separated by commas"`
		From        fromParam `query:"from"`
		To          toParam   `query:"to"`
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
	deliveryListOutput struct{ Body api.SearchPage[api.Delivery] }
	deliveryOutput     struct{ Body api.DeliveryDetail }
)

func (s *server) registerDeliveries() {
	tag := []string{tagDeliveries}
	register(s, route{role: usecase.Viewer, lookUp: true, limit: usecase.SearchTimeout + storeTimeout}, huma.Operation{
		OperationID: "list-deliveries", Method: http.MethodGet, Path: deliveriesPath, Tags: tag,
		Summary: "List deliveries, newest event first", Description: "Of the last seven days, unless from says otherwise.",
	}, s.listDeliveries)
	register(s, route{role: usecase.Viewer, lookUp: true}, huma.Operation{
		OperationID: "get-delivery", Method: http.MethodGet, Path: deliveriesPath + "{id}/", Tags: tag,
		Summary: "Get a delivery with all its attempts",
	}, s.getDelivery)
	register(s, route{role: usecase.Viewer, lookUp: true, limit: usecase.SearchTimeout + storeTimeout}, huma.Operation{
		OperationID: "list-hook-deliveries", Method: http.MethodGet, Path: hooksPath + "{id}/deliveries/", Tags: tag,
		Summary: "List a hook's deliveries, newest first", Description: "Of the last seven days, unless from says otherwise.",
	}, s.listHookDeliveries)
}

// filter reads what the lists of deliveries have in common.
func (in *DeliveryChoice) filter(now time.Time) (f usecase.DeliveryFilter, err error) {
	f.EventID, f.Entity = in.Event, in.Entity
	if f.IDs, err = readPrefix(in.IDPrefix); err != nil {
		return f, err
	}
	if f.Labels, err = readLabels(in.Label); err != nil {
		return f, err
	}
	if f.EventTypes, err = readTypes(in.EventType); err != nil {
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
	if (in.Event != "" || in.IDPrefix != "") && in.From == "" {
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

func (s *server) deliveryPage(ctx context.Context, c *call, f usecase.DeliveryFilter, path string) (*deliveryListOutput, error) {
	scope := c.scopeOf(path)
	page, err := s.cursors.page(c.query, scope)
	if err != nil {
		return nil, err
	}
	got, err := listed(ctx, f.Scans(), func(ctx context.Context) (usecase.Scanned[webhook.Delivery], error) {
		return s.Cases.Deliveries(ctx, &c.Caller, f, page)
	})
	if err != nil {
		return nil, err
	}
	out := api.SearchPage[api.Delivery]{Results: make([]api.Delivery, len(got.List)), SearchedTo: searchedTo(got.Reached)}
	for i := range got.List {
		out.Results[i] = renderDelivery(&got.List[i])
	}
	first, last := ends(&got, page, func(d *webhook.Delivery) usecase.Position { return usecase.Position{At: d.PublishedAt, ID: d.ID} })
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
	out := api.DeliveryDetail{Delivery: renderDelivery(&d), Attempts: make([]api.Attempt, len(attempts)), Erased: renderErased(d.Erased)}
	for i := range attempts {
		out.Attempts[i] = renderAttempt(c.mask.Attempt(attempts[i]))
	}
	return &deliveryOutput{Body: out}, nil
}

func renderDelivery(d *webhook.Delivery) api.Delivery {
	return api.Delivery{
		ID: d.ID, Hook: d.HookID, Event: d.EventID, EventType: d.EventType, Entity: d.Entity, State: d.State, Reason: d.Reason,
		AttemptCount: d.Attempts, Status: optionalStatus(d.LastStatus), ErrorClass: d.LastError, Replay: d.Replay,
		NextAttemptDate: optionalTime(d.NextAt), FirstAttemptDate: optionalTime(d.FirstAttemptAt), CreatedDate: d.PublishedAt,
		ModifiedDate: d.UpdatedAt, SupersededBy: d.SupersededBy,
	}
}

func renderAttempt(a webhook.ShownAttempt) api.Attempt {
	shown := a.Body
	body := contentOf(shown.Bytes)
	return api.Attempt{
		Number: a.Number, StartedAt: a.StartedAt, Duration: a.Duration.Seconds(), Outcome: a.Outcome,
		Status: optionalStatus(a.Status), ErrorClass: a.Class, Error: a.Error, Replay: a.Replay, Worker: a.Worker, Method: a.Method,
		URL: a.URL, RequestHeaders: headerLines(a.RequestHeaders), RequestSize: a.RequestSize, RequestDigest: hex.EncodeToString(a.BodyDigest),
		ResponseHeaders: headerLines(a.ResponseHeaders), ResponseBody: body.text, ResponseBodyDecoded: shown.Decoded, ResponseBodyIsBase64: body.base64,
		Truncated: shown.Truncated, Timings: api.AttemptTimings{
			DNS: a.Timings.DNS.Seconds(), Connect: a.Timings.Connect.Seconds(), TLS: a.Timings.TLS.Seconds(),
			FirstByte: a.Timings.FirstByte.Seconds(),
		},
	}
}
