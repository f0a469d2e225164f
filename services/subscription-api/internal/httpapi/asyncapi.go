package httpapi

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// asyncPath is the path of the AsyncAPI document.
const asyncPath = root + "/asyncapi.json"

func exampleTime() time.Time { return time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC) }

// asyncAPI returns the document for publishers: the subject of each event type that they may publish, and the
// accepted bodies. Like the webhooks of the OpenAPI document, it is generated from the catalogue.
func (s *server) asyncAPI() ([]byte, error) {
	contracts, schemas, err := eventContracts()
	if err != nil {
		return nil, err
	}
	channels, operations, messages := jsonSchema{}, jsonSchema{}, jsonSchema{}
	for i := range contracts {
		c := &contracts[i]
		if c.Operational {
			delete(schemas, c.Title+"Data")
			continue
		}
		listed, refs := jsonSchema{}, []any{}
		for _, m := range c.published() {
			messages[m.name] = m.body
			listed[m.name] = jsonSchema{"$ref": "#/components/messages/" + m.name}
			refs = append(refs, jsonSchema{"$ref": "#/channels/" + c.Name + "/messages/" + m.name})
		}
		channels[c.Name] = jsonSchema{
			"address": s.Namespace.EventSubject("{tenant}", c.Name), "description": c.Description, "messages": listed,
			"parameters": jsonSchema{"tenant": jsonSchema{"$ref": "#/components/parameters/tenant"}},
		}
		operations["publish-"+strings.ReplaceAll(c.Name, ".", "-")] = jsonSchema{
			"action": "receive", "summary": c.Description, "channel": jsonSchema{"$ref": "#/channels/" + c.Name}, "messages": refs,
		}
	}
	return json.Marshal(jsonSchema{
		"asyncapi": "3.0.0", "defaultContentType": envelope.TypeJSON,
		"info": jsonSchema{
			"title": "Whisperer: publishing events", "version": s.Version, "license": jsonSchema{"name": "Apache-2.0"},
			"description": "Whisperer receives the events of an order management system on these NATS subjects, by JetStream: an event is accepted when the publication is acknowledged. " +
				"A type that a tenant declared has a subject of the same kind. The other direction, what receivers of webhooks get, is in the webhooks of openapi.json.",
		},
		"channels": channels, "operations": operations,
		"components": jsonSchema{
			"messages": messages, "schemas": schemas,
			"parameters": jsonSchema{"tenant": jsonSchema{"description": "Whose event it is; " + webhook.DefaultTenant + " in an installation with one tenant", "default": webhook.DefaultTenant}},
		},
	})
}

type asyncMessage struct {
	name string
	body jsonSchema
}

// published returns the forms of the body in which an event of the type may be published.
func (c *eventContract) published() []asyncMessage {
	text := jsonSchema{"type": "string"}
	headers := jsonSchema{"type": "object", "properties": jsonSchema{
		"Nats-Msg-Id": jsonSchema{"type": "string", "maxLength": webhook.MaxEventIDLength, "description": "The event's id where the body has none; JetStream drops a repetition within two minutes"},
		"traceparent": jsonSchema{"type": "string", "description": "W3C trace context, continued"},
		"tracestate":  jsonSchema{"type": "string", "description": "W3C trace context, continued with traceparent"},
	}}
	envelopeSchema := jsonSchema{
		"type": "object", "additionalProperties": false, "required": []string{"data"},
		"properties": jsonSchema{
			"event_id":        jsonSchema{"type": "string", "minLength": 1, "maxLength": webhook.MaxEventIDLength},
			"event_type":      jsonSchema{"type": "string", "const": c.Name},
			"event_time":      jsonSchema{"type": "string", "format": "date-time"},
			"entity":          jsonSchema{"type": "string", "maxLength": webhook.MaxEntityLength},
			"current_context": jsonSchema{"type": "object"}, "config_filter": jsonSchema{"type": "object"},
			"data": c.Data,
		},
	}
	var data, context any
	_ = json.Unmarshal(c.Example, &data) // the catalogue's documents are valid JSON
	_ = json.Unmarshal(c.Context, &context)
	when := exampleTime().Format(time.RFC3339)
	enveloped := jsonSchema{"event_id": "e-1", "event_time": when, "entity": c.Entity, "current_context": context, "data": data}
	event := jsonSchema{"specversion": "1.0", "id": "e-1", "source": "/shop", "type": c.Name, "subject": c.Entity, "time": when, "datacontenttype": envelope.TypeJSON, "data": data}
	message := func(kind, contentType, summary string, payload jsonSchema, example any) asyncMessage {
		return asyncMessage{name: c.Title + kind, body: jsonSchema{
			"name": c.Name, "title": c.Name + ": " + summary, "contentType": contentType, "headers": headers, "payload": payload,
			"examples": []any{jsonSchema{"payload": example}},
		}}
	}
	return []asyncMessage{
		message("Envelope", envelope.TypeJSON, "in the envelope", envelopeSchema, enveloped),
		message("Data", envelope.TypeJSON, "its data alone", c.Data, data),
		message("CloudEvent", envelope.TypeCloudEvents, "a CloudEvent", c.cloudEvent(jsonSchema{"dataschema": text}), event),
	}
}
