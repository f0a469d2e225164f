package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// isNull reports whether raw has no value: absent, empty or null.
func isNull(raw json.RawMessage) bool {
	t := bytes.TrimSpace(raw)
	return len(t) == 0 || bytes.Equal(t, []byte("null"))
}

// isEmptyObject reports whether raw is {}.
func isEmptyObject(raw json.RawMessage) bool {
	t := bytes.TrimSpace(raw)
	return len(t) >= 2 && t[0] == '{' && t[len(t)-1] == '}' && len(bytes.TrimSpace(t[1:len(t)-1])) == 0
}

// decodeStrict decodes one JSON object. It refuses unknown fields by name, with a *ValidationError.
func decodeStrict(raw json.RawMessage, into any) error {
	if !json.Valid(raw) { // a decoder would ignore, for example, a second value
		return invalid("", "is not a JSON object")
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	var wrongType *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrongType):
		pointer := ""
		if wrongType.Field != "" {
			pointer = "/" + strings.ReplaceAll(wrongType.Field, ".", "/")
		}
		return invalid(pointer, "must not be of type "+wrongType.Value)
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		return invalid("/"+escapePointer(strings.Trim(name, `"`)), "is not a known field")
	}
	return invalid("", "is not a JSON object")
}

// decodeAny decodes one JSON value and keeps the notation of numbers.
func decodeAny(raw json.RawMessage) (any, error) {
	if !json.Valid(raw) {
		return nil, ErrInvalid
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("decode JSON: %w", err)
	}
	return v, nil
}

// SameJSON reports whether two texts are the same JSON, whatever the order of keys, white space, and notation of
// numbers. An empty text equals null.
func SameJSON(a, b json.RawMessage) bool {
	if isNull(a) || isNull(b) {
		return isNull(a) && isNull(b)
	}
	x, errA := decodeAny(a)
	y, errB := decodeAny(b)
	if errA != nil || errB != nil {
		return bytes.Equal(a, b)
	}
	return same(x, y)
}

func same(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for key, value := range x {
			if other, there := y[key]; !there || !same(value, other) {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		return ok && slices.EqualFunc(x, y, same)
	case json.Number:
		y, ok := b.(json.Number)
		return ok && sameNumber(x, y)
	default: // comparable types
		return a == b
	}
}

func invalid(pointer, detail string) error {
	return &ValidationError{Fields: []FieldError{{Pointer: pointer, Detail: detail}}}
}

// escapePointer escapes a name for use in a JSON pointer, as RFC 6901 section 3 says.
func escapePointer(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
