package httpapi

import (
	"cmp"
	"encoding/json"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

// specPath is the path of the OpenAPI document.
const specPath = root + "/openapi.json"

// apiConfig returns the document without its operations. The server is the public URL, or the host that the document
// is fetched from.
func apiConfig(version, publicURL string) huma.Config {
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Servers: []*huma.Server{{URL: cmp.Or(publicURL, "/")}},
			Info: &huma.Info{
				Title: "Whisperer", Version: version,
				Description: "Manages webhooks: which events of the order management system are sent where, and how. " +
					"Paths work with and without a trailing slash. With an operator's token, the header " + tenantHeader + " selects the tenant.",
				License: &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"},
			},
			Tags: tags(),
			Components: &huma.Components{
				Schemas: schemas(),
				SecuritySchemes: map[string]*huma.SecurityScheme{"token": {
					Type: "http", Scheme: "bearer", Description: "A token. `Authorization: Token`, a space and the token is equivalent.",
				}},
			},
		},
		Formats:       map[string]huma.Format{"application/json": huma.DefaultJSONFormat, "json": huma.DefaultJSONFormat},
		DefaultFormat: "application/json",
	}
}

// schemas returns the registry of schemas. JSON that is passed through gets the same schema as where it is parsed.
func schemas() huma.Registry {
	r := huma.NewMapRegistry("#/components/schemas/", schemaName)
	r.RegisterTypeAlias(reflect.TypeFor[json.RawMessage](), reflect.TypeFor[rawJSON]())
	r.RegisterTypeAlias(reflect.TypeFor[api.Object](), reflect.TypeFor[object]())
	return r
}

// schemaNames are names in the document that differ from those of the types.
var schemaNames = map[string]string{
	"Page[EventSummary]": "EventPage", "Page[AuditEntry]": "AuditPage",
}

// schemaName names a struct in the document: hookEventBody is HookEvent, hookInput is HookInput, and a page of hooks
// is HookPage.
func schemaName(t reflect.Type, hint string) string {
	name := t.Name()
	switch {
	case strings.Contains(name, "Page["):
		results, _ := t.FieldByName("Results")
		item := schemaName(results.Type.Elem(), "")
		return cmp.Or(schemaNames["Page["+item+"]"], item+"Page")
	case name == "" || strings.Contains(name, "["):
		return huma.DefaultSchemaNamer(t, hint)
	}
	return cmp.Or(schemaNames[name], strings.ToUpper(name[:1])+strings.TrimSuffix(name[1:], "Body"))
}

// spec returns the finished document. It leaves out huma's own error model, which no response uses.
func (s *server) spec() ([]byte, error) {
	schemas := s.api.OpenAPI().Components.Schemas.Map()
	delete(schemas, "ErrorModel")
	delete(schemas, "Callback") // replaced by the field's description
	hooks := hookSchemas{listed: schemas}
	hooks.describe(schemas["HookInput"], schemas["Hook"])
	schemas["RetriesInput"].Properties["retry_countdown_config"] = schemas["HookInput"].Properties["retry_countdown_config"]
	if err := addWebhooks(s.api.OpenAPI()); err != nil {
		return nil, err
	}
	return json.Marshal(s.api.OpenAPI())
}

// tags are the groups of operations, in the order in which readers look for them.
func tags() []*huma.Tag {
	return []*huma.Tag{
		{Name: "Hooks", Description: "Subscriptions: which events are sent to which URL, and how"},
		{Name: "Event types", Description: "The known types, with schemas and examples"},
		{Name: tagEvents, Description: "Publishing events, and their outcomes"},
		{Name: tagDeliveries, Description: "One event for one hook: its attempts and retries"},
		{Name: tagJobs, Description: "Replays and recoveries that run in the background"},
		{Name: "Tokens and tenants", Description: "Who may use the API"},
		{Name: tagSigning, Description: "The tenant's keys for HTTP Message Signatures"},
		{Name: tagErasures, Description: "Erasure and retention of payloads"},
		{Name: tagLedger, Description: "Ledger entries that PostgreSQL refused"},
	}
}
