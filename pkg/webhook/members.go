package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Variants are the forms of an object of which one member, By, says which it is.
type Variants struct {
	By string
	// In is the member that holds what only the variant has; empty for the object itself.
	In   string
	List []Variant
}

// Variant is one form of an object.
type Variant struct {
	Name, Help string
	Members    []Field
	// Example is a whole object of this form.
	Example string
}

// Named is the variant of that name; nil where there is none.
func (v *Variants) Named(name string) *Variant {
	i := slices.IndexFunc(v.List, func(one Variant) bool { return one.Name == name })
	if i < 0 {
		return nil
	}
	return &v.List[i]
}

// names lists the variants.
func (v *Variants) names() []string {
	names := make([]string, len(v.List))
	for i := range v.List {
		names[i] = v.List[i].Name
	}
	return names
}

// numeric reports a kind that is one number.
func (k Kind) numeric() bool { return k == KindNumber || k == KindReal || k == KindSeconds }

// flag reads true or false, which may be in quotes and in any case.
func flag(raw json.RawMessage) (value, ok bool) {
	switch strings.ToLower(strings.Trim(string(bytes.TrimSpace(raw)), `"`)) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

// assumed is what an absent value means; nil for nothing.
func (f *Field) assumed() json.RawMessage {
	switch {
	case f.Default != "":
		return json.RawMessage(f.Default)
	case f.Kind == KindText && len(f.Choices) > 0:
		return plainJSON(f.Choices[0])
	}
	return nil
}

// Refuses says why a value that is not null cannot be this number or flag: it is none, or is out of bounds. It is empty for a value that
// can, and for fields of other kinds.
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

// readMembers returns the members of an object that its description names, null ones left out, and adds what is wrong with them: names
// that it does not have, numbers out of bounds, and what is needed and not there.
func readMembers(pointer string, described []Field, raw json.RawMessage, p *ValidationError) map[string]json.RawMessage {
	var given map[string]json.RawMessage
	if err := decodeStrict(raw, &given); err != nil {
		p.Collect(pointer, err)
		return nil
	}
	members := map[string]json.RawMessage{}
	for _, name := range sortedKeys(given) {
		i := slices.IndexFunc(described, func(f Field) bool { return strings.EqualFold(f.Name, name) }) // as encoding/json does
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

// numberIn is a number that Refuses has let pass; 0 where there is none.
func numberIn(members map[string]json.RawMessage, name string) int {
	n, _ := wholeNumber(members[name])
	return n
}
