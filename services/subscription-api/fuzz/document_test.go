package fuzz_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
)

// operation is an operation of the document.
type operation struct {
	id, method, path string
	spec             *openapi3.Operation
	// body is the schema of the request's body; may be nil.
	body *openapi3.Schema
}

// document is the API's OpenAPI document.
type document struct {
	operations map[string]*operation
	// ids are the ids of the operations, sorted.
	ids []string
}

func loadDocument(t *testing.T, addr string) *document {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+"/whisperer/openapi.json", nil)
	require.NoError(t, err)
	res, err := (&http.Client{Timeout: time.Minute}).Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	spec, err := openapi3.NewLoader().LoadFromData(raw)
	require.NoError(t, err)
	require.NoError(t, spec.Validate(t.Context()))
	d := &document{operations: map[string]*operation{}}
	for path, item := range spec.Paths.Map() {
		for method, op := range item.Operations() {
			o := &operation{id: op.OperationID, method: method, path: path, spec: op}
			if op.RequestBody != nil {
				o.body = op.RequestBody.Value.Content.Get("application/json").Schema.Value
			}
			d.operations[o.id] = o
			d.ids = append(d.ids, o.id)
		}
	}
	slices.Sort(d.ids)
	return d
}

// properties returns the fields that a body may have, by name, and their sorted names.
func (o *operation) properties() (fields map[string]*openapi3.Schema, names []string) {
	fields = map[string]*openapi3.Schema{}
	var gather func(s *openapi3.Schema)
	gather = func(s *openapi3.Schema) {
		for name, p := range s.Properties {
			if !p.Value.ReadOnly {
				fields[name] = p.Value
			}
		}
		for _, part := range s.AllOf {
			gather(part.Value)
		}
		if len(s.AnyOf) > 0 { // the first alternative is the plain one
			gather(s.AnyOf[0].Value)
		}
	}
	gather(o.body)
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	return fields, names
}

// needs reports whether a field is required.
func (o *operation) needs(name string) bool {
	s := o.body
	if len(s.Properties) == 0 && len(s.Required) == 0 && len(s.AnyOf) > 0 {
		s = s.AnyOf[0].Value
	}
	return slices.Contains(s.Required, name)
}

// parameters returns those in the query or the headers.
func (o *operation) parameters(in string) []*openapi3.Parameter {
	var list []*openapi3.Parameter
	for _, p := range o.spec.Parameters {
		if p.Value.In == in {
			list = append(list, p.Value)
		}
	}
	return list
}

// answer returns the document's response for a status, and whether it lists that status explicitly.
func (o *operation) answer(status string) (*openapi3.Response, bool) {
	r := o.spec.Responses.Value(status)
	if r == nil {
		return nil, false
	}
	return r.Value, true
}

// named reports whether the path contains an id or a name.
func (o *operation) named() bool { return strings.Contains(o.path, "{") }
