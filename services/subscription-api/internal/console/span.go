package console

import (
	"net/url"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// ownSpan is the choice of a custom time range.
const ownSpan = "own"

// spanQuery is the time range of publication of what a list shows; by default the last seven days.
type spanQuery struct{ Since, From, To string }

func readSpan(form url.Values) spanQuery {
	get := func(name string) string { return strings.TrimSpace(form.Get(name)) }
	q := spanQuery{Since: get("since")}
	if q.Since == ownSpan {
		q.From, q.To = formatMoment(get("from")), formatMoment(get("to"))
	}
	return q
}

// formatMoment formats a time for a browser's field, and returns invalid ones unchanged.
func formatMoment(s string) string {
	if at, ok := parseMoment(s); ok {
		return at.Format(momentLayout)
	}
	return s
}

// SpanLabel is the label of the field.
func (spanQuery) SpanLabel() string { return "Published" }

// Spans are the choices.
func (spanQuery) Spans() []option {
	return []option{
		{"", "last 7 days"},
		{"1h", "last hour"},
		{"24h", "last 24 hours"},
		{"today", "today"},
		{"yesterday", "yesterday"},
		{"720h", "last 30 days"},
		{ownSpan, "from … to …"},
	}
}

// timeRange converts the query. problem is a sentence for people. Days are in now's time zone.
func (q spanQuery) timeRange(now time.Time) (r usecase.TimeRange, problem string) {
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	now = now.UTC()
	r = lastWeek(now)
	switch q.Since {
	case "1h", "24h", "720h":
		if span, err := time.ParseDuration(q.Since); err == nil {
			r.From = now.Add(-span)
		}
	case "today":
		r.From = midnight.UTC()
	case "yesterday":
		r.From, r.To = midnight.AddDate(0, 0, -1).UTC(), midnight.UTC()
	case ownSpan:
		var ok bool
		if r.From, ok = parseMoment(q.From); q.From != "" && !ok {
			return r, "The beginning of the time range is no time, such as 2026-03-01 14:30."
		}
		if r.To, ok = parseMoment(q.To); q.To != "" && !ok {
			return r, "The end of the time range is no time, such as 2026-03-01 14:30."
		}
		if q.From == "" {
			r.From = lastWeek(now).From
		}
		if !r.To.IsZero() && !r.From.Before(r.To) {
			return r, "The time range ends before it begins."
		}
	}
	return r, ""
}

// zoneCookie is the cookie in which a page's script stores the name of the reader's time zone.
const zoneCookie = "whisperer_zone"

// now returns the time in the reader's zone, or in UTC if it is unknown.
func (v *visit) now() time.Time {
	now := time.Now().UTC()
	cookie, err := v.r.Cookie(zoneCookie)
	if err != nil {
		return now
	}
	name, err := url.QueryUnescape(cookie.Value)
	if err != nil || name == "Local" {
		return now
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return now
	}
	return now.In(zone)
}
