package httpapi

import (
	"cmp"
	"encoding/json"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// specPath is where the OpenAPI document is.
const specPath = root + "/openapi.json"

// apiConfig is the document without its operations. The server is the public URL, or the host that the document comes from.
func apiConfig(version, publicURL string) huma.Config {
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Servers: []*huma.Server{{URL: cmp.Or(publicURL, "/")}},
			Info: &huma.Info{
				Title: "Whisperer", Version: version,
				Description: "Manages webhooks: who is told about which events of the order management system, where, and how. " +
					"Paths work with and without the slash at their end. An operator's token chooses a tenant by the header " + tenantHeader + ".",
				License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
			},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", schemaName),
				SecuritySchemes: map[string]*huma.SecurityScheme{"token": {
					Type: "apiKey", In: "header", Name: "Authorization", Description: "Token <token>, or Bearer <token>",
				}},
			},
		},
		Formats:       map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat: "application/json",
	}
}

// schemaName names a struct in the document: hookBody is Hook, hookInput is HookInput.
func schemaName(t reflect.Type, hint string) string {
	name := t.Name()
	if name == "" || strings.Contains(name, "[") {
		return huma.DefaultSchemaNamer(t, hint)
	}
	return strings.ToUpper(name[:1]) + strings.TrimSuffix(name[1:], "Body")
}

// spec is the finished document. huma's own error model is left out: nothing answers with it.
func (s *server) spec() ([]byte, error) {
	schemas := s.api.OpenAPI().Components.Schemas.Map()
	delete(schemas, "ErrorModel")
	delete(schemas, "Callback") // its field is an object, of which there is more to say
	describeHooks(schemas["HookInput"], schemas["Hook"])
	if err := addWebhooks(s.api.OpenAPI()); err != nil {
		return nil, err
	}
	return json.Marshal(s.api.OpenAPI())
}

// describeHooks says in the document what the descriptions of hooks' fields say.
func describeHooks(input, shown *huma.Schema) {
	object := func() *huma.Schema {
		return &huma.Schema{Type: huma.TypeObject, Nullable: true, AdditionalProperties: true}
	}
	for _, f := range webhook.Fields() {
		if p := shown.Properties[f.Name]; p != nil {
			if f.Kind == webhook.KindObject || f.Kind == webhook.KindOutcome {
				p = object()
			}
			p.Description = cmp.Or(f.Shown, f.Help)
			shown.Properties[f.Name] = p
		}
		if f.ReadOnly {
			continue
		}
		p := input.Properties[f.Name]
		if p == nil {
			p = inputSchema(f.Kind)
			input.Properties[f.Name] = p
		}
		if p.Description = f.Help; f.MaxLength > 0 {
			p.MaxLength = &f.MaxLength
		}
	}
}

// inputSchema is what a kind of fields takes that has no type of its own here.
func inputSchema(kind webhook.Kind) *huma.Schema {
	text := &huma.Schema{Type: huma.TypeString}
	switch kind {
	case webhook.KindText:
		return &huma.Schema{Type: huma.TypeString, Nullable: true}
	case webhook.KindTexts:
		return &huma.Schema{Type: huma.TypeArray, Items: text, Nullable: true}
	case webhook.KindTextMap:
		return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: text, Nullable: true}
	default:
		return &huma.Schema{Type: huma.TypeObject, AdditionalProperties: true, Nullable: true}
	}
}
