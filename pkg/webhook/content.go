package webhook

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxContentFields is how many pointers a hook's content_fields may have.
const maxContentFields = 100

// ContentFields is what a hook wants of an event's data: config.content_fields, JSON pointers (RFC 6901) to what is kept.
// nil keeps everything.
type ContentFields struct {
	key  string
	root wanted
}

// wanted is what is kept of a value: all of it, or what is wanted of some of its members.
type wanted struct {
	all     bool
	members map[string]*wanted
}

// Key is the same for content fields that keep the same in the same words; empty for everything.
func (f *ContentFields) Key() string {
	if f == nil {
		return ""
	}
	return f.key
}

// Keep returns the data without what is not wanted. What is kept is the exact text that was published: names, numbers,
// their order. Elements of an array that are not wanted are left out, and of a value that has no members, nothing is
// wanted: it becomes null. Data that is not JSON comes back as it is.
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

// keep appends what is wanted of a value; kept is false for a value that has no members.
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

// want adds a path to what is wanted.
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
