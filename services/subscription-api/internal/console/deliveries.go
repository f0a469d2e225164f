package console

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// lastWeek is the default range of lists.
func lastWeek(now time.Time) usecase.TimeRange {
	return usecase.TimeRange{From: now.Add(-7 * 24 * time.Hour)}
}

type deliveryList struct {
	Filter deliveryQuery
	Inputs []filterInput
	Rows   []deliveryRow
	// Hooks are suggestions for the webhook filter. Called is its value as the person typed it.
	Hooks  []option
	Called string
	// Hook and HookID are the title and id of the hook that the list is about; empty for all hooks.
	Hook   string
	HookID uuid.UUID
	// Calls are the webhooks that an ambiguous Called may mean.
	Calls hookCall
	// Job is the replay that the deliveries belong to; may be nil.
	Job *usecase.Job
	// Explain is the event to explain if no delivery of the event or entity matches; may be empty.
	Explain string
	Problem string
	Views   savedViews
	paging
	// Retry is the query for retrying all matching deliveries.
	Retry string
}

// CanRetry reports whether there may be something to retry.
func (l deliveryList) CanRetry() bool {
	switch webhook.DeliveryState(l.Filter.Get("state")) {
	case webhook.Delivered, webhook.Parked, webhook.Superseded:
		return false
	default:
		return true
	}
}

// readPattern parses an event type or a pattern. problem is a sentence for people.
func readPattern(s string) (pattern, problem string) {
	pattern = webhook.NormalizeEventType(s)
	if err := webhook.ValidatePattern(pattern); err != nil {
		return "", sentence("The event type " + err.Error())
	}
	return pattern, ""
}

func (c *console) listDeliveries(ctx context.Context, v *visit) (reply, error) {
	body := deliveryList{Filter: readDeliveryQuery(v.form)}
	var err error
	if body.Inputs, err = c.inputs(ctx, v, &body.Filter); err != nil {
		return reply{}, err
	}
	if body.Views, err = c.views(ctx, v, "deliveries"); err != nil {
		return reply{}, err
	}
	chosen, err := c.chooseDeliveries(ctx, v, &body.Filter)
	if err != nil {
		return reply{}, err
	}
	if body.Problem = chosen.Problem; body.Problem != "" {
		body.Calls, body.Called = chosen.Calls, body.Filter.Hook
		return page("deliveries", "Deliveries", body).with(http.StatusUnprocessableEntity), nil
	}
	body.Job, body.HookID = chosen.Job, chosen.Hook
	if body.Hook, err = c.hookTitle(ctx, v, chosen.Hook); err != nil {
		return reply{}, err
	}
	if body.Called, err = c.callOf(ctx, v, body.Filter.Hook, body.Hook); err != nil {
		return reply{}, err
	}
	return c.showDeliveries(ctx, v, &chosen.DeliveryFilter, &body)
}

// showDeliveries shows a page of the list.
func (c *console) showDeliveries(ctx context.Context, v *visit, filter *usecase.DeliveryFilter, body *deliveryList) (reply, error) {
	at := readPage(v.form)
	found, err := c.Cases.Deliveries.List(ctx, &v.Caller, *filter, at)
	if err != nil {
		return reply{}, err
	}
	if len(found.List) == 0 {
		if body.Explain, err = c.unexplained(ctx, v, &body.Filter); err != nil {
			return reply{}, err
		}
	}
	if body.Rows, err = c.listRows(ctx, v, filter, found.List); err != nil {
		return reply{}, err
	}
	body.Hooks = hookOptions(body.Rows)
	body.paging = neighbours(v.form, at, found, func(d *webhook.Delivery) usecase.Position {
		return usecase.Position{At: d.PublishedAt, ID: d.ID}
	})
	body.Retry = "?" + filterOf(v.form).Encode()
	return page("deliveries", "Deliveries", *body), nil
}

// hookOptions are the webhooks in a list's rows, by title. Others are suggested while the person types.
func hookOptions(rows []deliveryRow) []option {
	found := map[uuid.UUID]string{}
	for i := range rows {
		if !rows[i].HookGone && rows[i].Hook != "" {
			found[rows[i].HookID] = rows[i].Hook
		}
	}
	options := make([]option, 0, len(found))
	for id, title := range found {
		options = append(options, option{id.String(), title})
	}
	slices.SortFunc(options, func(a, b option) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.Label), strings.ToLower(b.Label)), strings.Compare(a.Value, b.Value))
	})
	return callable(options)
}

// unexplained returns the event that the list is about, or the newest one of its entity, or "".
func (c *console) unexplained(ctx context.Context, v *visit, q *deliveryQuery) (string, error) {
	switch {
	case q.Get("event") != "":
		e, err := c.Cases.Deliveries.FindEvent(ctx, &v.Caller, q.Get("event"))
		if errors.Is(err, webhook.ErrNotFound) {
			return "", nil
		}
		return e.ID, err
	case q.Get("entity") != "":
		r, _ := q.timeRange(v.now())
		found, err := c.Cases.Deliveries.Events(ctx, &v.Caller, usecase.EventFilter{Entity: q.Get("entity"), Range: r}, usecase.Page{Limit: 1})
		if err != nil || len(found.List) == 0 {
			return "", err
		}
		return found.List[0].ID, nil
	}
	return "", nil
}

// hookTitle returns the title of a hook, or "" for no hook.
func (c *console) hookTitle(ctx context.Context, v *visit, id uuid.UUID) (string, error) {
	if id == uuid.Nil {
		return "", nil
	}
	h, err := c.Cases.Hooks.Get(ctx, &v.Caller, id)
	switch {
	case errors.Is(err, webhook.ErrNotFound):
		return "a webhook that is not there any more", nil
	case err != nil:
		return "", err
	}
	return titleOf(&h), nil
}

// retryManyBody asks for confirmation before many deliveries are retried.
type retryManyBody struct {
	// Counted says that Count is known.
	Counted bool
	Count   int
	// Most is how many are retried at once. All says that Count has reached that maximum, so there may be more.
	Most int
	All  bool
	// What describes the deliveries in words.
	What []string
	// Query is the list's query.
	Query string
}

// retryManyPage shows how many of the list's deliveries can be retried.
func (c *console) retryManyPage(ctx context.Context, v *visit) (reply, error) {
	query := readDeliveryQuery(v.form)
	chosen, err := c.chooseDeliveries(ctx, v, &query)
	switch {
	case err != nil:
		return reply{}, err
	case chosen.Problem != "":
		return goTo(Root + "deliveries/?" + filterOf(v.form).Encode()), nil
	}
	hook, err := c.hookTitle(ctx, v, chosen.Hook)
	if err != nil {
		return reply{}, err
	}
	job := ""
	if chosen.Job != nil {
		job = chosen.Job.Reason
	}
	body := retryManyBody{Most: usecase.MaxRetried, What: query.describe(hook, job), Query: "?" + filterOf(v.form).Encode()}
	body.Count, body.Counted, err = count(ctx, c.counts, "retriable "+v.Tenant+body.Query, v.patience(), func(ctx context.Context) (int, error) {
		return c.Cases.Deliveries.CountRetriable(ctx, &v.Caller, chosen.DeliveryFilter, false)
	})
	if err != nil {
		return reply{}, err
	}
	v.pending, body.All = !body.Counted, body.Count == usecase.MaxRetried
	return page("deliveries-retry", "Retry all matching deliveries", body), nil
}

func (c *console) retryMany(ctx context.Context, v *visit) (reply, error) {
	wanted := readDeliveryQuery(v.r.URL.Query())
	chosen, err := c.chooseDeliveries(ctx, v, &wanted)
	switch {
	case err != nil:
		return reply{}, err
	case chosen.Problem != "":
		return reply{}, errBadForm
	}
	n, err := c.Cases.Deliveries.RetryMany(ctx, &v.Caller, chosen.DeliveryFilter, false)
	if err != nil {
		return reply{}, err
	}
	back := url.Values{}
	if wanted.Hook != "" {
		back.Set("hook", wanted.Hook)
	}
	if wanted.Job != "" {
		back.Set("job", wanted.Job)
	}
	return goTo(withDoneTo(Root+"deliveries/?"+back.Encode(), "retried-some", n)), nil
}
