package webhook

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxContentFields is the maximum number of pointers in content_fields.
const maxContentFields = 100

// ContentFields selects the parts of an event's data that a hook gets: config.content_fields, a list of JSON pointers
// (RFC 6901). nil keeps everything.
type ContentFields struct {
	key  string
	root wanted
}

// wanted says what to keep of a value: all of it, or parts of some of its members.
type wanted struct {
	all     bool
	members map[string]*wanted
}

// Key returns a string that is the same for content fields with the same pointers; it is empty for nil.
func (f *ContentFields) Key() string {
	if f == nil {
		return ""
	}
	return f.key
}

// Keep returns the selected parts of the data, with the exact bytes of names, numbers and order. Array elements that
// are not selected are removed. A value without members, of which members are selected, becomes null. Data that is
// not JSON is returned unchanged.
func (f *ContentFields) Keep(data json.RawMessage) json.RawMessage {
	if f == nil || f.root.all || !json.Valid(data) {
		return data
	}
	out, kept := f.root.keep(make([]byte, 0, len(data)), data)
	if !kept {
		return json.RawMessage("null")
	}
	return out
}

// keep appends the selected parts of a value. kept is false for a value that has no members.
func (w *wanted) keep(out, value []byte) (_ []byte, kept bool) {
	value = bytes.TrimSpace(value)
	switch {
	case w.all:
		return append(out, value...), true
	case value[0] == '{':
		return w.keepMembers(out, value), true
	case value[0] == '[':
		return w.keepElements(out, value), true
	default:
		return out, false
	}
}

func (w *wanted) keepMembers(out, object []byte) []byte {
	out = append(out, '{')
	empty := len(out)
	d := json.NewDecoder(bytes.NewReader(object))
	_, _ = d.Token() // the brace; the text is known to be valid
	for d.More() {
		before := d.InputOffset()
		token, _ := d.Token()
		name, _ := token.(string)
		nameText := object[before:d.InputOffset()]
		var value json.RawMessage
		if d.Decode(&value) != nil {
			break
		}
		sub := w.members[name]
		if sub == nil {
			continue
		}
		start := len(out)
		if start > empty {
			out = append(out, ',')
		}
		out = append(out, nameText[bytes.IndexByte(nameText, '"'):]...)
		var kept bool
		if out, kept = sub.keep(append(out, ':'), value); !kept {
			out = out[:start]
		}
	}
	return append(out, '}')
}

func (w *wanted) keepElements(out, array []byte) []byte {
	out = append(out, '[')
	empty := len(out)
	d := json.NewDecoder(bytes.NewReader(array))
	_, _ = d.Token() // the bracket
	byIndex := map[int]*wanted{}
	for name, sub := range w.members {
		if i, ok := index(name); ok {
			byIndex[i] = sub
		}
	}
	for i := 0; d.More(); i++ {
		var value json.RawMessage
		if d.Decode(&value) != nil {
			break
		}
		sub := byIndex[i]
		if sub == nil {
			continue
		}
		start := len(out)
		if start > empty {
			out = append(out, ',')
		}
		var kept bool
		if out, kept = sub.keep(out, value); !kept {
			out = out[:start]
		}
	}
	return append(out, ']')
}

func parseContentFields(raw json.RawMessage, p *ValidationError) *ContentFields {
	var pointers []*string
	if err := json.Unmarshal(raw, &pointers); err != nil || len(pointers) == 0 || len(pointers) > maxContentFields {
		p.Add("/content_fields", "must be a list of 1 to %d JSON pointers into the data; null keeps everything", maxContentFields)
		return nil
	}
	f := &ContentFields{}
	texts := make([]string, 0, len(pointers))
	for i, pointer := range pointers {
		field := "/content_fields/" + strconv.Itoa(i)
		if pointer == nil || len(*pointer) > maxPointer || !utf8.ValidString(*pointer) {
			p.Add(field, "must be a JSON pointer of at most %d bytes", maxPointer)
			continue
		}
		path, err := parsePointer(*pointer)
		if err != nil {
			p.Add(field, "%s", err)
			continue
		}
		if len(path) > 0 && path[len(path)-1] == "-" {
			p.Add(field, "ends with -, which means an element of an array that there is not")
			continue
		}
		f.root.want(path)
		texts = append(texts, *pointer)
	}
	f.key = strings.Join(texts, "\x00")
	return f
}

// want adds a path to the selection.
func (w *wanted) want(path []string) {
	for _, name := range path {
		if w.all {
			return
		}
		if w.members == nil {
			w.members = map[string]*wanted{}
		}
		if w.members[name] == nil {
			w.members[name] = &wanted{}
		}
		w = w.members[name]
	}
	w.all, w.members = true, nil
}
