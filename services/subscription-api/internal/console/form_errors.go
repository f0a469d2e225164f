package console

import (
	"errors"
	"slices"
	"strings"
	"unicode"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// formErrors maps the ids of fields to their errors.
type formErrors map[string][]string

// any reports whether there are errors.
func (e formErrors) any() bool { return len(e) > 0 }

func (e formErrors) add(id, detail string) {
	if text := sentence(detail); !slices.Contains(e[id], text) {
		e[id] = append(e[id], text)
	}
}

// collect adds the errors of a *webhook.ValidationError. ids maps pointers to fields.
func (e formErrors) collect(ids map[string]string, err error) {
	var invalid *webhook.ValidationError
	if !errors.As(err, &invalid) {
		return
	}
	for _, f := range invalid.Fields {
		id, rest := fieldID(ids, f.Pointer)
		if rest = strings.TrimPrefix(rest, "/"); rest != "" {
			e.add(id, rest+": "+f.Detail)
		} else {
			e.add(id, f.Detail)
		}
	}
}

// fieldID returns the id for the longest prefix of a pointer that has one. rest is the remainder of the pointer.
func fieldID(ids map[string]string, pointer string) (id, rest string) {
	for at := len(pointer); at > 0; at = strings.LastIndexByte(pointer[:at], '/') {
		if id, ok := ids[pointer[:at]]; ok {
			return id, pointer[at:]
		}
	}
	return "form", pointer
}

// sentence turns a rule's text into a sentence.
func sentence(detail string) string {
	detail = inWords(detail)
	first, _, _ := strings.Cut(detail, " ")
	switch first {
	case "is", "must", "has", "does", "adds", "names", "nests", "cannot":
		detail = "This " + detail
	default:
		if r := []rune(detail); len(r) > 0 && !strings.HasSuffix(first, ":") {
			r[0] = unicode.ToUpper(r[0])
			detail = string(r)
		}
	}
	return strings.TrimSuffix(detail, ".") + "."
}
