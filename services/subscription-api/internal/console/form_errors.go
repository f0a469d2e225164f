package console

import (
	"errors"
	"slices"
	"strings"
	"unicode"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// formErrors are what is wrong with a form, by the id of the field where that is shown.
type formErrors map[string][]string

// any reports whether there is any.
func (e formErrors) any() bool { return len(e) > 0 }

func (e formErrors) add(id, detail string) {
	if text := sentence(detail); !slices.Contains(e[id], text) {
		e[id] = append(e[id], text)
	}
}

// collect adds what a *webhook.ValidationError says, each field where ids has its pointer.
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

// fieldID finds the id for a pointer: that of its longest beginning which has one. rest is what is left.
func fieldID(ids map[string]string, pointer string) (id, rest string) {
	for at := len(pointer); at > 0; at = strings.LastIndexByte(pointer[:at], '/') {
		if id, ok := ids[pointer[:at]]; ok {
			return id, pointer[at:]
		}
	}
	return "form", pointer
}

// sentence makes one of a rule's text.
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
