package webhook

import (
	"errors"
	"strconv"
	"strings"
)

// maxPointer bounds a JSON pointer, in bytes.
const maxPointer = 512

// parsePointer splits a JSON pointer (RFC 6901) into the names and indices from the root; "" is the root itself.
func parsePointer(pointer string) ([]string, error) {
	if pointer == "" {
		return nil, nil
	}
	if pointer[0] != '/' {
		return nil, errors.New("must be a JSON pointer, such as /order/id (RFC 6901): it has to begin with a slash")
	}
	names := strings.Split(pointer[1:], "/")
	for i, name := range names {
		for j := range len(name) {
			if name[j] == '~' && (j+1 == len(name) || name[j+1] != '0' && name[j+1] != '1') {
				return nil, errors.New("must be a JSON pointer (RFC 6901): ~ is written as ~0, and / in a name as ~1")
			}
		}
		names[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(name)
	}
	return names, nil
}

// index parses a pointer's name as an array index.
func index(name string) (int, bool) {
	n, err := strconv.Atoi(name)
	return n, err == nil && n >= 0 && strconv.Itoa(n) == name
}

// member returns what a pointer's name refers to in a decoded value.
func member(value any, name string) (any, bool) {
	switch v := value.(type) {
	case map[string]any:
		got, ok := v[name]
		return got, ok
	case []any:
		i, ok := index(name)
		if !ok || i >= len(v) {
			return nil, false
		}
		return v[i], true
	default:
		return nil, false
	}
}
