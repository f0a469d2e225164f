package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxNodes bounds a file with its aliases expanded, because a small file can expand enormously.
const maxNodes = 1_000_000

// value is a part of the file as encoding/json decodes it, with json.Number for numbers.
type value struct {
	// real has the environment's values; shown has ${VAR} in their place.
	real, shown any
	// hidden says that real and shown differ.
	hidden bool
	line   int
}

// reader converts YAML into values.
type reader struct {
	env   func(string) (string, bool)
	nodes int
	// missing are the variables that are not set.
	missing []string
}

func (r *reader) read(n *yaml.Node) (value, error) {
	if r.nodes++; r.nodes > maxNodes {
		return value{}, errors.New("is too large")
	}
	v := value{line: n.Line}
	var err error
	switch n.Kind {
	case yaml.AliasNode:
		return r.read(n.Alias)
	case yaml.MappingNode:
		return r.mapping(n)
	case yaml.SequenceNode:
		return r.sequence(n)
	case yaml.ScalarNode:
		v.real, err = r.scalar(n)
		v.shown = v.real
		if text, ok := v.real.(string); ok {
			v.real, v.shown, v.hidden = r.expand(text)
		}
	default:
		err = fmt.Errorf("line %d: cannot be read", n.Line)
	}
	return v, err
}

func (r *reader) mapping(n *yaml.Node) (value, error) {
	original, shown := map[string]any{}, map[string]any{}
	out := value{real: original, shown: shown, line: n.Line}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
			return out, fmt.Errorf("line %d: keys must be words (<< is not supported)", key.Line)
		}
		if _, twice := original[key.Value]; twice {
			return out, fmt.Errorf("line %d: %s is there twice", key.Line, key.Value)
		}
		v, err := r.read(n.Content[i+1])
		if err != nil {
			return out, err
		}
		original[key.Value], shown[key.Value] = v.real, v.shown
		out.hidden = out.hidden || v.hidden
	}
	return out, nil
}

func (r *reader) sequence(n *yaml.Node) (value, error) {
	original, shown := make([]any, len(n.Content)), make([]any, len(n.Content))
	out := value{real: original, shown: shown, line: n.Line}
	for i, item := range n.Content {
		v, err := r.read(item)
		if err != nil {
			return out, err
		}
		original[i], shown[i] = v.real, v.shown
		out.hidden = out.hidden || v.hidden
	}
	return out, nil
}

// scalar keeps the notation of numbers that are valid in JSON.
func (r *reader) scalar(n *yaml.Node) (any, error) {
	switch n.ShortTag() {
	case "!!null":
		return nil, nil //nolint:nilnil // JSON's null
	case "!!bool":
		var b bool
		err := n.Decode(&b)
		return b, err
	case "!!int", "!!float":
		if json.Valid([]byte(n.Value)) {
			return json.Number(n.Value), nil
		}
		return nil, fmt.Errorf("line %d: %s is no number that JSON has: write it in quotes if it is text", n.Line, n.Value)
	default:
		return n.Value, nil
	}
}

// expand replaces ${NAME} by the environment's value, and $${ by ${.
func (r *reader) expand(text string) (expanded, shown string, hidden bool) {
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "${")
		if !ok {
			b.WriteString(text)
			return b.String(), shown + text, hidden
		}
		if plain, escaped := strings.CutSuffix(before, "$"); escaped {
			b.WriteString(plain + "${")
			shown += plain + "${"
			text = rest
			continue
		}
		name, after, closed := strings.Cut(rest, "}")
		if !closed {
			b.WriteString(text)
			return b.String(), shown + text, hidden
		}
		found, there := r.env(name)
		if !there {
			r.missing = append(r.missing, name)
		}
		b.WriteString(before + found)
		shown += before + "${" + name + "}"
		hidden = true
		text = after
	}
}

// escape escapes a string so that expand returns the original.
func escape(s string) string { return strings.ReplaceAll(s, "${", "$${") }
