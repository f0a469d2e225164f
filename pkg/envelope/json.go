package envelope

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/tidwall/gjson"
)

// CheckJSON reports why body is not JSON text that nests at most so deep. It is the one rule for whatever way an event comes
// in; what is odd, but JSON, such as a name that repeats, an escaped NUL or half a surrogate pair, is the receivers' to judge,
// as they get the bytes that were published. The error is a *RejectedError.
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

// depth is how deeply brackets nest outside of strings, at most: few brackets are not looked at more closely, as counting
// them is quick. The text need not be JSON.
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

// skipString returns where the string that begins at i ends, after its quote; the length of the body where it does not.
func skipString(body []byte, i int) int {
	i++
	for {
		n := bytes.IndexByte(body[i:], '"')
		if n < 0 {
			return len(body)
		}
		quote := i + n
		for i <= quote { // over what is escaped, which may be the quote
			n := bytes.IndexByte(body[i:quote], '\\')
			if n < 0 {
				return quote + 1
			}
			i += n + 2
		}
	}
}

// text reads a string of valid JSON that is UTF-8.
func text(raw json.RawMessage) (s string, ok bool) {
	if n := len(raw); n >= 2 && raw[0] == '"' && bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : n-1]), true
	}
	return escapedText(raw)
}

// escapedText is apart so that text costs no more than its string.
func escapedText(raw json.RawMessage) (s string, ok bool) {
	return s, json.Unmarshal(raw, &s) == nil
}

func isJSONType(contentType string) bool {
	t, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	t = strings.TrimSpace(t)
	return t == "" || t == TypeJSON || strings.HasSuffix(t, "+json") || t == "text/json"
}

// repeatedName finds a name that an object has twice, in any case; empty where there is none.
func repeatedName(object []byte) string {
	d := json.NewDecoder(bytes.NewReader(object))
	seen := map[string]bool{}
	_, _ = d.Token() // the brace
	for d.More() {
		token, err := d.Token()
		name, ok := token.(string)
		var value json.RawMessage
		if err != nil || !ok || d.Decode(&value) != nil {
			return "" // it is not JSON, which others say
		}
		lower := strings.ToLower(name)
		if seen[lower] {
			return lower
		}
		seen[lower] = true
	}
	return ""
}
