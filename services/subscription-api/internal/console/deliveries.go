package console

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// lately is how far back lists go unless the person says otherwise: a week.
func lately(now time.Time) store.TimeRange {
	return store.TimeRange{From: now.Add(-7 * 24 * time.Hour)}
}

type deliveryQuery struct{ Hook, EventType, Event, Entity, State, Status, Since string }

// Narrowed reports whether deliveries may be hidden by the filter.
func (q deliveryQuery) Narrowed() bool { return q != deliveryQuery{} }

type deliveryList struct {
	Filter  deliveryQuery
	Rows    []deliveryRow
	States  []option
	Answers []option
	Spans   []option
	Types   []string
	// Hook is the title of the hook that the list is about; empty for all.
	Hook    string
	Problem string
	paging
	// Tail is where the list's changes come from; empty but for its first page.
	Tail string
	// Retry is the query with which all that the filter lets through can be tried again.
	Retry string
}

// CanRetry reports whether there may be something to be tried again.
func (l deliveryList) CanRetry() bool {
	return l.Filter.State != string(webhook.Delivered) && l.Filter.State != string(webhook.Parked)
}

func stateOptions() []option {
	return []option{
		{"", "any state"},
		{"waiting", "waiting for a retry"},
		{"parked", "parked"},
		{"delivered", "delivered"},
		{"dead", "dead"},
		{"cancelled", "cancelled"},
		{"waiting,parked,dead", "not delivered"},
	}
}

func answerOptions() []option {
	return []option{{"", "any answer"}, {"2xx", "2xx"}, {"3xx", "3xx"}, {"4xx", "4xx"}, {"5xx", "5xx"}, {"none", "no answer"}}
}

func spanOptions() []option {
	return []option{{"", "last 7 days"}, {"1h", "last hour"}, {"24h", "last 24 hours"}, {"720h", "last 30 days"}}
}

// filter is what the store is asked for; a problem is a sentence for people.
func (q *deliveryQuery) filter(now time.Time) (f store.DeliveryFilter, problem string) {
	f.EventID, f.Entity, f.Range = q.Event, q.Entity, since(q.Since, now)
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
	for word := range strings.SplitSeq(q.State, ",") {
		switch state := webhook.DeliveryState(word); state {
		case webhook.Waiting, webhook.Parked, webhook.Delivered, webhook.Dead, webhook.Cancelled:
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

// since is the time that a list begins at.
func since(word string, now time.Time) store.TimeRange {
	switch word {
	case "1h", "24h", "720h":
		span, err := time.ParseDuration(word)
		if err == nil {
			return store.TimeRange{From: now.Add(-span)}
		}
	}
	return lately(now)
}

func readDeliveryQuery(form url.Values) deliveryQuery {
	get := func(name string) string { return strings.TrimSpace(form.Get(name)) }
	return deliveryQuery{
		Hook: get("hook"), EventType: get("event_type"), Event: get("event"), Entity: get("entity"), State: get("state"),
		Status: get("status"), Since: get("since"),
	}
}

func (c *console) listDeliveries(ctx context.Context, v *visit) (reply, error) {
	body := deliveryList{Filter: readDeliveryQuery(v.form), States: stateOptions(), Answers: answerOptions(), Spans: spanOptions()}
	var err error
	if body.Types, err = c.typeNames(ctx, v.Tenant); err != nil {
		return reply{}, err
	}
	filter, problem := body.Filter.filter(time.Now())
	if problem != "" {
		body.Problem = problem
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
	body.Rows = deliveryRows(found.List)
	if body.paging = neighbours(v.form, at, found, func(d *webhook.Delivery) store.Position {
		return store.Position{At: d.PublishedAt, ID: d.ID}
	}); at.Older == nil && at.Newer == nil {
		body.Tail = Root + "deliveries/tail?" + filterOf(v.form).Encode()
	}
	body.Retry = "?" + filterOf(v.form).Encode()
	return page("deliveries", "Deliveries", body), nil
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
func (q deliveryQuery) words(hook string) []string {
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
	add("state:", q.State, stateOptions())
	add("last answer:", q.Status, answerOptions())
	add("event type:", q.EventType, nil)
	add("entity:", q.Entity, nil)
	add("event:", q.Event, nil)
	span := q.Since
	if i := slices.IndexFunc(spanOptions(), func(o option) bool { return o.Value == span }); i >= 0 {
		words = append(words, "published in the "+spanOptions()[i].Label)
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
	body := retryManyBody{Most: store.MaxRetried, What: query.words(hook), Query: "?" + filterOf(v.form).Encode()}
	body.Count, body.Counted, err = count(ctx, c.counts, "retriable "+v.Tenant+body.Query, v.patience(), func(ctx context.Context) (int, error) {
		return c.Cases.CountRetriable(ctx, &v.Caller, filter)
	})
	if err != nil {
		return reply{}, err
	}
	v.pending, body.All = !body.Counted, body.Count == store.MaxRetried
	return page("deliveries-retry", "Try them all again?", body), nil
}

func (c *console) retryMany(ctx context.Context, v *visit) (reply, error) {
	query := v.r.URL.Query()
	wanted := readDeliveryQuery(query)
	filter, problem := wanted.filter(time.Now())
	if problem != "" {
		return reply{}, errBadForm
	}
	n, err := c.Cases.RetryDeliveries(ctx, &v.Caller, filter)
	if err != nil {
		return reply{}, err
	}
	back := url.Values{}
	if wanted.Hook != "" {
		back.Set("hook", wanted.Hook)
	}
	return goTo(withDoneTo(Root+"deliveries/?"+back.Encode(), "retried-some", n)), nil
}
