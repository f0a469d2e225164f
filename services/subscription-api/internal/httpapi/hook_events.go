package httpapi

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// hookEventsPath is the old path of deliveries, when they were called hook events, for programs that still use it.
const hookEventsPath = root + "/hook_events/"

type (
	hookEventListInput struct {
		Webhook   string     `query:"webhook" format:"uuid" doc:"Deliveries to this hook"`
		EventType string     `query:"event_type" doc:"An event type, or a pattern that matches it"`
		Delivered boolParam  `query:"delivered"`
		UUID      string     `query:"uuid" doc:"Deliveries of the event with this id"`
		Status    intParam   `query:"response_http_status" doc:"The HTTP status of the last attempt"`
		ObjectID  string     `query:"object_id" doc:"The id within the event's entity: 61 of package:61"`
		At        timeParam  `query:"created_date" doc:"When the event was published, in ISO 8601 format; UTC if there is no time zone"`
		After     timeParam  `query:"created_date__gt"`
		From      timeParam  `query:"created_date__gte" doc:"The last seven days, unless created_date is set"`
		Before    timeParam  `query:"created_date__lt"`
		To        timeParam  `query:"created_date__lte"`
		Limit     limitParam `query:"limit"`
		Cursor    string     `query:"cursor" doc:"From next or previous"`
	}
	hookEventBody struct {
		ID                 uuid.UUID             `json:"id" format:"uuid" doc:"The delivery's id"`
		Webhook            api.Hook              `json:"webhook" doc:"The hook; of a deleted hook, only the id is meaningful"`
		UUID               string                `json:"uuid" doc:"The event's id"`
		EventType          string                `json:"event_type"`
		ObjectID           string                `json:"object_id" doc:"The id within the event's entity; may be empty"`
		Delivered          bool                  `json:"delivered"`
		State              webhook.DeliveryState `json:"state" enum:"waiting,parked,delivered,dead,cancelled,superseded"`
		RequestPayload     rawJSON               `json:"request_payload" doc:"The body that is sent; null if the event is no longer kept, and in a list beyond the first 8 MiB"`
		ResponseHTTPStatus *int                  `json:"response_http_status" doc:"HTTP status of the last attempt; null if there was no response"`
		ResponseContent    *string               `json:"response_content" doc:"The first 16 KiB of the last response's body, in base64 if it is not text; null if there was no response"`
		ResponseTime       *float64              `json:"response_time" doc:"Duration of the last attempt, in seconds; null if there was none"`
		RetryCount         int                   `json:"retry_count" doc:"Number of attempts after the first one"`
		CreatedDate        time.Time             `json:"created_date" doc:"When the event was published"`
		ModifiedDate       time.Time             `json:"modified_date"`
	}
	hookEventListOutput struct{ Body api.Page[hookEventBody] }
	hookEventOutput     struct{ Body hookEventBody }
)

func (s *server) registerHookEvents() {
	tag := []string{tagDeliveries}
	register(s, route{role: usecase.Viewer, lookUp: true, limit: 2 * storeTimeout}, huma.Operation{
		OperationID: "list-hook-events", Method: http.MethodGet, Path: hookEventsPath, Tags: tag,
		Summary: "List deliveries (deprecated name)", Description: "New clients should use " + deliveriesPath + ".",
	}, s.listHookEvents)
	register(s, route{role: usecase.Viewer, lookUp: true}, huma.Operation{
		OperationID: "get-hook-event", Method: http.MethodGet, Path: hookEventsPath + "{id}/", Tags: tag,
		Summary: "Get a delivery (deprecated name)",
	}, s.getHookEvent)
}

func (s *server) listHookEvents(ctx context.Context, c *call, in *hookEventListInput) (*hookEventListOutput, error) {
	f, err := in.filter(time.Now())
	if err != nil {
		return nil, err
	}
	scope := c.scopeOf(hookEventsPath)
	page, err := s.cursors.page(c.query, scope)
	if err != nil {
		return nil, err
	}
	list, more, err := s.Cases.History.ListDeliveries(ctx, c.Tenant, f, page)
	if err != nil {
		return nil, err
	}
	out := api.Page[hookEventBody]{}
	if out.Results, err = s.hookEvents(ctx, c, list); err != nil {
		return nil, err
	}
	out.Next, out.Previous = s.neighbours(c, hookEventsPath, scope, page, more, len(list), func(i int) usecase.Position {
		return usecase.Position{At: list[i].PublishedAt, ID: list[i].ID}
	})
	return &hookEventListOutput{Body: out}, nil
}

func (in *hookEventListInput) filter(now time.Time) (f usecase.DeliveryFilter, err error) {
	f.EventID, f.Object = in.UUID, in.ObjectID
	if f.Hook, err = usecase.ReadID("webhook", in.Webhook); err != nil {
		return f, err
	}
	if f.EventTypes, err = usecase.ReadTypes(in.EventType); err != nil {
		return f, err
	}
	if f.MinStatus, err = usecase.ReadHTTPStatus("response_http_status", string(in.Status)); err != nil {
		return f, err
	}
	f.MaxStatus = f.MinStatus
	delivered, set, err := readBool("delivered", string(in.Delivered))
	switch {
	case err != nil:
		return f, err
	case set && delivered:
		f.States = []webhook.DeliveryState{webhook.Delivered}
	case set:
		f.States = []webhook.DeliveryState{webhook.Waiting, webhook.Parked, webhook.Dead, webhook.Cancelled, webhook.Superseded}
	}
	f.Range, err = in.timeRange(now)
	return f, err
}

// timeRange combines the created_date parameters. Stored times have whole microseconds.
func (in *hookEventListInput) timeRange(now time.Time) (usecase.TimeRange, error) {
	const tick = time.Microsecond
	var r usecase.TimeRange
	for _, p := range []struct {
		name     string
		value    timeParam
		from, to bool
		shift    time.Duration // of the bound: the start is inclusive, the end exclusive
	}{
		{"created_date", in.At, true, false, 0},
		{"created_date", in.At, false, true, tick},
		{"created_date__gt", in.After, true, false, tick},
		{"created_date__gte", in.From, true, false, 0},
		{"created_date__lt", in.Before, false, true, 0},
		{"created_date__lte", in.To, false, true, tick},
	} {
		at, err := readOldTime(p.name, string(p.value))
		if err != nil {
			return r, err
		}
		if at.IsZero() {
			continue
		}
		at = at.Truncate(tick).Add(p.shift)
		if p.from && at.After(r.From) {
			r.From = at
		}
		if p.to && (r.To.IsZero() || at.Before(r.To)) {
			r.To = at
		}
	}
	if in.UUID != "" && r.From.IsZero() {
		return r, nil
	}
	if !r.From.IsZero() && !r.To.IsZero() && !r.From.Before(r.To) {
		return r, badParameter("created_date", "has bounds between which there is nothing")
	}
	return usecase.CompleteRange(r, now)
}

// readOldTime accepts what Django accepted: dates, and ISO 8601 times with a T or a space, with and without seconds
// and a zone.
func readOldTime(name, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	date, clock, timed := strings.Cut(strings.Replace(s, " ", "T", 1), "T")
	if !timed {
		clock = "00:00"
	}
	for _, layout := range []string{"15:04:05", "15:04"} {
		for _, zone := range []string{"", "Z07:00", "Z0700", "Z07"} {
			if t, err := time.Parse(time.DateOnly+"T"+layout+zone, date+"T"+clock); err == nil {
				return t.UTC(), usecase.CheckYear(name, t)
			}
		}
	}
	return time.Time{}, badParameter(name, "must be a time as ISO 8601 writes it, such as 2026-01-31T12:00:00Z")
}

func (s *server) getHookEvent(ctx context.Context, c *call, _ *deliveryGetInput) (*hookEventOutput, error) {
	d, _, err := s.Cases.Deliveries.Get(ctx, &c.Caller, c.id)
	if err != nil {
		return nil, err
	}
	events, err := s.hookEvents(ctx, c, []webhook.Delivery{d})
	if err != nil {
		return nil, err
	}
	return &hookEventOutput{Body: events[0]}, nil
}

// maxListedPayload bounds the bodies of a page, in bytes.
const maxListedPayload = 8 << 20

// hookEvents renders deliveries in their old form.
func (s *server) hookEvents(ctx context.Context, c *call, list []webhook.Delivery) ([]hookEventBody, error) {
	details, err := s.Cases.History.DeliveryDetails(ctx, c.Tenant, list, maxListedPayload)
	if err != nil {
		return nil, err
	}
	out := make([]hookEventBody, len(list))
	left := maxListedPayload // many hooks may have got the same event
	for i := range list {
		if out[i], err = s.renderHookEvent(&list[i], &details[i], c); err != nil {
			return nil, err
		}
		if left -= len(out[i].RequestPayload); left < 0 && i > 0 {
			out[i].RequestPayload = nil
		}
	}
	return out, nil
}

func (s *server) renderHookEvent(d *webhook.Delivery, detail *usecase.DeliveryDetail, c *call) (hookEventBody, error) {
	hook := detail.Hook
	if hook == nil {
		hook = &webhook.Hook{
			ID: d.HookID, Tenant: d.Tenant, EventTypes: []string{}, NotificationType: webhook.NotificationREST, Status: webhook.Disabled,
			DisabledReason: "the hook was deleted",
		}
	}
	masked := c.mask.Hook(*hook)
	shown, err := renderHook(&masked, c.Token.Role)
	if err != nil {
		return hookEventBody{}, err
	}
	b := hookEventBody{
		ID: d.ID, Webhook: shown, UUID: d.EventID, EventType: d.EventType, ObjectID: objectID(d.Entity),
		Delivered: d.State == webhook.Delivered, State: d.State, ResponseHTTPStatus: optionalStatus(d.LastStatus),
		RetryCount: max(0, d.Attempts-1), CreatedDate: d.PublishedAt, ModifiedDate: d.UpdatedAt,
	}
	if detail.Attempt != nil {
		b.answer(c.mask.Attempt(*detail.Attempt))
	}
	if detail.Event != nil && detail.Hook != nil && hook.Unreadable == "" {
		if body, err := s.Cases.Sender.Body(hook, detail.Event); err == nil { // its transform may fail
			b.RequestPayload = rawJSON(body.Bytes)
		}
	}
	return b, nil
}

// answer sets the fields that describe the last attempt.
func (b *hookEventBody) answer(a webhook.ShownAttempt) {
	seconds := a.Duration.Seconds()
	b.ResponseTime = &seconds
	if a.Status > 0 {
		text := contentOf(a.Body.Bytes).text
		b.ResponseContent = &text
	}
}

// objectID returns the id within an entity: 61 of package:61.
func objectID(entity string) string { return entity[strings.LastIndexByte(entity, ':')+1:] }
