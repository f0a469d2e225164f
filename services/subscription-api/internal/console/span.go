package console

import (
	"net/url"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// ownSpan is the choice of a time range with a beginning and an end of its own.
const ownSpan = "own"

// spanQuery is when what a list shows was published: the last seven days unless it says otherwise.
type spanQuery struct{ Since, From, To string }

func readSpan(form url.Values) spanQuery {
	get := func(name string) string { return strings.TrimSpace(form.Get(name)) }
	q := spanQuery{Since: get("since")}
	if q.Since == ownSpan {
		q.From, q.To = formatMoment(get("from")), formatMoment(get("to"))
	}
	return q
}

// formatMoment is a time as a browser's field has it; what is none is as it was.
func formatMoment(s string) string {
	if at, ok := parseMoment(s); ok {
		return at.Format(momentLayout)
	}
	return s
}

// SpanLabel is what the field is called.
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

// timeRange is what the store is asked for; a problem is a sentence for people. Days are those of now's zone.
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

// zoneCookie is where a page's script tells the reader's time zone, by its name.
const zoneCookie = "whisperer_zone"

// now is the time in the reader's zone; in UTC where their browser does not tell one.
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
