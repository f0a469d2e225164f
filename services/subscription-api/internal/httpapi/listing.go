package httpapi

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// defaultRange is how far back a list of what happened goes when it is not said.
const defaultRange = 7 * 24 * time.Hour

type (
	timeParam string
	intParam  string
	fromParam string
	toParam   string
)

// Schema describes the parameter.
func (timeParam) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "date-time"}
}

// Schema describes the parameter.
func (intParam) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Type: huma.TypeInteger} }

// Schema describes the parameter.
func (fromParam) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, Format: "date-time",
		Description: "The earliest publication of the events, as RFC 3339 writes it; without it, seven days before to",
	}
}

// Schema describes the parameter.
func (toParam) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{
		Type: huma.TypeString, Format: "date-time",
		Description: "The publication of the events is before this; without it, there is no end",
	}
}

// readTime reads a time of RFC 3339 within the years that the database can mean something by.
func readTime(name, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return t, badParameter(name, "must be a time as RFC 3339 writes it, with a zone, such as 2026-01-31T12:00:00Z")
	}
	return t.UTC(), checkYear(name, t)
}

func checkYear(name string, t time.Time) error {
	if y := t.UTC().Year(); y < 2000 || y > 2200 {
		return badParameter(name, "must be between the years 2000 and 2200")
	}
	return nil
}

// readRange reads from and to. Without from, the range begins defaultRange before its end.
func readRange(from fromParam, to toParam, now time.Time) (r usecase.TimeRange, err error) {
	if r.From, err = readTime("from", string(from)); err != nil {
		return r, err
	}
	if r.To, err = readTime("to", string(to)); err != nil {
		return r, err
	}
	return completeRange(r, now)
}

func completeRange(r usecase.TimeRange, now time.Time) (usecase.TimeRange, error) {
	switch {
	case !r.From.IsZero() && !r.To.IsZero() && !r.From.Before(r.To):
		return r, badParameter("from", "must be before to")
	case r.From.IsZero() && !r.To.IsZero():
		r.From = r.To.Add(-defaultRange)
	case r.From.IsZero():
		r.From = now.Add(-defaultRange)
	}
	return r, nil
}

// readHTTPStatus reads a parameter that is an HTTP status.
func readHTTPStatus(name, s string) (*int, error) {
	if s == "" {
		return nil, nil //nolint:nilnil // not given
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > 999 {
		return nil, badParameter(name, "must be an HTTP status, or 0 for no answer")
	}
	return &n, nil
}

// readFilterID reads a parameter that is an id.
func readFilterID(name, s string) (uuid.UUID, error) {
	if s == "" {
		return uuid.Nil, nil
	}
	id, ok := parseID(s)
	if !ok || id == uuid.Nil {
		return uuid.Nil, badParameter(name, "must be an id")
	}
	return id, nil
}

// readTypes reads the parameter event_type, which is a type or pattern.
func readTypes(s string) ([]string, error) {
	if s == "" {
		return nil, nil
	}
	t := webhook.NormalizeEventType(s)
	if err := webhook.ValidatePattern(t); err != nil {
		return nil, badParameter("event_type", err.Error())
	}
	return []string{t}, nil
}

func readState(s string) ([]webhook.DeliveryState, error) {
	if s == "" {
		return nil, nil
	}
	var states []webhook.DeliveryState
	for name := range strings.SplitSeq(s, ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if !slices.Contains(webhook.DeliveryStates(), webhook.DeliveryState(name)) {
			return nil, badParameter("state", "must be of waiting, parked, delivered, dead, cancelled, superseded, separated by commas")
		}
		states = append(states, webhook.DeliveryState(name))
	}
	return states, nil
}

// scopeOf is what a cursor is bound to: the list, the tenant and all parameters but the page's.
func (c *call) scopeOf(list string) string {
	v := url.Values{"list": {list}, "tenant": {c.Tenant}}
	for name, values := range c.query {
		if name != "limit" && name != "cursor" {
			v["query."+name] = values
		}
	}
	return v.Encode()
}

// neighbours are the links of a page whose n results are at positions.
func (s *server) neighbours(c *call, path, scope string, page usecase.Page, more bool, n int, position func(i int) usecase.Position) (next, previous *string) {
	if n == 0 {
		return nil, nil
	}
	first, last := position(0), position(n-1)
	return s.cursors.links(c.base+path, c.query, scope, page, more, &first, &last)
}

// content is bytes of a stranger: text as it is, and all else in base64.
type content struct {
	text   string
	base64 bool
}

func contentOf(raw []byte) content {
	if utf8.Valid(raw) && !strings.ContainsRune(string(raw), 0) {
		return content{text: string(raw)}
	}
	return content{text: base64.StdEncoding.EncodeToString(raw), base64: true}
}

func headerLines(headers []webhook.Header) []api.HeaderLine {
	lines := make([]api.HeaderLine, len(headers))
	for i, h := range headers {
		lines[i] = api.HeaderLine(h)
	}
	return lines
}

// optionalTime is nil for the zero time.
func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// optionalStatus is nil where there was no answer.
func optionalStatus(status int) *int {
	if status == 0 {
		return nil
	}
	return &status
}
