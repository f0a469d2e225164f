package console

import (
	"encoding/json"
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"
)

// functions are what templates may call.
func functions(files assets) template.FuncMap {
	return template.FuncMap{
		"asset":  files.url,
		"iso":    func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
		"utc":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"exact":  func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000 UTC") },
		"dict":   dict,
		"took":   took,
		"amount": amount[int],
		"size":   size[int],
	}
}

// dict makes arguments for a template out of names and values.
func dict(pairs ...any) (map[string]any, error) {
	m := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("argument %d is no name", i)
		}
		m[name] = pairs[i+1]
	}
	return m, nil
}

// amount writes a number with thin groups of three, as people read it.
func amount[N int | int64 | uint64](n N) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// doneText is what a page says after the person did something, to so many things where there were several.
func doneText(done, n string) string {
	many, err := strconv.Atoi(n)
	if err != nil {
		many = 0
	}
	switch done {
	case "created":
		return "The webhook was created."
	case "changed":
		return "The webhook was changed. Workers obey within a second."
	case "deleted":
		return "The webhook was deleted."
	case "paused":
		return "The webhook is paused. New deliveries are parked until you resume it."
	case "resumed":
		return "The webhook is active. What was kept for it is being delivered."
	case "paused-some":
		return things(many, "webhook is", "webhooks are") + " paused. What comes for them is kept."
	case "resumed-some":
		return things(many, "webhook is", "webhooks are") + " active. What was kept for them is being delivered."
	case "retried":
		return "The delivery is being tried again. This page follows it."
	case "retried-some":
		return things(many, "delivery is", "deliveries are") + " being tried again, as fast as their webhooks take them."
	case "revoked":
		return "The token was revoked."
	case "put-back":
		return things(many, "entry is", "entries are") + " in the ledger now."
	case "put-back-before":
		return "The entry is not set aside any more: somebody else has put it back."
	case "none-ticked":
		return "No webhook was ticked, so nothing was changed."
	default:
		return ""
	}
}

// things writes a number with what it is of.
func things(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return amount(n) + " " + many
}

// size writes a number of bytes.
func size[N int | int64](n N) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
}

// took writes how long something took, to the tenth of a millisecond where that matters.
func took(d time.Duration) string {
	switch ms := float64(d) / float64(time.Millisecond); {
	case ms < 100:
		return strconv.FormatFloat(round(ms), 'f', -1, 64) + " ms"
	case ms < 1000:
		return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
	default:
		return strconv.FormatFloat(ms/1000, 'f', 1, 64) + " s"
	}
}

// wait writes a duration in the two largest units that it has, such as 2 h 30 min.
func wait(d time.Duration) string {
	if d < time.Second {
		return strconv.FormatInt(d.Milliseconds(), 10) + " ms"
	}
	d = d.Round(time.Second)
	var parts []string
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}} {
		if n := d / unit.size; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, unit.name))
			d %= unit.size
		} else if len(parts) > 0 {
			break
		}
		if len(parts) == 2 {
			break
		}
	}
	return strings.Join(parts, " ")
}

// pretty indents JSON for reading; what is no JSON stays as it is.
func pretty(raw []byte) string {
	var out strings.Builder
	var value json.RawMessage
	if json.Unmarshal(raw, &value) != nil {
		return string(raw)
	}
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return string(raw)
	}
	return strings.TrimSuffix(out.String(), "\n")
}
