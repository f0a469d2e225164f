package envelope

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

func checkJSON(body []byte) error {
	switch {
	case len(body) == 0:
		return reject(Unreadable, "", "the body is empty")
	case !utf8.Valid(body):
		return reject(Unreadable, "", "the body is not UTF-8")
	case depth(body) > MaxDepth:
		return reject(Unreadable, "", "the body nests more than %d levels", MaxDepth)
	case !json.Valid(body):
		return reject(Unreadable, "", "the body is not JSON")
	}
	return nil
}

// depth is how deeply brackets nest outside of strings; the text need not be JSON.
func depth(body []byte) int {
	level, deepest, inString := 0, 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			level++
			deepest = max(deepest, level)
		case c == '}' || c == ']':
			level--
		}
	}
	return deepest
}

func unmarshalProblem(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		return reject(BadField, wrong.Field, "must not be a %s", wrong.Value)
	}
	return reject(Unreadable, "", "the body is not an object")
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
