package schema_test

import (
	"errors"
	"testing"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/schema"
)

// FuzzSchema compiles any document and checks any data against it. It must neither panic nor hang, and problems must
// be presentable.
func FuzzSchema(f *testing.F) {
	f.Add(order, `{"id": 0, "lines": [{"sku": "a"}], "email": "@"}`)
	f.Add(`{"$ref": "#"}`, `[[]]`)
	f.Add(`{"patternProperties": {"(a+)+$": {"multipleOf": 0.1}}, "$dynamicRef": "#x", "$id": "http://["}`, `{"aaaa": 1e400}`)
	f.Add(`{"not": {"anyOf": [{"if": true, "then": false}, {"contains": {"const": null}, "minContains": 2}]}, "uniqueItems": true}`, `[null, 1.0, 1]`)
	f.Fuzz(func(t *testing.T, document, data string) {
		if len(data) > 1<<16 {
			return
		}
		s, err := schema.Compile([]byte(document))
		if err != nil {
			requireTold(t, err)
			return
		}
		if err := s.Check([]byte(data)); err != nil {
			requireTold(t, err)
		}
	})
}

func requireTold(t *testing.T, err error) {
	t.Helper()
	invalid, ok := errors.AsType[*webhook.ValidationError](err)
	if !ok || len(invalid.Fields) == 0 {
		t.Fatalf("%T: %v", err, err)
	}
	for _, field := range invalid.Fields {
		if field.Detail == "" || field.Pointer != "" && field.Pointer[0] != '/' {
			t.Fatalf("%+v", field)
		}
	}
}
