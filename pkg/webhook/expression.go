package webhook

import "encoding/json"

// ExpressionKind is the purpose of a hook's expression.
type ExpressionKind string

// The kinds of expressions.
const (
	FilterExpression    ExpressionKind = "filter"
	TransformExpression ExpressionKind = "transform"
	HeaderExpression    ExpressionKind = "header"
	ConditionExpression ExpressionKind = "condition"
)

// Expression is one CEL expression of a hook. Package filter checks that it compiles and what it costs.
type Expression struct {
	Kind ExpressionKind
	// Pointer is its location in the config.
	Pointer, Text string
}

// Expression returns the text of the expression of the kind, or "" if there is none.
func (c *Config) Expression(kind ExpressionKind) string {
	if kind == FilterExpression {
		return c.Filter
	}
	return c.Transform
}

// Expressions returns all CEL expressions of the config.
func (c *Config) Expressions() []Expression {
	var list []Expression
	if c.Filter != "" {
		list = append(list, Expression{FilterExpression, "/filter", c.Filter})
	}
	if c.Transform != "" {
		list = append(list, Expression{TransformExpression, "/transform", c.Transform})
	}
	for _, name := range sortedKeys(c.HeadersFrom) {
		list = append(list, Expression{HeaderExpression, "/headers_from/" + escapePointer(name), c.HeadersFrom[name]})
	}
	if c.Success.Condition != "" {
		list = append(list, Expression{ConditionExpression, "/success/condition", c.Success.Condition})
	}
	return list
}

// parseHeadersFrom parses an object that maps header names to expressions.
func parseHeadersFrom(raw json.RawMessage, p *ValidationError) map[string]string {
	var headers map[string]string
	if !KindTextMap.Accepts(raw) || json.Unmarshal(raw, &headers) != nil {
		p.Add("/headers_from", "must be an object of header names and CEL expressions as strings")
		return nil
	}
	names := make(map[string]string, len(headers)) // the values are only known later
	for name, text := range headers {
		if names[name] = ""; text == "" {
			p.Add("/headers_from/"+escapePointer(name), "must be a CEL expression that gives a text")
		}
	}
	p.Collect("/headers_from", ValidateHeaders(names))
	return headers
}
