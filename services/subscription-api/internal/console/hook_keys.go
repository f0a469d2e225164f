package console

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// placedKeys are the keys of a config for which the form has its own inputs. All others get inputs from their
// descriptions, in the last section.
var placedKeys = []string{
	"format", "method", "filter", "transform", "content_fields", "timeout", "concurrency", "rate_limit", "ordering", "maintenance",
	"stop_on", "api_key_header", "start_from", "headers_from", "success",
}

// typedKeys returns the keys of a config that people type. Authentication and TLS have forms of their own.
func typedKeys() []webhook.Field {
	return slices.DeleteFunc(slices.Clone(webhook.Keys()), func(k webhook.Field) bool { return k.Hidden })
}

// keyInput is the input of a key or field without a place of its own.
type keyInput struct {
	webhook.Field

	Value string
	// Example is shown in an empty input, and How describes the notation; both may be empty.
	Example, How string
}

// Label is its name in words.
func (k keyInput) Label() string {
	if k.Field.Label != "" {
		return k.Field.Label
	}
	return strings.ToUpper(k.Name[:1]) + strings.ReplaceAll(k.Name[1:], "_", " ")
}

// Long reports whether it may have several lines.
func (k keyInput) Long() bool {
	return !slices.Contains([]webhook.Kind{webhook.KindText, webhook.KindNumber, webhook.KindNumbers, webhook.KindSeconds, webhook.KindFlag}, k.Kind)
}

// OtherKeys returns the inputs of the keys without a place of their own.
func (f hookForm) OtherKeys() []keyInput {
	var list []keyInput
	for _, k := range typedKeys() {
		if !slices.Contains(placedKeys, k.Name) {
			k.Help = inWords(k.Help)
			list = append(list, keyInput{Field: k, Value: f.Keys[k.Name]})
		}
	}
	return list
}

// Key returns a key of the config, or a field that only has a description, as typed.
func (f hookForm) Key(name string) string { return cmp.Or(f.Keys[name], f.Fields[name]) }

// typedKey formats the value of a key for its input.
func typedKey(k *webhook.Field, raw json.RawMessage) string {
	var lines []string
	switch k.Kind {
	case webhook.KindNumbers:
		return listText(raw)
	case webhook.KindTexts:
		if json.Unmarshal(raw, &lines) != nil {
			return ""
		}
		return strings.Join(lines, "\n")
	case webhook.KindTextMap:
		var named map[string]string
		if json.Unmarshal(raw, &named) != nil {
			return text(raw)
		}
		typed := linesOf(named)
		if len(named) > 0 && strings.Count(typed, "\n") >= len(named) { // a value has several lines
			return pretty(raw)
		}
		return typed
	case webhook.KindList, webhook.KindObject:
		if len(raw) == 0 || string(raw) == "null" {
			return ""
		}
		return pretty(raw)
	default:
		return text(raw)
	}
}

// keyOf parses the typed value of a key; nil for none. Errors are added to wrong.
func keyOf(k *webhook.Field, typed string, wrong *webhook.ValidationError) json.RawMessage {
	if typed == "" {
		return nil
	}
	switch k.Kind {
	case webhook.KindText:
		return quoted(typed)
	case webhook.KindNumber:
		return number(typed)
	case webhook.KindSeconds:
		return seconds(typed)
	case webhook.KindNumbers:
		return list(typed, number)
	case webhook.KindTexts:
		return encode(strings.Split(typed, "\n"))
	case webhook.KindTextMap:
		if named := namedLines(typed, "/config/"+k.Name, wrong); len(named) > 0 {
			return encode(named)
		}
		return nil
	default:
		return orQuoted(typed)
	}
}
