package console

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// lately is how far back lists go unless the person says otherwise: a week.
func lately(now time.Time) postgres.TimeRange {
	return postgres.TimeRange{From: now.Add(-7 * 24 * time.Hour)}
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
	Hook         string
	Problem      string
	Newer, Older string
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
func (q *deliveryQuery) filter(now time.Time) (f postgres.DeliveryFilter, problem string) {
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
func since(word string, now time.Time) postgres.TimeRange {
	switch word {
	case "1h", "24h", "720h":
		span, err := time.ParseDuration(word)
		if err == nil {
			return postgres.TimeRange{From: now.Add(-span)}
		}
	}
	return lately(now)
}

func (c *console) listDeliveries(ctx context.Context, v *visit) (reply, error) {
	get := func(name string) string { return strings.TrimSpace(v.form.Get(name)) }
	body := deliveryList{
		Filter: deliveryQuery{
			Hook: get("hook"), EventType: get("event_type"), Event: get("event"), Entity: get("entity"), State: get("state"),
			Status: get("status"), Since: get("since"),
		},
		States: stateOptions(), Answers: answerOptions(), Spans: spanOptions(),
	}
	var err error
	if body.Types, err = c.typeNames(ctx, v.tenant); err != nil {
		return reply{}, err
	}
	filter, problem := body.Filter.filter(c.now())
	if problem != "" {
		body.Problem = problem
		return page("deliveries", "Deliveries", body).with(http.StatusUnprocessableEntity), nil
	}
	if filter.Hook != uuid.Nil {
		h, err := c.Hooks.Hook(ctx, v.tenant, filter.Hook)
		switch {
		case errors.Is(err, webhook.ErrNotFound):
			body.Hook = "a webhook that is not there any more"
		case err != nil:
			return reply{}, err
		default:
			body.Hook = titleOf(&h)
		}
	}
	at := readPage(v.form)
	list, more, err := c.History.Deliveries(ctx, v.tenant, filter, at)
	if err != nil {
		return reply{}, err
	}
	body.Rows = deliveryRows(list)
	body.Newer, body.Older = neighbours(v.form, at, more, len(list), func(i int) postgres.Position {
		return postgres.Position{At: list[i].PublishedAt, ID: list[i].ID}
	})
	return page("deliveries", "Deliveries", body), nil
}

type deliveryBody struct {
	Row      deliveryRow
	Hook     string
	HookGone bool
	NextAt   time.Time
	Updated  time.Time
	Replay   bool
	Attempts []attemptView
	// CanRetry says that trying again makes sense; Force, that it was delivered already.
	CanRetry, Force bool
	Problem         string
}

type attemptView struct {
	webhook.Attempt

	Took     string
	Answer   string
	Request  string
	Response string
	Body     string
	Binary   bool
	Parts    []attemptPart
}

// attemptPart is one part of the duration of an attempt.
type attemptPart struct{ Name, Took string }

func (c *console) deliveryPage(ctx context.Context, v *visit) (reply, error) {
	return c.showDelivery(ctx, v, "")
}

func (c *console) showDelivery(ctx context.Context, v *visit, problem string) (reply, error) {
	id, err := readID(v)
	if err != nil {
		return reply{}, err
	}
	d, attempts, err := c.History.Delivery(ctx, v.tenant, id)
	if err != nil {
		return reply{}, err
	}
	body := deliveryBody{Row: newDeliveryRow(&d), NextAt: d.NextAt, Updated: d.UpdatedAt, Replay: d.Replay, Problem: problem}
	h, err := c.Hooks.Hook(ctx, v.tenant, d.HookID)
	switch {
	case errors.Is(err, webhook.ErrNotFound):
		body.HookGone = true
	case err != nil:
		return reply{}, err
	default:
		body.Hook = titleOf(&h)
		body.CanRetry, body.Force = h.Status != webhook.Disabled, d.State == webhook.Delivered
	}
	for i := range attempts {
		body.Attempts = append(body.Attempts, newAttemptView(&attempts[i]))
	}
	answer := page("delivery", "Delivery of "+d.EventType, body)
	if problem != "" {
		answer = answer.with(http.StatusConflict)
	}
	return answer, nil
}

func newAttemptView(a *webhook.Attempt) attemptView {
	view := attemptView{
		Attempt: *a, Took: took(a.Duration), Answer: answerText(a.Status, a.Class), Request: headerText(a.RequestHeaders),
		Response: headerText(a.ResponseHeaders),
	}
	if utf8.Valid(a.ResponseBody) {
		view.Body = pretty(a.ResponseBody)
	} else {
		view.Binary = true
	}
	for _, part := range []struct {
		name string
		took time.Duration
	}{{"DNS", a.Timings.DNS}, {"connect", a.Timings.Connect}, {"TLS", a.Timings.TLS}, {"first byte", a.Timings.FirstByte}} {
		if part.took > 0 {
			view.Parts = append(view.Parts, attemptPart{part.name, took(part.took)})
		}
	}
	return view
}

// took writes how long something took, to the tenth of a millisecond where that matters.
func took(d time.Duration) string {
	if d < 100*time.Millisecond {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}

func headerText(headers []webhook.Header) string {
	var b strings.Builder
	for _, h := range headers {
		b.WriteString(h.Name + ": " + h.Value + "\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func (c *console) retryDelivery(ctx context.Context, v *visit) (reply, error) {
	id, err := readID(v)
	if err != nil {
		return reply{}, err
	}
	err = c.Retries.RetryDelivery(ctx, v.actor(), v.tenant, id, v.posted.Get("force") == "true")
	var refused *postgres.ReplayError
	switch {
	case errors.As(err, &refused):
		return c.showDelivery(ctx, v, refused.Reason)
	case err != nil:
		return reply{}, err
	}
	return goTo(withDone(Root+"deliveries/"+id.String()+"/", "retried")), nil
}
