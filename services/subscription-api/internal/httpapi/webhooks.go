package httpapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
)

// jsonSchema is a JSON Schema from the catalogue.
type jsonSchema = map[string]any

const (
	componentSchemas = "#/components/schemas/"
	// tagWebhooks separates what receivers get from the API's operations, so that client generators can leave it out.
	tagWebhooks = "Webhooks"
)

// eventContract is what the documents say about one event type, generated from the catalogue.
type eventContract struct {
	catalogue.Type

	// Title is the prefix of the names of the type's schemas, such as PackageCreated.
	Title string
	// Data refers to the schema of the event's data.
	Data jsonSchema
	// Operational says that only Whisperer publishes it.
	Operational bool
}

// eventContracts returns the contract of each known type, and the schemas in the document's components that they
// refer to.
func eventContracts() ([]eventContract, map[string]jsonSchema, error) {
	schemas := map[string]jsonSchema{}
	known := len(catalogue.All())
	var contracts []eventContract
	for i, t := range slices.Concat(catalogue.All(), catalogue.Operational()) {
		c := eventContract{Type: t, Title: camelCase(t.Name), Operational: i >= known}
		own := jsonSchema{"type": "object", "additionalProperties": true}
		if len(t.Schema) > 0 {
			text := definition.ReplaceAllFunc(t.Schema, func(ref []byte) []byte {
				return fmt.Appendf(nil, `"$ref":"%s%s"`, componentSchemas, sharedName(string(definition.FindSubmatch(ref)[1])))
			})
			own = nil
			if err := json.Unmarshal(text, &own); err != nil {
				return nil, nil, fmt.Errorf("read schema of %s: %w", t.Name, err)
			}
			shared, _ := own["$defs"].(map[string]any)
			for name, part := range shared {
				schemas[sharedName(name)], _ = part.(map[string]any)
			}
			own = composed(own)
		}
		own["description"] = t.Description
		schemas[c.Title+"Data"] = own
		c.Data = jsonSchema{"$ref": componentSchemas + c.Title + "Data"}
		contracts = append(contracts, c)
	}
	return contracts, schemas, nil
}

// definition matches a reference to a definition that schemas of the catalogue share.
var definition = regexp.MustCompile(`"\$ref":\s*"#/\$defs/(\w+)"`)

func sharedName(name string) string { return "Oms" + camelCase(name) }

// composed writes a schema that extends another one as allOf, because many generators ignore what stands beside $ref.
func composed(own jsonSchema) jsonSchema {
	ref := own["$ref"]
	delete(own, "$schema")
	delete(own, "$defs")
	delete(own, "$ref")
	switch {
	case ref == nil:
		return own
	case own["properties"] == nil && own["required"] == nil:
		return jsonSchema{"allOf": []any{jsonSchema{"$ref": ref}}}
	}
	return jsonSchema{"allOf": []any{jsonSchema{"$ref": ref}, own}}
}

// camelCase joins the words of a name: package.status.packed_for_refund becomes PackageStatusPackedForRefund.
func camelCase(name string) string {
	var b strings.Builder
	for word := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '.' || r == '_' }) {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// delivered returns the schema of the body of a delivery in the default format.
func (c *eventContract) delivered() jsonSchema {
	return jsonSchema{
		"type": "object", "additionalProperties": false, "required": []string{"event_time", "event_type", "current_context", "data"},
		"properties": jsonSchema{
			"event_time":      jsonSchema{"type": "string", "format": "date-time", "description": "When it happened, by the publisher's clock"},
			"event_type":      jsonSchema{"type": "string", "const": c.Name},
			"current_context": jsonSchema{"type": "object", "additionalProperties": true, "description": "Additional information published with the data"},
			"data":            c.Data,
		},
	}
}

// cloudEvent returns the schema of a CloudEvent of the type, with additional attributes.
func (c *eventContract) cloudEvent(further jsonSchema) jsonSchema {
	text := jsonSchema{"type": "string", "minLength": 1}
	properties := jsonSchema{
		"specversion": jsonSchema{"type": "string", "const": "1.0"}, "id": text, "source": text,
		"type": jsonSchema{"type": "string", "description": c.Name + ", or as it was published"}, "subject": jsonSchema{"type": "string"},
		"time": jsonSchema{"type": "string", "format": "date-time"}, "datacontenttype": jsonSchema{"type": "string"}, "data": c.Data,
	}
	maps.Copy(properties, further)
	return jsonSchema{
		"type": "object", "additionalProperties": true, "required": []string{"specversion", "id", "source", "type", "data"}, "properties": properties,
	}
}

// example returns the catalogue's example as a receiver gets it in the format, or nil if there is none.
func (c *eventContract) example(format webhook.Format) (json.RawMessage, error) {
	if len(c.Example) == 0 {
		return nil, nil
	}
	e := webhook.Event{
		ID: "e-1", Tenant: webhook.DefaultTenant, Type: c.Name, Time: exampleTime(), Entity: c.Entity, Context: c.Context, Data: c.Example,
		Seq: webhook.SequenceIn(webhook.OMS, uint64(exampleTime().UnixMicro())),
	}
	body, err := envelope.Encode(format, &e)
	return body.Bytes, err
}

// addWebhooks describes what receivers get.
func addWebhooks(doc *huma.OpenAPI) error {
	contracts, schemas, err := eventContracts()
	if err != nil {
		return err
	}
	registered := doc.Components.Schemas.Map()
	for name, schema := range schemas {
		registered[name] = &huma.Schema{Extensions: schema}
	}
	var parameters []*huma.Param
	for _, h := range deliveryHeaders() {
		h.In = "header"
		parameters = append(parameters, &h)
	}
	doc.Webhooks = map[string]*huma.PathItem{}
	for i := range contracts {
		c := &contracts[i]
		content := map[string]*huma.MediaType{}
		for format, schema := range map[webhook.Format]jsonSchema{
			webhook.FormatOMS:         c.delivered(),
			webhook.FormatCloudEvents: c.cloudEvent(jsonSchema{"sequence": jsonSchema{"type": "string", "description": "Sorts as text in the order of publication"}}),
		} {
			example, err := c.example(format)
			if err != nil {
				return err
			}
			media := &huma.MediaType{}
			if len(example) > 0 {
				media.Example = example
			}
			name, mediaType := c.Title+"Delivery", envelope.TypeJSON
			if format == webhook.FormatCloudEvents {
				name, mediaType = c.Title+"CloudEvent", envelope.TypeCloudEvents
			}
			registered[name] = &huma.Schema{Extensions: schema}
			media.Schema = &huma.Schema{Ref: componentSchemas + name}
			content[mediaType] = media
		}
		doc.Webhooks[c.Name] = &huma.PathItem{Post: &huma.Operation{
			OperationID: "deliver-" + strings.ReplaceAll(c.Name, ".", "-"), Summary: c.Description, Tags: []string{tagWebhooks},
			Description: "The hook's config.format decides whether the body is application/json (oms, the default) or a CloudEvent (cloudevents); the formats " +
				"whisperer, standard and raw have the same data, and thin has the URL to fetch it from. config.method can select PUT or PATCH.",
			Security:    []map[string][]string{{}},
			Parameters:  parameters,
			RequestBody: &huma.RequestBody{Required: true, Content: content},
			Responses: map[string]*huma.Response{
				"2XX":     {Description: "Delivered"},
				"410":     {Description: "Gone: the hook is disabled"},
				"default": {Description: "Not delivered: retried on the hook's retry schedule"},
			},
		}}
	}
	return nil
}

// deliveryHeaders returns the headers of a delivery that carry information about it.
func deliveryHeaders() []huma.Param {
	text, number := &huma.Schema{Type: huma.TypeString}, &huma.Schema{Type: huma.TypeInteger, Format: "int64"}
	return []huma.Param{
		{Name: "webhook-id", Required: true, Schema: text, Description: "The delivery: the same on every attempt, retry and replay"},
		{Name: "webhook-timestamp", Required: true, Schema: number, Description: "When the attempt was made, in seconds since 1970"},
		{Name: "webhook-signature", Schema: text, Description: "Standard Webhooks: v1 or v1a, a comma and the signature; several, separated by spaces, while a secret is rotated. Absent if the hook has no secret"},
		{Name: "X-Whisperer-Event", Required: true, Schema: text, Description: "The event's type"},
		{Name: "X-Whisperer-Delivery", Required: true, Schema: text, Description: "As webhook-id"},
		{Name: "X-Whisperer-Event-Id", Required: true, Schema: text, Description: "The event's id, percent-encoded if it is not visible ASCII"},
		{Name: "X-Whisperer-Attempt", Required: true, Schema: number, Description: "1 for the first attempt"},
		{Name: "X-Whisperer-Sequence", Schema: number, Description: "Grows with publication: compare it to tell the newer of two events. Absent from tests"},
		{Name: "X-Whisperer-Replay", Schema: text, Description: "true if a person requested the attempt"},
		{Name: "X-Whisperer-Test", Schema: text, Description: "true for a test"},
		{Name: "X-Whisperer-Signature", Schema: text, Description: "sha256= and the hexadecimal HMAC-SHA256 of only the body. Absent if the hook has no secret"},
		{Name: "Content-Digest", Schema: text, Description: "The body's SHA-256 (RFC 9530). Only with the preset rfc9421 in config.signature"},
		{Name: "Signature-Input", Schema: text, Description: "What Signature covers, and which key of the tenant's key set made it (RFC 9421). Only with the preset rfc9421 in config.signature"},
		{Name: "Signature", Schema: text, Description: "The HTTP Message Signature (RFC 9421). Only with the preset rfc9421 in config.signature"},
		{Name: "traceparent", Required: true, Schema: text, Description: "W3C trace context"},
		{Name: "tracestate", Schema: text, Description: "W3C trace context, as in the event"},
	}
}
