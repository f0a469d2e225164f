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

// lastWeek is how far back lists go unless the person says otherwise: a week.
func lastWeek(now time.Time) usecase.TimeRange {
	return usecase.TimeRange{From: now.Add(-7 * 24 * time.Hour)}
}

type deliveryQuery struct {
	Hook, EventType, Event, Entity, State, Status, Label string
	spanQuery
}

// Narrowed reports whether deliveries may be hidden by the filter.
func (q deliveryQuery) Narrowed() bool { return q != deliveryQuery{} }

type deliveryList struct {
	Filter  deliveryQuery
	Rows    []deliveryRow
	States  []option
	Answers []option
	Types   []string
	// Hooks are those that the list can be narrowed to.
	Hooks []option
	// Hook is the title of the hook that the list is about; empty for all.
	Hook string
	// Explain is the event to explain where no delivery of the event or entity matches; empty for none.
	Explain string
	Problem string
	Views   savedViews
	paging
	// Tail is where the list's changes come from; empty but for its first page.
	Tail string
	// Retry is the query with which all that the filter lets through can be tried again.
	Retry string
}

// CanRetry reports whether there may be something to be tried again.
func (l deliveryList) CanRetry() bool {
	switch webhook.DeliveryState(l.Filter.State) {
	case webhook.Delivered, webhook.Parked, webhook.Superseded:
		return false
	default:
		return true
	}
}

func stateOptions() []option {
	return []option{
		{"", "any state"},
		{"waiting", "waiting for a retry"},
		{"parked", "parked"},
		{"delivered", "delivered"},
		{"dead", "dead"},
		{"cancelled", "cancelled"},
		{"superseded", "superseded"},
		{"waiting,parked,dead", "not delivered"},
	}
}

func answerOptions() []option {
	return []option{{"", "any answer"}, {"2xx", "2xx"}, {"3xx", "3xx"}, {"4xx", "4xx"}, {"5xx", "5xx"}, {"none", "no answer"}}
}

// filter is what the store is asked for; a problem is a sentence for people.
func (q *deliveryQuery) filter(now time.Time) (f usecase.DeliveryFilter, problem string) {
	f.EventID, f.Entity = q.Event, q.Entity
	if f.Range, problem = q.timeRange(now); problem != "" {
		return f, problem
	}
	if q.Hook != "" {
		id, err := uuid.Parse(q.Hook)
		if err != nil {
			return f, "The webhook's id is not one."
		}
		f.Hook = id
	}
	if q.EventType != "" {
		pattern, problem := readPattern(q.EventType)
		if problem != "" {
			return f, problem
		}
		f.EventTypes = []string{pattern}
	}
	var err error
	if f.Labels, err = webhook.ParseLabelSelector(q.Label); err != nil {
		return f, sentence("The label " + err.Error())
	}
	for word := range strings.SplitSeq(q.State, ",") {
		switch state := webhook.DeliveryState(word); state {
		case webhook.Waiting, webhook.Parked, webhook.Delivered, webhook.Dead, webhook.Cancelled, webhook.Superseded:
			f.States = append(f.States, state)
		}
	}
	low, high := 0, 0
	switch q.Status {
	case "2xx", "3xx", "4xx", "5xx":
		low = int(q.Status[0]-'0') * 100
		high = low + 99
	case "none":
	default:
		return f, ""
	}
	f.MinStatus, f.MaxStatus = &low, &high
	return f, ""
}

// readPattern reads an event type or a pattern; a problem is a sentence for people.
func readPattern(s string) (pattern, problem string) {
	pattern = webhook.NormalizeEventType(s)
	if err := webhook.ValidatePattern(pattern); err != nil {
		return "", sentence("The event type " + err.Error())
	}
	return pattern, ""
}

func readDeliveryQuery(form url.Values) deliveryQuery {
	get := func(name string) string { return strings.TrimSpace(form.Get(name)) }
	return deliveryQuery{
		Hook: get("hook"), EventType: get("event_type"), Event: get("event"), Entity: get("entity"), State: get("state"),
		Status: get("status"), Label: get("label"), spanQuery: readSpan(form),
	}
}

func (c *console) listDeliveries(ctx context.Context, v *visit) (reply, error) {
	body := deliveryList{Filter: readDeliveryQuery(v.form), States: stateOptions(), Answers: answerOptions()}
	var err error
	if body.Types, err = c.typeNames(ctx, v.Tenant); err != nil {
		return reply{}, err
	}
	if body.Views, err = c.views(ctx, v, "deliveries"); err != nil {
		return reply{}, err
	}
	filter, problem := body.Filter.filter(time.Now())
	if problem != "" {
		body.Problem, body.Hooks = problem, hookOptions(nil, uuid.Nil, "")
		return page("deliveries", "Deliveries", body).with(http.StatusUnprocessableEntity), nil
	}
	if body.Hook, err = c.hookTitle(ctx, v, filter.Hook); err != nil {
		return reply{}, err
	}
	at := readPage(v.form)
	found, err := c.Cases.Deliveries(ctx, &v.Caller, filter, at)
	if err != nil {
		return reply{}, err
	}
	if len(found.List) == 0 {
		if body.Explain, err = c.unexplained(ctx, v, &body.Filter); err != nil {
			return reply{}, err
		}
	}
	if body.Rows, err = c.listRows(ctx, v, &filter, found.List); err != nil {
		return reply{}, err
	}
	body.Hooks = hookOptions(body.Rows, filter.Hook, body.Hook)
	if body.paging = neighbours(v.form, at, found, func(d *webhook.Delivery) usecase.Position {
		return usecase.Position{At: d.PublishedAt, ID: d.ID}
	}); at.Older == nil && at.Newer == nil {
		body.Tail = Root + "deliveries/tail?" + filterOf(v.form).Encode()
	}
	body.Retry = "?" + filterOf(v.form).Encode()
	return page("deliveries", "Deliveries", body), nil
}

// hookOptions are the webhooks that the list can be narrowed to: those of its rows, by title, and the chosen one.
func hookOptions(rows []deliveryRow, chosen uuid.UUID, title string) []option {
	found := map[uuid.UUID]string{}
	for i := range rows {
		if !rows[i].HookGone && rows[i].Hook != "" {
			found[rows[i].HookID] = rows[i].Hook
		}
	}
	if chosen != uuid.Nil {
		found[chosen] = title
	}
	options := []option{{"", "any webhook"}}
	for id, title := range found {
		options = append(options, option{id.String(), title})
	}
	slices.SortFunc(options[1:], func(a, b option) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.Label), strings.ToLower(b.Label)), strings.Compare(a.Value, b.Value))
	})
	return options
}

// unexplained is the event that the list is about, or the newest one of the entity; empty where there is none.
func (c *console) unexplained(ctx context.Context, v *visit, q *deliveryQuery) (string, error) {
	switch {
	case q.Event != "":
		e, err := c.Cases.FindEvent(ctx, &v.Caller, q.Event)
		if errors.Is(err, webhook.ErrNotFound) {
			return "", nil
		}
		return e.ID, err
	case q.Entity != "":
		r, _ := q.timeRange(time.Now())
		found, err := c.Cases.Events(ctx, &v.Caller, usecase.EventFilter{Entity: q.Entity, Range: r}, usecase.Page{Limit: 1})
		if err != nil || len(found.List) == 0 {
			return "", err
		}
		return found.List[0].ID, nil
	}
	return "", nil
}

// hookTitle is the title of a hook; empty for no hook.
func (c *console) hookTitle(ctx context.Context, v *visit, id uuid.UUID) (string, error) {
	if id == uuid.Nil {
		return "", nil
	}
	h, err := c.Cases.Hook(ctx, &v.Caller, id)
	switch {
	case errors.Is(err, webhook.ErrNotFound):
		return "a webhook that is not there any more", nil
	case err != nil:
		return "", err
	}
	return titleOf(&h), nil
}

// retryManyBody asks whether so many deliveries are really to be tried again.
type retryManyBody struct {
	// Counted says that Count is known.
	Counted bool
	Count   int
	// Most is how many are tried again at once; All says that there are more.
	Most int
	All  bool
	// What says in words which they are.
	What []string
	// Query is the list's.
	Query string
}

// What says in words which deliveries the list shows.
func (q deliveryQuery) describe(hook string) []string {
	var words []string
	add := func(name, value string, options []option) {
		if value == "" {
			return
		}
		for _, o := range options {
			if o.Value == value {
				value = o.Label
			}
		}
		words = append(words, name+" "+value)
	}
	add("to", hook, nil)
	add("to webhooks with the label", q.Label, nil)
	add("state:", q.State, stateOptions())
	add("last answer:", q.Status, answerOptions())
	add("event type:", q.EventType, nil)
	add("entity:", q.Entity, nil)
	add("event:", q.Event, nil)
	if q.Since == ownSpan {
		add("published from", strings.Replace(q.From, "T", " ", 1), nil)
		add("until", strings.Replace(q.To, "T", " ", 1), nil)
		return words
	}
	if i := slices.IndexFunc(q.Spans(), func(o option) bool { return o.Value == q.Since }); i >= 0 {
		words = append(words, "published: "+q.Spans()[i].Label)
	}
	return words
}

// retryManyPage says how many deliveries of the list's filter can be tried again.
func (c *console) retryManyPage(ctx context.Context, v *visit) (reply, error) {
	query := readDeliveryQuery(v.form)
	filter, problem := query.filter(time.Now())
	if problem != "" {
		return goTo(Root + "deliveries/?" + filterOf(v.form).Encode()), nil
	}
	hook, err := c.hookTitle(ctx, v, filter.Hook)
	if err != nil {
		return reply{}, err
	}
	body := retryManyBody{Most: usecase.MaxRetried, What: query.describe(hook), Query: "?" + filterOf(v.form).Encode()}
	body.Count, body.Counted, err = count(ctx, c.counts, "retriable "+v.Tenant+body.Query, v.patience(), func(ctx context.Context) (int, error) {
		return c.Cases.CountRetriable(ctx, &v.Caller, filter, false)
	})
	if err != nil {
		return reply{}, err
	}
	v.pending, body.All = !body.Counted, body.Count == usecase.MaxRetried
	return page("deliveries-retry", "Try them all again?", body), nil
}

func (c *console) retryMany(ctx context.Context, v *visit) (reply, error) {
	query := v.r.URL.Query()
	wanted := readDeliveryQuery(query)
	filter, problem := wanted.filter(time.Now())
	if problem != "" {
		return reply{}, errBadForm
	}
	n, err := c.Cases.RetryDeliveries(ctx, &v.Caller, filter, false)
	if err != nil {
		return reply{}, err
	}
	back := url.Values{}
	if wanted.Hook != "" {
		back.Set("hook", wanted.Hook)
	}
	return goTo(withDoneTo(Root+"deliveries/?"+back.Encode(), "retried-some", n)), nil
}
