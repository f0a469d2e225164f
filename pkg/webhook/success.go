package webhook

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
)

// maxSuccessStatuses is the maximum number of statuses and ranges in config.success.
const maxSuccessStatuses = 20

// The HTTP statuses that may count as delivered.
const (
	minSuccessStatus = 200
	maxSuccessStatus = 599
)

// StatusRange is the range of HTTP statuses from From to To, both included.
type StatusRange struct{ From, To int }

// Success is config.success: which answers count as delivered. The zero value means 2xx.
type Success struct {
	// Statuses are those that count; an empty list means 2xx.
	Statuses []StatusRange
	// Condition is a CEL expression over the answer that must be true as well; empty for none.
	Condition string
}

// Counts reports whether a status counts as delivered.
func (s *Success) Counts(status int) bool {
	if len(s.Statuses) == 0 {
		return status >= 200 && status <= 299
	}
	return slices.ContainsFunc(s.Statuses, func(r StatusRange) bool { return status >= r.From && status <= r.To })
}

// successMembers describes config.success.
var successMembers = []Field{
	{
		Name: "statuses", Kind: KindStatuses, Low: minSuccessStatus, High: maxSuccessStatus, MaxItems: maxSuccessStatuses, Example: `["200-299", 409]`,
		Help: "HTTP statuses from 200 to 599, and ranges of them as strings, that count as delivered; 2xx if absent",
	},
	{
		Name: "condition", Kind: KindText, Example: "response.body.ok",
		Help: "A CEL expression over response.status and response.body that must also be true",
	},
}

func parseSuccess(raw json.RawMessage, p *ValidationError) Success {
	var in struct {
		Statuses  []json.RawMessage `json:"statuses"`
		Condition json.RawMessage   `json:"condition"`
	}
	var s Success
	if err := decodeStrict(raw, &in); err != nil {
		p.Collect("/success", err)
		return s
	}
	if !isNull(in.Condition) && json.Unmarshal(in.Condition, &s.Condition) != nil {
		p.Add("/success/condition", "must be a CEL expression as a string")
	}
	if len(in.Statuses) > maxSuccessStatuses {
		p.Add("/success/statuses", "has more than %d statuses and ranges", maxSuccessStatuses)
	}
	for _, item := range in.Statuses {
		r, ok := parseStatusRange(item)
		if !ok {
			p.Add("/success/statuses", `must be a list of HTTP statuses from 200 to 599, such as 409, and ranges of them, such as "300-399"`)
			break
		}
		s.Statuses = append(s.Statuses, r)
	}
	return s
}

func parseStatusRange(raw json.RawMessage) (r StatusRange, ok bool) {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		r.From, ok = wholeNumber(raw)
		r.To = r.From
		return r, ok && r.valid()
	}
	from, to, ranged := strings.Cut(text, "-")
	if !ranged { // a single status in quotes, like other numbers
		to = from
	}
	var errFrom, errTo error
	r.From, errFrom = strconv.Atoi(strings.TrimSpace(from))
	r.To, errTo = strconv.Atoi(strings.TrimSpace(to))
	return r, errFrom == nil && errTo == nil && r.valid()
}

func (r StatusRange) valid() bool {
	return r.From >= minSuccessStatus && r.From <= r.To && r.To <= maxSuccessStatus
}
