package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Canonical returns a value of the field as the API shows it: numbers and flags without quotes, words in their
// documented spelling, and no documented members that are null. Fields marked AsWritten are returned unchanged. A
// value that is canonical already keeps its bytes.
func (f *Field) Canonical(raw json.RawMessage) json.RawMessage {
	switch {
	case isNull(raw) || f.AsWritten:
		return raw
	case f.Kind == KindNumber || f.Kind == KindSeconds:
		if n, ok := wholeNumber(raw); ok {
			return keep(raw, strconv.Itoa(n))
		}
	case f.Kind == KindReal:
		if _, ok := number(raw); ok {
			return keep(raw, digits(raw))
		}
	case f.Kind == KindFlag:
		if on, ok := flag(raw); ok {
			return keep(raw, strconv.FormatBool(on))
		}
	case f.Kind == KindText && len(f.Choices) > 0:
		return f.word(raw)
	case f.Kind == KindStatuses:
		return f.elements(raw, statusText)
	case f.Kind == KindNumbers:
		number := Field{Kind: KindNumber}
		return f.elements(raw, number.Canonical)
	case f.Kind == KindTexts && len(f.Choices) > 0:
		return f.elements(raw, f.word)
	case f.Kind == KindList:
		return f.elements(raw, func(item json.RawMessage) json.RawMessage { return canonicalMembers(item, f.Members) })
	case f.Kind == KindObject:
		return f.object(raw)
	}
	return raw
}

// keep returns raw if it already equals text, apart from white space, and otherwise text.
func keep(raw json.RawMessage, text string) json.RawMessage {
	if string(bytes.TrimSpace(raw)) == text {
		return raw
	}
	return json.RawMessage(text)
}

func (f *Field) word(raw json.RawMessage) json.RawMessage {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return raw
	}
	i := slices.IndexFunc(f.Choices, func(choice string) bool { return strings.EqualFold(choice, text) })
	if i < 0 || f.Choices[i] == text {
		return raw
	}
	return plainJSON(f.Choices[i])
}

// statusText returns a status as a number, or a range of statuses as text.
func statusText(raw json.RawMessage) json.RawMessage {
	r, ok := parseStatusRange(raw)
	switch {
	case !ok:
		return raw
	case r.From == r.To:
		return keep(raw, strconv.Itoa(r.From))
	default:
		return keep(raw, fmt.Sprintf(`"%d-%d"`, r.From, r.To))
	}
}

func (f *Field) elements(raw json.RawMessage, canonical func(json.RawMessage) json.RawMessage) json.RawMessage {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) != nil {
		return raw
	}
	changed := false
	for i, item := range list {
		list[i] = canonical(item)
		changed = changed || !bytes.Equal(item, list[i])
	}
	if !changed {
		return raw
	}
	return plainJSON(list)
}

// object converts an object's documented members, including those of its variant.
func (f *Field) object(raw json.RawMessage) json.RawMessage {
	members := f.Members
	if by := f.Variants.By; by != "" {
		if string(bytes.TrimSpace(raw)) == `""` {
			return json.RawMessage("null") // the default, which {} means as well
		}
		var given map[string]json.RawMessage
		var name string
		if json.Unmarshal(raw, &given) != nil || json.Unmarshal(given[by], &name) != nil {
			return raw
		}
		variant := f.Variants.Named(strings.ToLower(name))
		if variant == nil {
			return raw
		}
		own := variant.Members
		if f.Variants.In != "" {
			own = []Field{{Name: f.Variants.In, Kind: KindObject, Members: own}}
		}
		members = slices.Concat(members, []Field{{Name: by, Kind: KindText, Choices: f.Variants.names()}}, own)
	}
	return canonicalMembers(raw, members)
}

func canonicalMembers(raw json.RawMessage, members []Field) json.RawMessage {
	var given map[string]json.RawMessage
	if json.Unmarshal(raw, &given) != nil {
		return raw
	}
	changed := false
	for i := range members {
		m := &members[i]
		value, there := given[m.Name]
		if !there {
			continue
		}
		if isNull(value) && !m.AsWritten {
			delete(given, m.Name)
			changed = true
			continue
		}
		given[m.Name] = m.Canonical(value)
		changed = changed || !bytes.Equal(value, given[m.Name])
	}
	if !changed {
		return raw
	}
	return plainJSON(given)
}
