package httpapi_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
)

const referencePage = "../../../../docs/reference.md"

func TestTheDocumentIsReadInTheReference(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := reference{doc: w.document, used: map[string]bool{}}
	want := r.page()
	if os.Getenv("WHISPERER_UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(referencePage, []byte(want), 0o644))
	}
	have, err := os.ReadFile(referencePage)
	require.NoError(t, err)
	require.Equal(t, want, string(have), "WHISPERER_UPDATE_GOLDEN=1 go test ./services/subscription-api/internal/httpapi -run TestTheDocument")
}

// reference writes the OpenAPI document as Markdown.
type reference struct {
	doc *openapi3.T
	out strings.Builder
	// used are the schemas that were referred to.
	used map[string]bool
}

const referenceHead = `# API reference

<!-- Written from the OpenAPI document by TestTheDocumentIsReadInTheReference, which says how. -->

Every operation of the HTTP API, made from the OpenAPI document that each installation serves at ` + "`/whisperer/openapi.json`" + `. The same with
search and a form to try each operation is at ` + "`/whisperer/docs`" + ` of your installation.

- **Authentication**: the header ` + "`Authorization: Token <token>`" + `; ` + "`Bearer`" + ` works, too. [Security](security.md) has the roles of tokens.
- **Tenants**: an operator's token chooses a tenant with the header ` + "`X-Whisperer-Tenant`" + `.
- **Bodies** are JSON in UTF-8. Unknown fields are refused by name.
- **Paths** work with and without the slash at their end.
- **Lists** have pages: ` + "`next`" + ` and ` + "`previous`" + ` are the URLs of the pages beside this one, or null.
- **Limits** are in [limits](limits.md). A token that asks too much gets 429 with ` + "`Retry-After`" + `.

`

func (r *reference) page() string {
	r.out.WriteString(referenceHead)
	for _, tag := range r.doc.Tags {
		fmt.Fprintf(&r.out, "- [%s](#%s): %s\n", tag.Name, slug(tag.Name), tag.Description)
	}
	r.out.WriteString("- [Errors](#errors): what a refusal says\n- [Schemas](#schemas): the objects in bodies and answers\n")
	for _, tag := range r.doc.Tags {
		fmt.Fprintf(&r.out, "\n## %s\n", tag.Name)
		for _, o := range r.operations(tag.Name) {
			r.operation(o)
		}
	}
	r.errors()
	r.schemas()
	return r.out.String()
}

type pathOperation struct {
	method, path string
	*openapi3.Operation
}

func (r *reference) operations(tag string) []pathOperation {
	var list []pathOperation
	for path, item := range r.doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.Tags[0] == tag {
				list = append(list, pathOperation{method, path, op})
			}
		}
	}
	methods := []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
	slices.SortFunc(list, func(a, b pathOperation) int {
		return cmp.Or(strings.Compare(a.path, b.path), slices.Index(methods, a.method)-slices.Index(methods, b.method))
	})
	return list
}

func (r *reference) operation(o pathOperation) {
	fmt.Fprintf(&r.out, "\n### %s\n\n`%s %s`\n", o.Summary, o.method, o.path)
	if o.Description != "" {
		fmt.Fprintf(&r.out, "\n%s\n", prose(o.Description))
	}
	if len(o.Parameters) > 0 {
		r.out.WriteString("\n| parameter | in | type | meaning |\n|---|---|---|---|\n")
		for _, p := range o.Parameters {
			v := p.Value
			fmt.Fprintf(&r.out, "| `%s` | %s | %s | %s |\n", v.Name, v.In, r.kind(v.Schema), cell(meaning(v.Schema.Value, v.Description, v.Required && v.In != "path")))
		}
	}
	r.out.WriteString("\n")
	if o.RequestBody != nil {
		optional := ""
		if !o.RequestBody.Value.Required {
			optional = ", which may be left out"
		}
		fmt.Fprintf(&r.out, "Body: %s%s. ", r.kind(o.RequestBody.Value.Content.Get("application/json").Schema), optional)
	}
	var refused []string
	for _, status := range slices.Sorted(maps.Keys(o.Responses.Map())) {
		switch answer := o.Responses.Value(status).Value; {
		case status[0] != '2' && status != "default":
			refused = append(refused, status)
		case status != "default" && len(answer.Content) == 0:
			fmt.Fprintf(&r.out, "Answer: `%s` without a body. ", status)
		case status != "default":
			for _, name := range slices.Sorted(maps.Keys(answer.Content)) {
				media := answer.Content[name]
				fmt.Fprintf(&r.out, "Answer: `%s` with %s. ", status, r.kind(media.Schema))
			}
		}
	}
	fmt.Fprintf(&r.out, "[Refused](#errors) with %s.\n", strings.Join(refused, ", "))
}

// errors writes what each status means.
func (r *reference) errors() {
	r.out.WriteString("\n## Errors\n\nA refusal is `application/problem+json` (RFC 9457), a " + r.kind(&openapi3.SchemaRef{Ref: "#/components/schemas/Problem"}) +
		", with a JSON pointer to each field that is wrong. Nothing of a refused request is done.\n\n| status | when |\n|---|---|\n")
	for _, line := range [][2]string{
		{"400", "The body is no clean JSON, or a parameter is unknown, there twice or wrong."},
		{"401", "There is no token, or it is unknown, revoked or expired."},
		{"403", "The token's role does not allow it, or only an operator may do it."},
		{"404", "There is no such thing, or it is another tenant's."},
		{"408", "The body came too slowly."},
		{"409", "It contradicts what is there, such as a second hook with the same target and types, or a second body under one `Idempotency-Key`."},
		{"412", "The thing has changed: `If-Match` is not its ETag."},
		{"413", "The body is larger than 1 MiB."},
		{"415", "The body is not JSON by its `Content-Type`."},
		{"422", "The body is JSON, but a field is wrong; `errors` points at each."},
		{"429", "The token or the tenant asks too much: come back after `Retry-After` seconds."},
		{"503", "PostgreSQL or NATS cannot be reached just now: come back after `Retry-After` seconds."},
	} {
		fmt.Fprintf(&r.out, "| %s | %s |\n", line[0], line[1])
	}
}

// schemas writes the schemas that were referred to, and those that these refer to.
func (r *reference) schemas() {
	r.out.WriteString("\n## Schemas\n\nWhat a receiver gets is in [receiving webhooks](receiving.md), and what the known event types carry in `GET /whisperer/event-types/`.\n")
	written := map[string]string{}
	for more := true; more; {
		more = false
		for name := range maps.Clone(r.used) {
			if _, done := written[name]; !done {
				written[name], more = r.schema(name), true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(written)) {
		r.out.WriteString(written[name])
	}
}

func (r *reference) schema(name string) string {
	s := r.doc.Components.Schemas[name].Value
	var b strings.Builder
	fmt.Fprintf(&b, "\n### %s\n", name)
	if s.Description != "" {
		fmt.Fprintf(&b, "\n%s\n", sentence(prose(s.Description)))
	}
	var needs []string
	for _, part := range s.AllOf {
		fmt.Fprintf(&b, "\nAll of %s", r.kind(part))
	}
	if len(s.AllOf) > 0 {
		for _, field := range s.Required {
			needs = append(needs, "`"+field+"`")
		}
		fmt.Fprintf(&b, ", of which %s is required.\n", strings.Join(needs, ", "))
	}
	for i, one := range slices.Concat(s.OneOf, s.AnyOf) {
		if i == 0 {
			b.WriteString("\nOne of:\n\n")
		}
		fmt.Fprintf(&b, "- %s%s\n", r.kind(one), about(one.Value.Description))
	}
	for _, example := range s.Examples {
		raw, err := json.Marshal(example)
		if err == nil {
			fmt.Fprintf(&b, "\n```json\n%s\n```\n", raw)
		}
	}
	if len(s.Properties) > 0 {
		b.WriteString("\n| field | type | meaning |\n|---|---|---|\n")
		for _, field := range slices.Sorted(maps.Keys(s.Properties)) {
			p := s.Properties[field]
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", field, r.kind(p), cell(meaning(p.Value, p.Value.Description, slices.Contains(s.Required, field) && !p.Value.ReadOnly)))
		}
	}
	return b.String()
}

// kind describes what a schema takes, with a link if it has a name.
func (r *reference) kind(ref *openapi3.SchemaRef) string {
	if name := ref.Ref[strings.LastIndexByte(ref.Ref, '/')+1:]; name != "" {
		r.used[name] = true
		return fmt.Sprintf("[%s](#%s)", name, strings.ToLower(name))
	}
	s := ref.Value
	var kinds []string
	for _, one := range slices.Concat(s.OneOf, s.AnyOf, s.AllOf) {
		kinds = append(kinds, r.kind(one))
	}
	if s.Type != nil {
		for _, t := range *s.Type {
			switch {
			case t == "array" && s.Items != nil:
				t = "list of " + r.kind(s.Items)
			case t == "string" && s.Format != "":
				t = s.Format
			case t == "object" && s.AdditionalProperties.Schema != nil:
				t = "object of " + r.kind(s.AdditionalProperties.Schema)
			}
			kinds = append(kinds, t)
		}
	}
	if len(kinds) == 0 {
		return "any JSON"
	}
	return strings.Join(slices.Compact(kinds), " or ")
}

// meaning returns a description with the limits of the schema.
func meaning(s *openapi3.Schema, description string, required bool) string {
	parts := []string{}
	if description != "" {
		parts = append(parts, sentence(prose(description)))
	}
	var facts []string
	if required {
		facts = append(facts, "required")
	}
	if s.ReadOnly {
		facts = append(facts, "read-only")
	}
	enum := s.Enum
	bounds := s
	if s.Items != nil && s.Items.Value != nil {
		enum, bounds = append(slices.Clone(enum), s.Items.Value.Enum...), s.Items.Value
	}
	if slices.ContainsFunc(enum, func(word any) bool { return !strings.Contains(description, fmt.Sprint(word)) }) {
		words := make([]string, len(enum))
		for i, word := range enum {
			words[i] = fmt.Sprintf("`%v`", word)
		}
		facts = append(facts, strings.Join(words, ", "))
	}
	if bounds.Min != nil && bounds.Max != nil {
		if span := plain(*bounds.Min) + " to " + plain(*bounds.Max); !strings.Contains(strings.ReplaceAll(description, ",", ""), span) {
			facts = append(facts, span)
		}
	}
	if s.MaxLength != nil {
		facts = append(facts, fmt.Sprintf("at most %d characters", *s.MaxLength))
	}
	if s.MaxItems != nil {
		facts = append(facts, fmt.Sprintf("at most %d", *s.MaxItems))
	}
	if s.MaxProps != nil {
		facts = append(facts, fmt.Sprintf("at most %d", *s.MaxProps))
	}
	if s.Default != nil && !strings.Contains(description, "absent") {
		facts = append(facts, fmt.Sprintf("default `%s`", compact(s.Default)))
	}
	if len(s.Examples) > 0 && compact(s.Examples[0]) != compact(s.Default) {
		facts = append(facts, fmt.Sprintf("for example `%s`", compact(s.Examples[0])))
	}
	if len(facts) > 0 {
		text := strings.Join(facts, "; ")
		parts = append(parts, strings.ToUpper(text[:1])+text[1:]+".")
	}
	return strings.Join(parts, " ")
}

func plain(n float64) string { return strings.TrimSuffix(fmt.Sprintf("%.3f", n), ".000") }

func compact(v any) string {
	raw, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return strings.NewReplacer(`\u003e`, ">", `\u003c`, "<", `\u0026`, "&").Replace(string(raw))
}

// prose escapes angle brackets and stars, so that they are not read as markup.
func prose(text string) string {
	return strings.NewReplacer("<", `\<`, "*", `\*`, "{", `\{`, "_", `\_`).Replace(text)
}

func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

func sentence(text string) string {
	if strings.HasSuffix(text, ".") || text == "" {
		return text
	}
	return text + "."
}

func about(description string) string {
	if description == "" {
		return ""
	}
	return ": " + prose(description)
}

func slug(heading string) string { return strings.ReplaceAll(strings.ToLower(heading), " ", "-") }
