package webhook

import (
	"encoding/json"
	"strconv"
	"strings"
)

// maxComparisons bounds the work of one Contains: each item of a list is compared with each item of another, and
// neither list is trusted. Beyond it, the result is false.
const maxComparisons = 1 << 20

// Contains reports whether the config contains the filter in the sense of PostgreSQL's jsonb operator @>: every key
// of an object must be present and contain the corresponding value, every item of a list must be contained in some
// item of the other list, in any order, and everything else must be equal. A filter that is empty or null is always
// contained.
func (c *Config) Contains(filter json.RawMessage) bool {
	if isNull(filter) {
		return true
	}
	want, err := decodeAny(filter)
	if err != nil {
		return false
	}
	if w, ok := want.(map[string]any); ok && len(w) == 0 {
		return true // an empty config has no value to compare
	}
	budget := maxComparisons
	return contains(c.own, want, &budget)
}

func contains(have, want any, budget *int) bool {
	if *budget--; *budget < 0 {
		return false
	}
	switch w := want.(type) {
	case map[string]any:
		h, ok := have.(map[string]any)
		if !ok {
			return false
		}
		for key, value := range w {
			if got, there := h[key]; !there || !contains(got, value, budget) {
				return false
			}
		}
		return true
	case []any:
		h, ok := have.([]any)
		if !ok {
			return false
		}
		for _, value := range w {
			if !someContains(h, value, budget) {
				return false
			}
		}
		return true
	case json.Number:
		h, ok := have.(json.Number)
		return ok && sameNumber(h, w)
	case string:
		h, ok := have.(string)
		return ok && h == w
	case bool:
		h, ok := have.(bool)
		return ok && h == w
	default: // null
		return have == nil
	}
}

func someContains(list []any, want any, budget *int) bool {
	for _, have := range list {
		if contains(have, want, budget) {
			return true
		}
	}
	return false
}

// sameNumber compares numbers exactly, whatever their notation: 12, 12.0 and 1.2e1 are equal.
func sameNumber(a, b json.Number) bool {
	if a == b {
		return true
	}
	x, xOK := readDecimal(string(a))
	y, yOK := readDecimal(string(b))
	return xOK && yOK && x == y
}

// decimal is a number: 0.digits times 10 to the exponent, where digits neither begin nor end with 0. Zero has no
// digits.
type decimal struct {
	negative bool
	digits   string
	exponent int
}

// readDecimal parses a JSON number. ok is false for an absurdly large exponent.
func readDecimal(text string) (d decimal, ok bool) {
	text, d.negative = strings.CutPrefix(text, "-")
	mantissa, power := text, ""
	if i := strings.IndexAny(text, "eE"); i >= 0 {
		mantissa, power = text[:i], text[i+1:]
	}
	if power != "" {
		n, err := strconv.ParseInt(power, 10, 32)
		if err != nil {
			return decimal{}, false
		}
		d.exponent = int(n)
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	all := whole + fraction
	d.digits = strings.TrimLeft(all, "0")
	d.exponent += len(whole) - (len(all) - len(d.digits))
	if d.digits = strings.TrimRight(d.digits, "0"); d.digits == "" {
		return decimal{}, true
	}
	return d, true
}
