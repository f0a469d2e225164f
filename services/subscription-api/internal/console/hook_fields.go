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

// placedFields are the plain fields of a hook that the form has a place and words of its own for. The others follow in the folded
// part, by their descriptions.
var placedFields = []string{"name", "notification_type", "additional_headers", "callback", "retry_countdown_config"}

// otherFields are the fields that have only their descriptions.
func otherFields() []webhook.Field {
	return slices.DeleteFunc(slices.Clone(webhook.Fields()), func(f webhook.Field) bool { return !f.Plain() || slices.Contains(placedFields, f.Name) })
}

// OtherFields are their inputs.
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

// typedField is the value of a field as people type it.
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
			return pretty(raw) // which pairs would not say
		}
		pairs = append(pairs, pairOf(name, named[name]))
	}
	return strings.Join(pairs, ", ")
}

// pairOf writes name=value, with a backslash before what separates pairs.
func pairOf(name, value string) string {
	return name + "=" + strings.NewReplacer(`\`, `\\`, `,`, `\,`).Replace(value)
}

// fieldOf is the value of a field that was typed; nil for none. What cannot be read is added to wrong.
func fieldOf(f *webhook.Field, typed string, wrong *webhook.ValidationError) json.RawMessage {
	if f.Kind != webhook.KindTextMap {
		return keyOf(f, typed, wrong)
	}
	if named := commaPairs().read(typed, "/"+f.Name, wrong); len(named) > 0 {
		return encode(named)
	}
	return nil
}

// commaPairs are name=value, separated by commas or lines.
func commaPairs() notation {
	return notation{
		split: splitPairs, separator: "=", lacks: "has no value",
		write: "write name=value, separated by commas", writeObject: "write name=value, separated by commas",
	}
}

// splitPairs cuts the text at commas and lines' ends; a backslash takes the meaning from what comes after it.
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

// fieldRow is a field as a hook's page shows it.
type fieldRow struct {
	Label string
	// Text is the value; empty where it is Pairs.
	Text  string
	Pairs []fieldPair
}

// fieldPair is a member of an object. Link leads to what has it in common; it is empty for none.
type fieldPair struct{ Text, Link string }

// fieldRows are the fields that have only their descriptions, but for those that the hook does not have.
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
