package console

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// deliveryQuery is the filter of a list of deliveries.
type deliveryQuery struct {
	// Hook is a webhook's id or name, or a prefix of either. Job is a replay's id.
	Hook, Job string
	// values are the other filters that are set, by their names on the page.
	values map[string]string
	spanQuery
}

// Get returns the value of a filter, or "" if it is not set.
func (q deliveryQuery) Get(name string) string { return q.values[name] }

// Narrowed reports whether a filter is set.
func (q deliveryQuery) Narrowed() bool {
	return q.Hook+q.Job != "" || len(q.values) > 0 || q.spanQuery != spanQuery{}
}

// filterInput is the input of a filter.
type filterInput struct {
	usecase.Filter

	Value string
	// Options are the possible values; nil for free text, with Known as suggestions.
	Options []option
	Known   []string
}

// deliveryInputs returns the inputs of the offered filters, by their names on the page. The template has the
// webhook's own.
func deliveryInputs() []filterInput {
	var inputs []filterInput
	for _, f := range usecase.DeliveryFilters() {
		if f.Title == "" || f.Name == "hook" {
			continue
		}
		in := filterInput{Filter: f}
		switch f.Name {
		case "state":
			in.Options = stateOptions()
		case "status_class":
			in.Name, in.Options = "status", answerOptions()
		default:
			for _, word := range f.Words {
				in.Options = append(in.Options, option{word, word})
			}
			if in.Options != nil {
				in.Options = slices.Insert(in.Options, 0, option{"", "any"})
			}
		}
		inputs = append(inputs, in)
	}
	first := []string{"label", "state", "status", "event_type", "entity"}
	slices.SortStableFunc(inputs, func(a, b filterInput) int {
		place := func(name string) int {
			if i := slices.Index(first, name); i >= 0 {
				return i
			}
			return len(first)
		}
		return cmp.Compare(place(a.Name), place(b.Name))
	})
	return inputs
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

// filter converts the query. problem is a sentence for people. Unknown states and answers are ignored.
func (q *deliveryQuery) filter(now time.Time) (f usecase.DeliveryFilter, problem string) {
	r, problem := q.timeRange(now)
	if problem != "" {
		return f, problem
	}
	asked := url.Values{}
	for name, value := range q.values {
		switch name {
		case "state":
			value = strings.Join(slices.DeleteFunc(strings.Split(value, ","), func(word string) bool {
				return !slices.Contains(webhook.DeliveryStates(), webhook.DeliveryState(word))
			}), ",")
		case "status": // the API's filter is a single status
			name = "status_class"
			if !slices.ContainsFunc(answerOptions(), func(o option) bool { return o.Value == value }) {
				value = ""
			}
		}
		asked.Set(name, value)
	}
	f, err := usecase.ReadDeliveryFilterIn(r, asked)
	if err != nil {
		return f, parameterProblem(err)
	}
	return f, ""
}

// parameterProblem describes in a sentence what is wrong with a filter.
func parameterProblem(err error) string {
	wrong, ok := errors.AsType[*usecase.ParameterError](err)
	if !ok {
		return sentence(err.Error())
	}
	title := wrong.Name
	for _, f := range usecase.DeliveryFilters() {
		if f.Name == wrong.Name && f.Title != "" {
			title = strings.ToLower(f.Title)
		}
	}
	return sentence("The " + title + " " + wrong.Detail)
}

func readDeliveryQuery(form url.Values) deliveryQuery {
	get := func(name string) string { return strings.TrimSpace(form.Get(name)) }
	q := deliveryQuery{Hook: get("hook"), Job: get("job"), values: map[string]string{}, spanQuery: readSpan(form)}
	for _, in := range deliveryInputs() {
		if value := get(in.Name); value != "" {
			q.values[in.Name] = value
		}
	}
	return q
}

// inputs returns deliveryInputs with the query's values.
func (c *console) inputs(ctx context.Context, v *visit, q *deliveryQuery) ([]filterInput, error) {
	inputs := deliveryInputs()
	for i := range inputs {
		in := &inputs[i]
		in.Value = q.Get(in.Name)
		if in.Name == "event_type" {
			var err error
			if in.Known, err = c.typeNames(ctx, v.Tenant); err != nil {
				return nil, err
			}
		}
	}
	return inputs, nil
}

// describe describes in words which deliveries the list shows; job is the reason of their replay.
func (q deliveryQuery) describe(hook, job string) []string {
	var words []string
	add := func(name, value string) {
		if value != "" {
			words = append(words, name+" "+value)
		}
	}
	add("to", hook)
	add("of the replay:", job)
	for _, in := range deliveryInputs() {
		name, value := strings.ToLower(in.Title)+":", q.Get(in.Name)
		if in.Name == "label" {
			name = "to webhooks with the label"
		}
		if i := slices.IndexFunc(in.Options, func(o option) bool { return o.Value == value }); i >= 0 && value != "" {
			value = in.Options[i].Label
		}
		add(name, value)
	}
	if q.Since == ownSpan {
		add("published from", strings.Replace(q.From, "T", " ", 1))
		add("until", strings.Replace(q.To, "T", " ", 1))
		return words
	}
	if i := slices.IndexFunc(q.Spans(), func(o option) bool { return o.Value == q.Since }); i >= 0 {
		add("published:", q.Spans()[i].Label)
	}
	return words
}
