package httpapi

import (
	"context"
	"encoding/hex"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

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
	// PageQuery selects a page of a list.
	PageQuery struct {
		Limit  limitParam `query:"limit"`
		Cursor string     `query:"cursor" doc:"From next or previous"`
	}
	deliveryListInput   struct{ PageQuery }
	hookDeliveriesInput struct {
		ID string `path:"id" format:"uuid" doc:"The hook's id"`
		PageQuery
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
		Summary: "List deliveries, newest event first", Description: "The last seven days, unless from is set.",
		Parameters: params[api.DeliveryFilter](),
	}, s.listDeliveries)
	register(s, route{role: usecase.Viewer, lookUp: true}, huma.Operation{
		OperationID: "get-delivery", Method: http.MethodGet, Path: deliveriesPath + "{id}/", Tags: tag,
		Summary: "Get a delivery with all its attempts",
	}, s.getDelivery)
	register(s, route{role: usecase.Viewer, lookUp: true, limit: usecase.SearchTimeout + storeTimeout}, huma.Operation{
		OperationID: "list-hook-deliveries", Method: http.MethodGet, Path: hooksPath + "{id}/deliveries/", Tags: tag,
		Summary: "List a hook's deliveries, newest first", Description: "The last seven days, unless from is set.",
		Parameters: params[api.DeliveryFilter]("hook"),
	}, s.listHookDeliveries)
}

// params describes the filters in a struct of package api, except those listed.
func params[T any](without ...string) []*huma.Param {
	var params []*huma.Param
	for _, f := range usecase.FiltersOf[T]() {
		if slices.Contains(without, f.Name) {
			continue
		}
		schema := &huma.Schema{Type: huma.TypeString, Description: f.Doc}
		switch f.Type {
		case reflect.TypeFor[uuid.UUID]():
			schema.Format = "uuid"
		case reflect.TypeFor[time.Time]():
			schema.Format = "date-time"
		case reflect.TypeFor[int]():
			schema.Type = huma.TypeInteger
		case reflect.TypeFor[bool]():
			schema.Type = huma.TypeBoolean
		}
		if f.MaxLength > 0 {
			schema.MaxLength = &f.MaxLength
		}
		for _, word := range f.Words {
			schema.Enum = append(schema.Enum, word)
		}
		params = append(params, &huma.Param{Name: f.Name, In: "query", Description: f.Doc, Explode: new(bool), Schema: schema})
	}
	return params
}

// deliveryFilter parses the filters of a list of deliveries.
func (c *call) deliveryFilter() (usecase.DeliveryFilter, error) {
	now := time.Now()
	f, err := usecase.ReadDeliveryFilter(c.query, now)
	if err == nil {
		f.Payload, err = readPayload(c.query, f.Range, now)
	}
	return f, err
}

func (s *server) listDeliveries(ctx context.Context, c *call, _ *deliveryListInput) (*deliveryListOutput, error) {
	f, err := c.deliveryFilter()
	if err != nil {
		return nil, err
	}
	return s.deliveryPage(ctx, c, f, deliveriesPath)
}

func (s *server) listHookDeliveries(ctx context.Context, c *call, _ *hookDeliveriesInput) (*deliveryListOutput, error) {
	f, err := c.deliveryFilter()
	if err != nil {
		return nil, err
	}
	if _, err := s.Cases.Hooks.Get(ctx, &c.Caller, c.id); err != nil {
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
		return s.Cases.Deliveries.List(ctx, &c.Caller, f, page)
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
	d, attempts, err := s.Cases.Deliveries.Get(ctx, &c.Caller, c.id)
	if err != nil {
		return nil, err
	}
	out := api.DeliveryDetail{Delivery: renderDelivery(&d), Attempts: make([]api.Attempt, len(attempts)), Erased: renderErased(d.Erased)}
	for i := range attempts {
		out.Attempts[i] = renderAttempt(c.mask.Attempt(attempts[i]))
	}
	return &deliveryOutput{Body: out}, s.nameErasers(ctx, c, out.Erased)
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
