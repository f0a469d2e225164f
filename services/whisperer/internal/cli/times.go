package cli

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// length is a duration in a flag's notation: 90s, 2h30m, 7d, 1w, 1d12h.
type length time.Duration

var daysAndWeeks = regexp.MustCompile(`^(\d{1,5})([dw])(.*)$`)

var errLength = errors.New("must be a duration such as 90s, 2h30m, 7d or 1w")

// UnmarshalText parses a duration that is not negative.
func (s *length) UnmarshalText(text []byte) error {
	rest, whole := strings.TrimSpace(string(text)), time.Duration(0)
	for {
		m := daysAndWeeks.FindStringSubmatch(rest)
		if m == nil {
			break
		}
		n, _ := strconv.Atoi(m[1]) // at most five digits
		days := map[string]int{"d": 1, "w": 7}[m[2]] * n
		if rest, whole = m[3], whole+time.Duration(days)*24*time.Hour; rest == "" {
			*s = length(whole)
			return nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 || whole+d < 0 {
		return errLength
	}
	*s = length(whole + d)
	return nil
}

// moment is a point in time from a flag; zero if the flag was not given.
type moment struct{ time.Time }

// UnmarshalText parses a time (RFC 3339), a date or a date with a time of day in the local time zone, now, today,
// yesterday, or a length, which means that long ago.
func (m *moment) UnmarshalText(text []byte) error {
	word, now := strings.TrimSpace(string(text)), time.Now()
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	switch word {
	case "now":
		m.Time = now
		return nil
	case "today":
		m.Time = midnight
		return nil
	case "yesterday":
		m.Time = midnight.AddDate(0, 0, -1)
		return nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04", "2006-01-02T15:04", time.DateOnly} {
		if at, err := time.ParseInLocation(layout, word, time.Local); err == nil {
			m.Time = at
			return nil
		}
	}
	var ago length
	if ago.UnmarshalText([]byte(word)) != nil {
		return errors.New("must be how long ago, such as 2h or 7d, or a time, such as 2026-01-31T12:00:00Z, '2026-01-31 12:00' (local) or yesterday")
	}
	m.Time = now.Add(-time.Duration(ago))
	return nil
}

// deadline is a future point in time from a flag.
type deadline struct{ time.Time }

// UnmarshalText parses a time as moment does, or a length, which means that long from now.
func (u *deadline) UnmarshalText(text []byte) error {
	var in length
	if in.UnmarshalText(text) == nil {
		u.Time = time.Now().Add(time.Duration(in))
		return nil
	}
	var at moment
	if at.UnmarshalText(text) != nil {
		return errors.New("must be a duration from now, such as 2h or 1d, or a time, such as 2026-01-31T12:00:00Z or '2026-01-31 12:00' (local)")
	}
	u.Time = at.Time
	return nil
}

// rangeFlags bound a list by when the events were published.
type rangeFlags struct {
	Since moment `help:"The earliest: how long ago, such as 2h or 7d, or a time (default: 7d)." placeholder:"WHEN"`
	Until moment `help:"The latest, in the same format (default: now)." placeholder:"WHEN"`
}

// times returns the ends of the range; zero if they were not given.
func (r rangeFlags) times() (from, to time.Time, err error) {
	if !r.Since.IsZero() && !r.Until.IsZero() && !r.Since.Before(r.Until.Time) {
		return from, to, usage("--until: must be later than --since")
	}
	return r.Since.Time, r.Until.Time, nil
}
