package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Variants are the forms of an object whose member By says which form it has.
type Variants struct {
	By string
	// In is the member that holds the variant's own members; empty for the object itself.
	In   string
	List []Variant
}

// Variant is one form of an object.
type Variant struct {
	Name, Help string
	Members    []Field
	// Example is a complete object of this form.
	Example string
}

// Named returns the variant of that name, or nil if there is none.
func (v *Variants) Named(name string) *Variant {
	i := slices.IndexFunc(v.List, func(one Variant) bool { return one.Name == name })
	if i < 0 {
		return nil
	}
	return &v.List[i]
}

// names returns the names of the variants.
func (v *Variants) names() []string {
	names := make([]string, len(v.List))
	for i := range v.List {
		names[i] = v.List[i].Name
	}
	return names
}

// numeric reports whether the kind is a single number.
func (k Kind) numeric() bool { return k == KindNumber || k == KindReal || k == KindSeconds }

// flag parses true or false, possibly in quotes and in any case.
func flag(raw json.RawMessage) (value, ok bool) {
	switch strings.ToLower(strings.Trim(string(bytes.TrimSpace(raw)), `"`)) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

// assumed returns the value that is assumed if the field is absent, or nil if there is none.
func (f *Field) assumed() json.RawMessage {
	switch {
	case f.Default != "":
		return json.RawMessage(f.Default)
	case f.Kind == KindText && len(f.Choices) > 0:
		return plainJSON(f.Choices[0])
	}
	return nil
}

// Refuses says why a value that is not null is invalid for a number or flag: it is of another type or out of bounds.
// It returns "" for valid values, and for fields of other kinds.
func (f *Field) Refuses(raw json.RawMessage) string {
	if _, ok := flag(raw); f.Kind == KindFlag && !ok {
		return "must be " + KindFlag.Expects()
	}
	if !f.Kind.numeric() || f.High == 0 {
		return ""
	}
	n, ok := number(raw)
	if f.Kind != KindReal {
		var whole int
		whole, ok = wholeNumber(raw)
		n = float64(whole)
	}
	if ok && n >= f.Low && n <= f.High {
		return ""
	}
	switch f.Kind {
	case KindSeconds:
		return fmt.Sprintf("must be whole seconds from %.0f to %.0f", f.Low, f.High)
	case KindNumber:
		return fmt.Sprintf("must be a whole number from %.0f to %.0f", f.Low, f.High)
	default:
		return fmt.Sprintf("must be a number from %g to %g", f.Low, f.High)
	}
}

// readMembers returns the members of an object that are described, without those that are null. It adds errors for
// unknown members, numbers out of bounds and missing required members.
func readMembers(pointer string, described []Field, raw json.RawMessage, p *ValidationError) map[string]json.RawMessage {
	var given map[string]json.RawMessage
	if err := decodeStrict(raw, &given); err != nil {
		p.Collect(pointer, err)
		return nil
	}
	members := map[string]json.RawMessage{}
	for _, name := range sortedKeys(given) {
		i := slices.IndexFunc(described, func(f Field) bool { return strings.EqualFold(f.Name, name) }) // any case, like encoding/json
		switch {
		case i < 0:
			p.Add(pointer+"/"+escapePointer(name), "is not a known field")
		case !isNull(given[name]):
			members[described[i].Name] = given[name]
		}
	}
	for i := range described {
		f := &described[i]
		value, there := members[f.Name]
		if !there && !f.Needed {
			continue
		}
		if problem := f.Refuses(value); problem != "" {
			p.Add(pointer+"/"+f.Name, "%s", problem)
		}
	}
	return members
}

// numberIn returns a number that Refuses has accepted, or 0 if it is missing.
func numberIn(members map[string]json.RawMessage, name string) int {
	n, _ := wholeNumber(members[name])
	return n
}
