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
		"took":   durationText,
		"amount": amount[int],
		"size":   size[int],
	}
}

// dict makes a template's arguments from names and values.
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

// amount formats a number with thin spaces between groups of three digits.
func amount[N int | int64 | uint64](n N) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// refusals are the keys of doneText that say why nothing was done.
var refusals = []string{"undo-late", "undo-conflict", "pause-no-time", "no-public-url", "put-back-before", "view-many", "view-wrong", "none-ticked"}

// doneTexts are the messages after an action, and doneMany those after an action on many objects.
var (
	doneTexts = map[string]string{
		"created":           "The webhook was created.",
		"changed":           "The webhook was changed. Workers obey within a second.",
		"undeleted":         "The webhook is back as it was. What came for it meanwhile is being delivered.",
		"undo-late":         "It is too late to undo this: the webhook is gone. Its deliveries stay in the history.",
		"undo-conflict":     "It cannot be undone: another webhook has the same target URL and event types now.",
		"paused":            "The webhook is paused. New deliveries are parked until you resume it.",
		"paused-until":      "The webhook is paused. New deliveries are parked, and the webhook resumes by itself.",
		"pause-no-time":     "The webhook was not paused: the end of the pause must be a time in the future, at most a year ahead.",
		"resumed":           "The webhook is active. What was kept for it is being delivered.",
		"retried":           "The delivery is being tried again. This page follows it.",
		"revoked":           "The token was revoked.",
		"handshake":         "The handshake policy was changed.",
		"no-public-url":     "The handshake policy was not changed: set WHISPERER_PUBLIC_URL first, whose host receivers are asked for.",
		"keys-rotated":      "The next keys sign from now on.",
		"retention-set":     "The policy is set. What is older is erased within the next rounds of the housekeeper.",
		"retention-removed": "The policy was removed.",
		"put-back-before":   "The entry is not set aside any more: somebody else has put it back.",
		"view-saved":        "The view is saved. Only you see it.",
		"view-removed":      "The view was removed.",
		"view-many":         "The view was not saved: you keep as many views as you may. Remove one first.",
		"view-wrong":        "The view was not saved: give it a name of at most 64 characters, and a filter.",
		"none-ticked":       "No webhook was ticked, so nothing was changed.",
	}
	doneMany = map[string]func(n int) string{
		"paused-some": func(n int) string {
			return things(n, "webhook is", "webhooks are") + " paused. What comes for them is kept."
		},
		"resumed-some": func(n int) string {
			return things(n, "webhook is", "webhooks are") + " active. What was kept for them is being delivered."
		},
		"retried-some": func(n int) string {
			return things(n, "delivery is", "deliveries are") + " being tried again, as fast as their webhooks take them."
		},
		"put-back": func(n int) string { return things(n, "entry is", "entries are") + " in the ledger now." },
		"replaying-some": func(n int) string {
			return "The deliveries of " + things(n, "webhook", "webhooks") + " are being sent again. Each webhook's Replay page follows it."
		},
	}
)

// doneText returns the message after an action, on n objects if n is given.
func doneText(done, n string) string {
	if text, there := doneTexts[done]; there {
		return text
	}
	many, err := strconv.Atoi(n)
	if text := doneMany[done]; text != nil && err == nil {
		return text(many)
	}
	return ""
}

// things formats a number with its noun.
func things(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return amount(n) + " " + many
}

// size formats a number of bytes.
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

// durationText formats a duration; short ones to a tenth of a millisecond.
func durationText(d time.Duration) string {
	switch ms := float64(d) / float64(time.Millisecond); {
	case ms < 100:
		return strconv.FormatFloat(round(ms), 'f', -1, 64) + " ms"
	case ms < 1000:
		return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
	default:
		return strconv.FormatFloat(ms/1000, 'f', 1, 64) + " s"
	}
}

// wait formats a duration in its two largest units, such as 2 h 30 min.
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

// pretty indents JSON for reading, and returns anything else unchanged.
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
