package usecase

import (
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Filter describes one filter of a list, from the tags of its field in package api.
type Filter struct {
	// Name is the parameter's name, and Doc its description.
	Name, Doc string
	// Words are the accepted values; nil means any.
	Words []string
	// MaxLength bounds the value, in characters; 0 means the general limit of text.
	MaxLength int
	// Title is its label in the console, or empty if the console does not offer it. Example is a value.
	Title, Example string
	Type           reflect.Type
}

// DeliveryFilters returns the filters of lists of deliveries.
func DeliveryFilters() []Filter { return FiltersOf[api.DeliveryFilter]() }

// FiltersOf returns the filters that a struct of package api describes.
func FiltersOf[T any]() []Filter {
	var list []Filter
	for _, field := range reflect.VisibleFields(reflect.TypeFor[T]()) {
		tag := field.Tag
		f := Filter{Name: tag.Get("query"), Doc: tag.Get("doc"), Title: tag.Get("title"), Example: tag.Get("example"), Type: field.Type}
		if f.Name == "" {
			continue
		}
		if words := strings.TrimSuffix(tag.Get("enum"), ","); words != "" {
			f.Words = strings.Split(words, ",")
		}
		if n, err := strconv.Atoi(tag.Get("maxLength")); err == nil {
			f.MaxLength = n
		}
		list = append(list, f)
	}
	return list
}

// ReadDeliveryFilter parses the parameters of a list of deliveries, except those that search payloads. The error is a
// *ParameterError.
func ReadDeliveryFilter(q url.Values, now time.Time) (DeliveryFilter, error) {
	r, err := ReadRange(q.Get("from"), q.Get("to"), now)
	if err != nil {
		return DeliveryFilter{}, err
	}
	if (q.Get("event") != "" || q.Get("id_prefix") != "") && q.Get("from") == "" {
		r.From = time.Time{}
	}
	return ReadDeliveryFilterIn(r, q)
}

// ReadDeliveryFilterIn is like ReadDeliveryFilter for a range that is already parsed.
func ReadDeliveryFilterIn(r TimeRange, q url.Values) (f DeliveryFilter, err error) {
	f = DeliveryFilter{Range: r, EventID: q.Get("event"), Entity: q.Get("entity")}
	if f.IDs, err = readPrefix(q.Get("id_prefix")); err != nil {
		return f, err
	}
	if f.Hook, err = ReadID("hook", q.Get("hook")); err != nil {
		return f, err
	}
	if f.Labels, err = ReadLabels(q.Get("label")); err != nil {
		return f, err
	}
	if f.EventTypes, err = ReadTypes(q.Get("event_type")); err != nil {
		return f, err
	}
	if f.States, err = readStates(q.Get("state")); err != nil {
		return f, err
	}
	status, err := ReadHTTPStatus("status", q.Get("status"))
	if err != nil {
		return f, err
	}
	f.MinStatus, f.MaxStatus = status, status
	if status == nil {
		f.MinStatus, f.MaxStatus, err = statusClass(q.Get("status_class"))
	}
	return f, err
}

// readRetryChoice parses a selection of deliveries to retry. The error is a *webhook.ValidationError.
func readRetryChoice(r *api.RetryChoice) (DeliveryFilter, error) {
	invalid := &webhook.ValidationError{}
	f := DeliveryFilter{
		OneOf: r.IDs, Labels: r.Labels, EventTypes: webhook.CanonicalEventTypes(r.EventTypes), Entity: r.Entity, States: r.States,
		Range: TimeRange{From: r.From.UTC(), To: r.To.UTC()},
	}
	if r.Hook != nil {
		f.Hook = *r.Hook
	}
	checkIDs(invalid, r.IDs)
	if err := r.Labels.Check(); err != nil {
		invalid.Collect("/labels", err)
	}
	if len(r.EventTypes) > webhook.MaxEventTypes {
		invalid.Add("/event_types", "must name at most %d event types", webhook.MaxEventTypes)
	}
	for _, t := range f.EventTypes {
		if err := webhook.ValidatePattern(t); err != nil {
			invalid.Add("/event_types", "%q %s", webhook.Clip(t), err)
		}
	}
	if err := webhook.ValidateEntity(r.Entity); err != nil {
		invalid.Add("/entity", "%s", err)
	}
	for _, state := range r.States {
		done := state == webhook.Delivered || state == webhook.Superseded
		if state != webhook.Dead && state != webhook.Waiting && state != webhook.Cancelled && (!done || !r.Force) {
			invalid.Add("/states", "must be of dead, waiting, cancelled, and with force delivered, superseded")
			break
		}
	}
	switch {
	case r.From.IsZero() && r.IDs == nil:
		invalid.Add("/from", "is required, or ids")
	case !r.From.IsZero() && !storable(r.From):
		invalid.Add("/from", "must be after the year 2000")
	}
	switch {
	case !r.To.IsZero() && !storable(r.To):
		invalid.Add("/to", "must be before the year 2200")
	case !r.To.IsZero() && !r.From.Before(r.To):
		invalid.Add("/from", "must be before to")
	}
	return f, invalid.OrNil()
}

// readPrefix parses the beginning of an id into the range of ids with that prefix, or nil for an empty text.
func readPrefix(text string) (*IDRange, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no bound
	}
	ids, ok := IDsFrom(text)
	if !ok {
		return nil, &ParameterError{"id_prefix", "must be 4 to 32 hexadecimal digits"}
	}
	return &ids, nil
}

func readStates(s string) ([]webhook.DeliveryState, error) {
	if s == "" {
		return nil, nil
	}
	var states []webhook.DeliveryState
	for name := range strings.SplitSeq(s, ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if !slices.Contains(webhook.DeliveryStates(), webhook.DeliveryState(name)) {
			return nil, &ParameterError{"state", "must be of waiting, parked, delivered, dead, cancelled, superseded, separated by commas"}
		}
		states = append(states, webhook.DeliveryState(name))
	}
	return states, nil
}

func statusClass(class string) (low, high *int, err error) {
	if class == "" {
		return nil, nil, nil
	}
	bounds, known := map[string][2]int{
		"2xx": {200, 299}, "3xx": {300, 399}, "4xx": {400, 499}, "5xx": {500, 599}, "none": {0, 0},
	}[strings.ToLower(class)]
	if !known {
		return nil, nil, &ParameterError{"status_class", "must be 2xx, 3xx, 4xx, 5xx or none"}
	}
	return &bounds[0], &bounds[1], nil
}
