package webhook

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

// maxStartFrom is how far before its creation a hook may begin.
const maxStartFrom = 90 * 24 * time.Hour

// StartFrom is config.start_from: how far back a new hook begins. It is a time, or a duration before the creation.
type StartFrom struct {
	at   time.Time
	back time.Duration
}

// Since returns the earliest publication time of events for a hook that was created at the given time.
func (s *StartFrom) Since(created time.Time) time.Time {
	if s.at.IsZero() {
		return created.Add(-s.back)
	}
	return s.at
}

// parseStartFrom parses an RFC 3339 time, an ISO 8601 duration (P7D, PT36H) or a Go duration (36h).
func parseStartFrom(raw json.RawMessage) (*StartFrom, bool) {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return nil, false
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		year := at.UTC().Year()
		return &StartFrom{at: at.UTC()}, year >= 2000 && year <= 2200
	}
	back, ok := isoDuration(text)
	if !ok {
		var err error
		back, err = time.ParseDuration(text)
		ok = err == nil
	}
	return &StartFrom{back: back}, ok && back > 0 && back <= maxStartFrom
}

// isoDuration parses an ISO 8601 duration in whole weeks, days, hours, minutes and seconds.
func isoDuration(text string) (time.Duration, bool) {
	rest, ok := strings.CutPrefix(text, "P")
	if !ok || rest == "" || strings.HasSuffix(rest, "T") {
		return 0, false
	}
	date, clock, _ := strings.Cut(rest, "T")
	const day = 24 * time.Hour
	a, okDate := sumUnits(date, "WD", []time.Duration{7 * day, day})
	b, okClock := sumUnits(clock, "HMS", []time.Duration{time.Hour, time.Minute, time.Second})
	return a + b, okDate && okClock
}

// sumUnits parses numbers that are each followed by a letter; the letters must come in the given order.
func sumUnits(text, letters string, units []time.Duration) (sum time.Duration, ok bool) {
	next := 0
	for text != "" {
		end := strings.IndexFunc(text, func(r rune) bool { return r < '0' || r > '9' })
		if end < 1 || end > 9 {
			return 0, false
		}
		unit := strings.IndexByte(letters, text[end])
		n, err := strconv.ParseInt(text[:end], 10, 64)
		if unit < next || err != nil || n > int64(maxStartFrom/time.Second) {
			return 0, false
		}
		sum, next, text = sum+time.Duration(n)*units[unit], unit+1, text[end+1:]
	}
	return sum, true
}
