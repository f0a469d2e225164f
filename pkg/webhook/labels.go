package webhook

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

const (
	// maxLabels is the maximum number of labels of a hook or a selector.
	maxLabels = 20
	// maxLabelValue bounds the value of a label, in bytes.
	maxLabelValue = 63
)

var labelName = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)

func (h *Hook) checkLabels(p *ValidationError) {
	if len(h.Labels) > maxLabels {
		p.Add("/labels", "has more than %d labels", maxLabels)
	}
	for _, name := range sortedKeys(h.Labels) {
		switch value := h.Labels[name]; {
		case !labelName.MatchString(name):
			p.Add("/labels/"+escapePointer(Clip(name)), "must have a name of 1 to 63 of a-z, 0-9, _ and -, which begins with a letter")
		case value == "" || len(value) > maxLabelValue || !printable(value):
			p.Add("/labels/"+name, "must be 1 to %d bytes of printable text", maxLabelValue)
		}
	}
}

// IsLabelName reports whether the name is valid for a label.
func IsLabelName(name string) bool { return labelName.MatchString(name) }

// LabelSelector selects hooks that have all of these labels with these values; an empty value matches any. An empty
// selector selects all hooks.
type LabelSelector map[string]string

// errLabelSelector describes the syntax of a selector.
var errLabelSelector = errors.New(`must be labels as name=value, or name alone for any value, separated by commas (\, is a comma in a value)`)

// ParseLabelSelector parses name=value and plain name, separated by commas. Within a value, \, is a comma and \\ a
// backslash.
func ParseLabelSelector(text string) (LabelSelector, error) {
	s := LabelSelector{}
	if text == "" {
		return s, nil
	}
	var part strings.Builder
	escaped := false
	for _, r := range text + "," {
		switch {
		case !escaped && r == '\\':
			escaped = true
			continue
		case !escaped && r == ',':
			if err := s.add(part.String()); err != nil {
				return nil, err
			}
			part.Reset()
			continue
		}
		part.WriteRune(r)
		escaped = false
	}
	if part.Len() > 0 { // the comma at the end is escaped
		return nil, errLabelSelector
	}
	return s, s.Check()
}

func (s LabelSelector) add(part string) error {
	name, value, valued := strings.Cut(strings.TrimSpace(part), "=")
	if _, twice := s[name]; twice {
		return fmt.Errorf("names %q twice", Clip(name))
	}
	if valued && value == "" {
		return errLabelSelector
	}
	s[name] = value
	return nil
}

// Check reports what is wrong with the selector.
func (s LabelSelector) Check() error {
	if len(s) > maxLabels {
		return fmt.Errorf("names more than %d labels", maxLabels)
	}
	for _, name := range sortedKeys(s) {
		if value := s[name]; !labelName.MatchString(name) || len(value) > maxLabelValue || !printable(value) {
			return errLabelSelector
		}
	}
	return nil
}

// String formats the selector for ParseLabelSelector.
func (s LabelSelector) String() string {
	parts := make([]string, 0, len(s))
	for _, name := range sortedKeys(s) {
		part := name
		if value := s[name]; value != "" {
			part += "=" + strings.NewReplacer(`\`, `\\`, `,`, `\,`).Replace(value)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}
