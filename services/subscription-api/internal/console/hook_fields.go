package console

import (
	"cmp"
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// placedFields are the plain fields of a hook for which the form has its own inputs. All others get inputs from their
// descriptions, in the last section.
var placedFields = []string{"name", "notification_type", "additional_headers", "callback", "retry_countdown_config"}

// otherFields returns the fields that only have a description.
func otherFields() []webhook.Field {
	return slices.DeleteFunc(slices.Clone(webhook.Fields()), func(f webhook.Field) bool { return !f.Plain() || slices.Contains(placedFields, f.Name) })
}

// OtherFields returns their inputs.
func (f hookForm) OtherFields() []keyInput {
	var list []keyInput
	for _, field := range otherFields() {
		field.Help = inWords(field.Help)
		in := keyInput{Field: field, Value: f.Fields[field.Name], Example: typedField(&field, json.RawMessage(field.Example))}
		if field.Kind == webhook.KindTextMap {
			in.How = "Write name=value, separated by commas."
		}
		list = append(list, in)
	}
	return list
}

// typedField formats the value of a field for its input.
func typedField(f *webhook.Field, raw json.RawMessage) string {
	if f.Kind != webhook.KindTextMap {
		return typedKey(f, raw)
	}
	var named map[string]string
	if json.Unmarshal(raw, &named) != nil || len(named) == 0 {
		return ""
	}
	pairs := make([]string, 0, len(named))
	for _, name := range slices.Sorted(maps.Keys(named)) {
		if strings.ContainsAny(name, "=,\\\n") || strings.ContainsRune(named[name], '\n') || strings.TrimSpace(named[name]) != named[name] {
			return pretty(raw) // pairs could not express it
		}
		pairs = append(pairs, pairOf(name, named[name]))
	}
	return strings.Join(pairs, ", ")
}

// pairOf formats name=value, with a backslash before characters that separate pairs.
func pairOf(name, value string) string {
	return name + "=" + strings.NewReplacer(`\`, `\\`, `,`, `\,`).Replace(value)
}

// fieldOf parses the typed value of a field; nil for none. Errors are added to wrong.
func fieldOf(f *webhook.Field, typed string, wrong *webhook.ValidationError) json.RawMessage {
	if f.Kind != webhook.KindTextMap {
		return keyOf(f, typed, wrong)
	}
	if named := commaPairs().read(typed, "/"+f.Name, wrong); len(named) > 0 {
		return encode(named)
	}
	return nil
}

// commaPairs are name=value pairs, separated by commas or line ends.
func commaPairs() notation {
	return notation{
		split: splitPairs, separator: "=", lacks: "has no value",
		write: "write name=value, separated by commas", writeObject: "write name=value, separated by commas",
	}
}

// splitPairs splits the text at commas and line ends; a backslash escapes the next character.
func splitPairs(typed string) []string {
	var pairs []string
	var pair strings.Builder
	escaped := false
	end := func() {
		if text := strings.TrimSpace(pair.String()); text != "" {
			pairs = append(pairs, text)
		}
		pair.Reset()
	}
	for _, r := range typed {
		switch {
		case !escaped && r == '\\':
			escaped = true
			continue
		case !escaped && (r == ',' || r == '\n'):
			end()
			continue
		}
		pair.WriteRune(r)
		escaped = false
	}
	end()
	return pairs
}

// fieldRow is a field on a hook's page.
type fieldRow struct {
	Label string
	// Text is the value; empty if Pairs has it.
	Text  string
	Pairs []fieldPair
}

// fieldPair is a member of an object. Link leads to the list of hooks with the same value; may be empty.
type fieldPair struct{ Text, Link string }

// fieldRows returns the fields that only have a description and that the hook has set.
func fieldRows(h *webhook.Hook) []fieldRow {
	var rows []fieldRow
	for _, f := range otherFields() {
		row := fieldRow{Label: keyInput{Field: f}.Label()}
		var named map[string]string
		switch raw := f.Text(h); {
		case f.Kind != webhook.KindTextMap:
			row.Text = typedField(&f, raw)
		case json.Unmarshal(raw, &named) != nil:
			row.Text = string(raw)
		}
		for _, name := range slices.Sorted(maps.Keys(named)) {
			pair := fieldPair{Text: name + "=" + named[name]}
			if f.Name == "labels" {
				label := webhook.LabelSelector{name: named[name]}
				pair.Link = Root + "hooks/?" + url.Values{"label": {label.String()}}.Encode()
			}
			row.Pairs = append(row.Pairs, pair)
		}
		if cmp.Or(row.Text, "null") != "null" || len(row.Pairs) > 0 {
			rows = append(rows, row)
		}
	}
	return rows
}
