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
		"asset": files.url,
		"iso":   func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
		"utc":   func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"exact": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000 UTC") },
		"dict":  dict,
		"took":  took,
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

// count writes a number with thin groups of three, as people read it.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// doneText is what a page says after the person did something.
func doneText(done string) string {
	switch done {
	case "created":
		return "The webhook was created."
	case "changed":
		return "The webhook was changed. Workers obey within a second."
	case "deleted":
		return "The webhook was deleted."
	case "paused":
		return "The webhook is paused. What comes for it is kept until you resume it."
	case "resumed":
		return "The webhook is active. What was kept for it is being delivered."
	case "paused-some":
		return "The ticked webhooks are paused."
	case "resumed-some":
		return "The ticked webhooks are active."
	case "retried":
		return "The delivery is being tried again. Reload the page in a moment to see how that went."
	case "revoked":
		return "The token was revoked."
	case "none-ticked":
		return "No webhook was ticked, so nothing was changed."
	default:
		return ""
	}
}

// size writes a number of bytes.
func size(n int) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	default:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
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
