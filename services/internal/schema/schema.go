// Package schema checks events' data against JSON Schemas (draft 2020-12, or an older one that $schema names).
//
// Schemas are not trusted, so the work that one can cause is bounded when it is compiled: it may refer neither to
// other documents nor to itself, and the number of its parts that check one value is limited.
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
	// MaxSize is the maximum size of a schema in bytes.
	MaxSize = 64 << 10
	// maxDepth bounds the nesting of a schema, and of the data to check.
	maxDepth = 256
	// maxWork bounds one check: the bytes of the data times the parts of the schema that may check each value.
	maxWork = 32 << 20
	// address is the schema's URL during compilation.
	address = "mem:///schema"
)

// Schema is a compiled JSON Schema. It is safe for concurrent use.
type Schema struct {
	compiled *jsonschema.Schema
	// width is the maximum number of parts that check one value, weighted by their cost.
	width int
}

// Compile compiles a schema. The error is a *webhook.ValidationError with pointers into the document.
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

// Check returns nil if the data is valid, and otherwise a *webhook.ValidationError with pointers into the data and at
// most MaxProblems problems. Its texts never repeat a value of the data.
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

// decode parses JSON, keeps the notation of numbers, and refuses what would make a check expensive.
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

// judge refuses numbers that are expensive to calculate with, such as 1e999999, and values that nest too deeply.
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

// noLoader prevents schemas from referring to other documents.
type noLoader struct{}

var errOutside = errors.New("schemas cannot refer to other documents")

// Load always returns an error.
func (noLoader) Load(string) (any, error) { return nil, errOutside }

// uncompilable says what is wrong with a schema, and where.
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

// fragment returns the JSON pointer of a URL.
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
