package envelope

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// CheckJSON reports why body is not a JSON text that nests no deeper than most. This rule applies to events from
// every source. Oddities that are valid JSON, such as repeated names, escaped NULs or unpaired surrogates, are left
// to the receivers, who get the published bytes. The error is a *RejectedError.
func CheckJSON(body []byte, most int) error {
	switch {
	case len(body) == 0:
		return reject(Unreadable, "", "the body is empty")
	case !utf8.Valid(body):
		return reject(Unreadable, "", "the body is not UTF-8")
	}
	if err := checkDepth(body, most); err != nil {
		return err
	}
	if !gjson.ValidBytes(body) {
		return reject(Unreadable, "", "the body is not JSON")
	}
	return nil
}

func checkDepth(body []byte, most int) error {
	if depth(body, most) > most {
		return reject(Unreadable, "", "the body nests more than %d levels", most)
	}
	return nil
}

// depth returns the nesting of brackets outside of strings. If the text has no more than most brackets, it returns
// early, because counting them is fast. The text need not be JSON.
func depth(body []byte, most int) int {
	if n := bytes.Count(body, []byte{'{'}) + bytes.Count(body, []byte{'['}); n <= most {
		return n
	}
	level, deepest := 0, 0
	for i := 0; i < len(body); {
		switch body[i] {
		case '"':
			i = skipString(body, i)
			continue
		case '{', '[':
			level++
			deepest = max(deepest, level)
		case '}', ']':
			level--
		}
		i++
	}
	return deepest
}

// skipString returns the position after the string that begins at i, or the length of the body if it does not end.
func skipString(body []byte, i int) int {
	i++
	for {
		n := bytes.IndexByte(body[i:], '"')
		if n < 0 {
			return len(body)
		}
		quote := i + n
		for i <= quote { // skip escaped characters, among them quotes
			n := bytes.IndexByte(body[i:quote], '\\')
			if n < 0 {
				return quote + 1
			}
			i += n + 2
		}
	}
}

// text decodes a string of valid JSON in UTF-8.
func text(raw json.RawMessage) (s string, ok bool) {
	if n := len(raw); n >= 2 && raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : n-1]), true
	}
	return escapedText(raw)
}

// escapedText is a separate function so that text itself allocates only its result.
func escapedText(raw json.RawMessage) (s string, ok bool) {
	return s, json.Unmarshal(raw, &s) == nil
}

func isJSONType(contentType string) bool {
	t, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	t = strings.TrimSpace(t)
	return t == "" || t == TypeJSON || strings.HasSuffix(t, "+json") || t == "text/json"
}

// repeatedName returns a name that occurs twice in an object, ignoring case, or "".
func repeatedName(object []byte) string {
	d := json.NewDecoder(bytes.NewReader(object))
	seen := map[string]bool{}
	_, _ = d.Token() // the brace
	for d.More() {
		token, err := d.Token()
		name, ok := token.(string)
		var value json.RawMessage
		if err != nil || !ok || d.Decode(&value) != nil {
			return "" // invalid JSON is reported elsewhere
		}
		lower := strings.ToLower(name)
		if seen[lower] {
			return lower
		}
		seen[lower] = true
	}
	return ""
}
