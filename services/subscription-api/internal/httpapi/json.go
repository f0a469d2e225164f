package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

// Limits on bodies. They keep the work and the memory of one request small.
const (
	maxBody    = 1 << 20 // bytes
	maxDepth   = 64
	maxMembers = 50_000 // of one object
	maxKey     = 32 << 10
)

// checkJSON reports, as a *Problem, why body is not valid, unambiguous JSON: malformed, nested too deeply, with a key
// twice in one object, or with text that Postgres or other JSON parsers do not accept (invalid UTF-8, NUL, unpaired
// surrogates).
func checkJSON(body []byte) error {
	switch {
	case len(bytes.TrimSpace(body)) == 0:
		return badBody("", "the body is empty")
	case bytes.HasPrefix(body, []byte("\uFEFF")):
		return badBody("", "the body begins with a byte order mark, which JSON does not allow")
	case !utf8.Valid(body):
		return badBody("", "the body is not UTF-8")
	}
	if err := checkDepth(body); err != nil {
		return err
	}
	var text json.RawMessage
	if err := json.Unmarshal(body, &text); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			return badBody("", fmt.Sprintf("the body is not JSON: at byte %d: %s", syntax.Offset, syntax))
		}
		return badBody("", "the body is not JSON")
	}
	w := walker{text: body}
	w.value()
	return w.err
}

// shownJSON returns JSON for a response: null if there is none.
func shownJSON(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return nil
	}
	return raw
}

func shownObject(raw json.RawMessage) api.Object { return api.Object{RawMessage: shownJSON(raw)} }

func badBody(pointer, detail string) *Problem {
	p := newProblem(http.StatusBadRequest, "The body cannot be read.")
	p.Errors = []api.FieldProblem{{Pointer: pointer, Detail: detail}}
	return p
}

// checkDepth runs before anything that recurses or allocates.
func checkDepth(body []byte) error {
	depth, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return badBody("", fmt.Sprintf("the body nests more than %d levels", maxDepth))
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// walker walks through a text that is known to be valid JSON.
type walker struct {
	text []byte
	at   int
	path []string // to the current value; only formatted as a pointer for an error, because it may be long
	err  error
}

func (w *walker) fail(detail string) {
	if w.err != nil {
		return
	}
	var pointer strings.Builder
	for _, name := range w.path {
		pointer.WriteString("/" + escapePointer(name))
	}
	w.err = badBody(pointer.String(), detail)
}

// below walks the member or element of the current value with this name or index.
func (w *walker) below(name string) {
	w.path = append(w.path, name)
	w.value()
	w.path = w.path[:len(w.path)-1]
}

// next skips white space and separators and returns the byte after them without consuming it.
func (w *walker) next() byte {
	for w.at < len(w.text) && strings.IndexByte(" \t\r\n,:", w.text[w.at]) >= 0 {
		w.at++
	}
	if w.at == len(w.text) {
		return 0
	}
	return w.text[w.at]
}

func (w *walker) value() {
	if w.err != nil {
		return
	}
	switch w.next() {
	case '{':
		w.object()
	case '[':
		w.array()
	case '"':
		w.str()
	default:
		for w.at < len(w.text) && strings.IndexByte(" \t\r\n,:]}", w.text[w.at]) < 0 {
			w.at++
		}
	}
}

func (w *walker) object() {
	w.at++
	seen := map[string]bool{}
	for w.err == nil && w.next() != '}' {
		key := w.str()
		switch {
		case len(key) > maxKey:
			w.fail(fmt.Sprintf("has a key that is longer than %d bytes", maxKey))
		case seen[key]:
			w.path = append(w.path, key)
			w.fail("is there twice")
		case len(seen) == maxMembers:
			w.fail(fmt.Sprintf("has more than %d members", maxMembers))
		}
		seen[key] = true
		w.below(key)
	}
	w.at++
}

func (w *walker) array() {
	w.at++
	for i := 0; w.err == nil && w.next() != ']'; i++ {
		w.below(strconv.Itoa(i))
	}
	w.at++
}

// str consumes a string and returns it decoded.
func (w *walker) str() string {
	start := w.at
	escaped := false
	for w.at++; w.text[w.at] != '"'; w.at++ {
		if w.text[w.at] == '\\' {
			escaped = true
			w.at++
		}
	}
	w.at++
	if !escaped {
		return string(w.text[start+1 : w.at-1])
	}
	raw := w.text[start:w.at]
	if detail := escapeProblem(raw); detail != "" {
		w.fail(detail)
	}
	var s string
	if json.Unmarshal(raw, &s) != nil {
		w.fail("is not a string")
	}
	return s
}

// escapeProblem reports what is wrong with the \u escapes of a string.
func escapeProblem(raw []byte) string {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		if i++; raw[i] != 'u' {
			continue
		}
		switch unit := codeUnit(raw[i+1:]); {
		case unit == 0:
			return `has the character \u0000, which cannot be stored`
		case unit >= 0xdc00 && unit <= 0xdfff:
			return "has half of a surrogate pair"
		case unit >= 0xd800 && unit <= 0xdbff:
			rest := raw[i+5:]
			if len(rest) < 6 || rest[0] != '\\' || rest[1] != 'u' {
				return "has half of a surrogate pair"
			}
			if low := codeUnit(rest[2:]); low < 0xdc00 || low > 0xdfff {
				return "has half of a surrogate pair"
			}
			i += 6
		}
		i += 4
	}
	return ""
}

// codeUnit parses the four hexadecimal digits after \u; 1 if they are invalid, which cannot happen in valid JSON.
func codeUnit(digits []byte) uint64 {
	if len(digits) < 4 {
		return 1
	}
	n, err := strconv.ParseUint(string(digits[:4]), 16, 32)
	if err != nil {
		return 1
	}
	return n
}

// escapePointer escapes a name for use in a JSON pointer, as RFC 6901 section 3 says.
func escapePointer(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}
