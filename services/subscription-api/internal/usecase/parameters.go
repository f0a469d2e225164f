package usecase

import (
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// defaultRange is the default range of lists of history.
const defaultRange = 7 * 24 * time.Hour

// ParameterError says what is wrong with a parameter of a list.
type ParameterError struct{ Name, Detail string }

// Error returns the parameter and the detail.
func (e *ParameterError) Error() string { return e.Name + " " + e.Detail }

// ReadTime parses an RFC 3339 time within the years that the database supports. An empty text is the zero time.
func ReadTime(name, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return t, &ParameterError{name, "must be a time as RFC 3339 writes it, with a zone, such as 2026-01-31T12:00:00Z"}
	}
	return t.UTC(), CheckYear(name, t)
}

// CheckYear refuses times that the database does not support.
func CheckYear(name string, t time.Time) error {
	if y := t.UTC().Year(); y < 2000 || y > 2200 {
		return &ParameterError{name, "must be between the years 2000 and 2200"}
	}
	return nil
}

// ReadRange parses from and to. Without from, the range begins seven days before its end.
func ReadRange(from, to string, now time.Time) (r TimeRange, err error) {
	if r.From, err = ReadTime("from", from); err != nil {
		return r, err
	}
	if r.To, err = ReadTime("to", to); err != nil {
		return r, err
	}
	return CompleteRange(r, now)
}

// CompleteRange sets a missing beginning to seven days before the end of the range, or before now.
func CompleteRange(r TimeRange, now time.Time) (TimeRange, error) {
	switch {
	case !r.From.IsZero() && !r.To.IsZero() && !r.From.Before(r.To):
		return r, &ParameterError{"from", "must be before to"}
	case r.From.IsZero() && !r.To.IsZero():
		r.From = r.To.Add(-defaultRange)
	case r.From.IsZero():
		r.From = now.Add(-defaultRange)
	}
	return r, nil
}

// ReadHTTPStatus parses a parameter that is an HTTP status. An empty text is nil.
func ReadHTTPStatus(name, s string) (*int, error) {
	if s == "" {
		return nil, nil //nolint:nilnil // not given
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 999 {
		return nil, &ParameterError{name, "must be an HTTP status, or 0 for no answer"}
	}
	return &n, nil
}

// ReadID parses a parameter that is an id. An empty text is uuid.Nil.
func ReadID(name, s string) (uuid.UUID, error) {
	if s == "" {
		return uuid.Nil, nil
	}
	id, ok := ParseID(s)
	if !ok || id == uuid.Nil {
		return uuid.Nil, &ParameterError{name, "must be an id"}
	}
	return id, nil
}

// ParseID parses an id with or without dashes; Python's hex has none.
func ParseID(s string) (uuid.UUID, bool) {
	const plain = 2 * len(uuid.UUID{})
	id, err := uuid.Parse(s)
	return id, err == nil && (len(s) == plain || len(s) == plain+4)
}

// ReadTypes parses the parameter event_type, which is a type or pattern. An empty text is nil.
func ReadTypes(s string) ([]string, error) {
	if s == "" {
		return nil, nil
	}
	t := webhook.NormalizeEventType(s)
	if err := webhook.ValidatePattern(t); err != nil {
		return nil, &ParameterError{"event_type", err.Error()}
	}
	return []string{t}, nil
}

// ReadLabels parses the parameter label, which selects hooks by their labels.
func ReadLabels(s string) (webhook.LabelSelector, error) {
	labels, err := webhook.ParseLabelSelector(s)
	if err != nil {
		return nil, &ParameterError{"label", err.Error()}
	}
	return labels, nil
}
