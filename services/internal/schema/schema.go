// Package schema checks events' data against JSON Schemas (draft 2020-12, or an older one that $schema names).
//
// Schemas come from strangers, so the work that one can cause is bounded when it is compiled: it refers to nothing
// outside itself and never to itself, and the number of its parts that judge one value is limited.
package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

const (
	// MaxSize is how large a schema may be, in bytes.
	MaxSize = 64 << 10
	// maxDepth bounds how deeply a schema, or data to be checked, nests.
	maxDepth = 256
	// maxWork bounds one check: the bytes of the data times the parts of the schema that may judge each.
	maxWork = 32 << 20
	// address names a schema while it is compiled.
	address = "mem:///schema"
)

// Schema is a compiled JSON Schema. It is safe for concurrent use.
type Schema struct {
	compiled *jsonschema.Schema
	// width is how many parts judge one value at the most, weighted by their work.
	width int
}

// Compile reads a schema. The error is a *webhook.ValidationError with pointers into the document.
func Compile(document json.RawMessage) (*Schema, error) {
	if len(document) > MaxSize {
		return nil, problem("", "is larger than %d bytes", MaxSize)
	}
	value, err := decode(document)
	if err != nil {
		return nil, err
	}
	if _, ok := value.(map[string]any); !ok {
		return nil, problem("", "must be a JSON Schema: an object")
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.UseLoader(noLoader{})
	c.UseRegexpEngine(compilePattern)
	if err := c.AddResource(address, value); err != nil {
		return nil, problem("", "cannot be read: %s", err)
	}
	compiled, err := c.Compile(address)
	if err != nil {
		return nil, uncompilable(err)
	}
	width, err := measure(compiled)
	if err != nil {
		return nil, err
	}
	return &Schema{compiled: compiled, width: width}, nil
}

// Check returns nil where the data fits, and else a *webhook.ValidationError with pointers into the data, at most
// MaxProblems. Its details never repeat a value of the data.
func (s *Schema) Check(data json.RawMessage) error {
	if len(data)*s.width > maxWork {
		return problem("", "is too large to be checked against the schema of its type")
	}
	value, err := decode(data)
	if err != nil {
		return err
	}
	var invalid *jsonschema.ValidationError
	switch err := s.compiled.Validate(value); {
	case err == nil:
		return nil
	case errors.As(err, &invalid):
		return &webhook.ValidationError{Fields: fieldErrors(invalid)}
	default:
		return problem("", "cannot be checked: %s", err)
	}
}

// decode reads JSON with numbers as they are written, and refuses what would make a check expensive.
func decode(document json.RawMessage) (any, error) {
	if !json.Valid(document) {
		return nil, problem("", "is not JSON")
	}
	d := json.NewDecoder(bytes.NewReader(document))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil {
		return nil, problem("", "is not JSON")
	}
	return value, judge(value, nil)
}

// judge refuses numbers that take long to calculate with, such as 1e999999, and what nests too deeply.
func judge(value any, path []string) error {
	if len(path) > maxDepth {
		return problem("", "nests more than %d levels, which is too deep to be checked", maxDepth)
	}
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			if err := judge(member, append(path, name)); err != nil {
				return err
			}
		}
	case []any:
		for i, item := range v {
			if err := judge(item, append(path, strconv.Itoa(i))); err != nil {
				return err
			}
		}
	case json.Number:
		if !reckonable(v.String()) {
			return problem(pointer(path), "is a number that is too long to be checked")
		}
	}
	return nil
}

func reckonable(number string) bool {
	const maxDigits, maxExponent = 128, 400
	_, exponent, _ := strings.Cut(strings.ToLower(number), "e")
	if exponent == "" {
		return len(number) <= maxDigits
	}
	n, err := strconv.Atoi(exponent)
	return len(number) <= maxDigits && err == nil && n >= -maxExponent && n <= maxExponent
}

// noLoader is why schemas refer to nothing outside themselves.
type noLoader struct{}

var errOutside = errors.New("schemas cannot refer to other documents")

// Load refuses.
func (noLoader) Load(string) (any, error) { return nil, errOutside }

// uncompilable says where a schema is wrong.
func uncompilable(err error) error {
	var (
		invalid *jsonschema.SchemaValidationError
		cause   *jsonschema.ValidationError
		missing *jsonschema.JSONPointerNotFoundError
		outside *jsonschema.LoadURLError
	)
	switch {
	case errors.As(err, &invalid) && errors.As(invalid.Err, &cause):
		return &webhook.ValidationError{Fields: fieldErrors(cause)}
	case errors.As(err, &missing):
		return problem("", "refers to %s, which is not there", clip(fragment(missing.URL)))
	case errors.As(err, &outside):
		return problem("", "refers to %s: schemas cannot refer to other documents", clip(outside.URL))
	default:
		return problem("", "is no valid JSON Schema: %s", clip(strings.ReplaceAll(err.Error(), address, "")))
	}
}

// fragment is the JSON pointer of an address.
func fragment(address string) string {
	_, f, _ := strings.Cut(address, "#")
	if plain, err := url.PathUnescape(f); err == nil {
		return plain
	}
	return f
}

func problem(pointer, format string, args ...any) error {
	return &webhook.ValidationError{Fields: []webhook.FieldError{{Pointer: pointer, Detail: fmt.Sprintf(format, args...)}}}
}
