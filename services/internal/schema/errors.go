package schema

import (
	"fmt"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// MaxProblems is how many problems a check reports.
const MaxProblems = 10

// fieldErrors returns the problems at the leaves of the library's report, with their locations. If all alternatives
// fail, it reports only that.
func fieldErrors(e *jsonschema.ValidationError) []webhook.FieldError {
	var list []webhook.FieldError
	collect(e, &list)
	slices.SortFunc(list, func(a, b webhook.FieldError) int {
		return strings.Compare(a.Pointer+"\x00"+a.Detail, b.Pointer+"\x00"+b.Detail)
	})
	list = slices.Compact(list)
	return list[:min(len(list), MaxProblems)]
}

func collect(e *jsonschema.ValidationError, list *[]webhook.FieldError) {
	switch e.ErrorKind.(type) {
	case *kind.AnyOf, *kind.OneOf, *kind.Not, *kind.PropertyNames:
	default:
		if len(e.Causes) > 0 {
			for _, cause := range e.Causes {
				collect(cause, list)
			}
			return
		}
	}
	*list = append(*list, webhook.FieldError{Pointer: pointer(e.InstanceLocation), Detail: describe(e.ErrorKind)})
}

// describe says what is wrong. The library's own texts repeat values, which may be secret.
func describe(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return fmt.Sprintf("is of type %s and must be %s", k.Got, strings.Join(k.Want, " or "))
	case *kind.Required:
		return "lacks " + quoteNames(k.Missing)
	case *kind.Dependency:
		return fmt.Sprintf("lacks %s, which %s needs", quoteNames(k.Missing), quoteNames([]string{k.Prop}))
	case *kind.DependentRequired:
		return fmt.Sprintf("lacks %s, which %s needs", quoteNames(k.Missing), quoteNames([]string{k.Prop}))
	case *kind.AdditionalProperties:
		return "must not have " + quoteNames(k.Properties)
	case *kind.PropertyNames:
		return "must not have a member that is named " + quoteNames([]string{k.Property})
	case *kind.Format:
		if k.Want == formatRegex {
			return "is no regular expression, or one that is too complicated"
		}
		return "is not of the format " + clip(k.Want)
	case *kind.Pattern:
		return "does not match the pattern " + clip(k.Want)
	case *kind.Enum, *kind.Const:
		return "is not one of the values that the schema allows"
	case *kind.AnyOf, *kind.OneOf:
		return "fits none of the schema's alternatives, or more than one of them"
	case *kind.UniqueItems:
		return fmt.Sprintf("has items %d and %d, which are equal", k.Duplicates[0], k.Duplicates[1])
	case *kind.FalseSchema:
		return "must not be there"
	default:
		return "breaks the rule " + strings.Join(k.KeywordPath(), "/")
	}
}

// quoteNames lists a few member names.
func quoteNames(list []string) string {
	const most = 5
	list = slices.Clone(list)
	slices.Sort(list)
	quoted := make([]string, 0, most)
	for _, name := range list[:min(len(list), most)] {
		quoted = append(quoted, fmt.Sprintf("%q", clip(name)))
	}
	if len(list) > most {
		quoted = append(quoted, fmt.Sprintf("%d others", len(list)-most))
	}
	return strings.Join(quoted, ", ")
}

// pointer formats a path as a JSON pointer (RFC 6901).
func pointer(path []string) string {
	var b strings.Builder
	for _, token := range path {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(clip(token)))
	}
	return b.String()
}

// clip shortens foreign text for a message.
func clip(s string) string {
	const most = 100
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
