package schema

import (
	"fmt"
	"regexp"
	"regexp/syntax"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

const (
	// maxWidth bounds how many parts of a schema may check one value, weighted by their cost.
	maxWidth = 256
	// maxPattern bounds the program of a regular expression, in instructions.
	maxPattern = 1000
	// items of an enum and instructions of a pattern that cost as much as checking a value once
	enumItems, patternSteps = 16, 16
	// formatRegex is the format of regular expressions. Checking one means compiling it, which is expensive.
	formatRegex, regexWeight = "regex", 128
)

// pattern is a regular expression with a known cost.
type pattern struct {
	*regexp.Regexp
	weight int
}

func compilePattern(text string) (jsonschema.Regexp, error) {
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("read pattern: %w", err)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, fmt.Errorf("compile pattern: %w", err)
	}
	if len(program.Inst) > maxPattern {
		return nil, fmt.Errorf("it is too complicated")
	}
	compiled, err := regexp.Compile(text)
	if err != nil {
		return nil, fmt.Errorf("compile pattern: %w", err)
	}
	return pattern{Regexp: compiled, weight: len(program.Inst) / patternSteps}, nil
}

func patternWeight(r jsonschema.Regexp) int {
	p, _ := r.(pattern)
	return p.weight
}

// width is the maximum number of parts that check a value: the one that a schema applies to (here), and any inside it
// (below).
type width struct{ here, below int }

func (w width) most() int { return max(w.here, w.below) }

// meter measures schemas, each of them once.
type meter struct {
	known map[*jsonschema.Schema]width
	open  map[*jsonschema.Schema]bool
	err   error
}

func measure(s *jsonschema.Schema) (int, error) {
	m := &meter{known: map[*jsonschema.Schema]width{}, open: map[*jsonschema.Schema]bool{}}
	w := m.of(s).most()
	if m.err == nil && w > maxWidth {
		m.err = problem("", "is too complicated: too many of its parts judge the same value")
	}
	return w, m.err
}

func (m *meter) of(s *jsonschema.Schema) width {
	if s == nil || m.err != nil {
		return width{}
	}
	if w, ok := m.known[s]; ok {
		return w
	}
	if m.open[s] || s.DynamicRef != nil || s.RecursiveRef != nil {
		m.err = problem(fragment(s.Location), "refers to itself, and recursive schemas are not supported")
		return width{}
	}
	m.open[s] = true
	w := width{here: 1 + ownWeight(s), below: m.children(s)}
	for _, part := range inPlace(s) {
		p := m.of(part)
		w.here, w.below = w.here+p.here, w.below+p.below
	}
	w.here, w.below = min(w.here, maxWidth+1), min(w.below, maxWidth+1) // it doubles with each level of a malicious schema
	delete(m.open, s)
	m.known[s] = w
	return w
}

// inPlace returns the subschemas that apply to the same value.
func inPlace(s *jsonschema.Schema) []*jsonschema.Schema {
	parts := []*jsonschema.Schema{s.Ref, s.Not, s.If, s.Then, s.Else}
	parts = append(append(append(parts, s.AllOf...), s.AnyOf...), s.OneOf...)
	for _, part := range s.DependentSchemas {
		parts = append(parts, part)
	}
	for _, part := range s.Dependencies {
		if p, ok := part.(*jsonschema.Schema); ok {
			parts = append(parts, p)
		}
	}
	return parts
}

// children returns how many of the subschemas for members and items may meet at one of these.
func (m *meter) children(s *jsonschema.Schema) int {
	named := 0
	for _, part := range s.Properties {
		named = max(named, m.of(part).most())
	}
	for _, part := range s.PrefixItems {
		named = max(named, m.of(part).most())
	}
	sum := named
	for name, part := range s.PatternProperties {
		sum += patternWeight(name) + m.of(part).most()
	}
	others := []any{
		s.AdditionalProperties, s.PropertyNames, s.UnevaluatedProperties, s.Contains, s.AdditionalItems, s.Items2020, s.UnevaluatedItems,
		s.Items,
	}
	for _, part := range others {
		switch part := part.(type) {
		case *jsonschema.Schema:
			sum += m.of(part).most()
		case []*jsonschema.Schema:
			for _, p := range part {
				sum += m.of(p).most()
			}
		}
	}
	return sum
}

func ownWeight(s *jsonschema.Schema) int {
	weight := 0
	if s.Enum != nil {
		weight += len(s.Enum.Values) / enumItems
	}
	if s.Pattern != nil {
		weight += patternWeight(s.Pattern)
	}
	if s.Format != nil && s.Format.Name == formatRegex {
		weight += regexWeight
	}
	return weight
}
