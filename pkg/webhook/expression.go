package webhook

import "encoding/json"

// ExpressionKind is what an expression of a hook is for.
type ExpressionKind string

// The kinds of expressions.
const (
	FilterExpression    ExpressionKind = "filter"
	TransformExpression ExpressionKind = "transform"
	HeaderExpression    ExpressionKind = "header"
	ConditionExpression ExpressionKind = "condition"
)

// Expression is one CEL expression of a hook. Whether it compiles, and what it costs, is package filter's to say.
type Expression struct {
	Kind ExpressionKind
	// Pointer is where the config has it.
	Pointer, Text string
}

// Expression is the text of the expression of the kind; empty where there is none.
func (c *Config) Expression(kind ExpressionKind) string {
	if kind == FilterExpression {
		return c.Filter
	}
	return c.Transform
}

// Expressions are all CEL expressions of the config.
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

// parseHeadersFrom reads expressions by the names of headers.
func parseHeadersFrom(raw json.RawMessage, p *ValidationError) map[string]string {
	var headers map[string]string
	if !KindTextMap.Accepts(raw) || json.Unmarshal(raw, &headers) != nil {
		p.Add("/headers_from", "must be an object of header names and CEL expressions as strings")
		return nil
	}
	names := make(map[string]string, len(headers)) // the values are known later
	for name, text := range headers {
		if names[name] = ""; text == "" {
			p.Add("/headers_from/"+escapePointer(name), "must be a CEL expression that gives a text")
		}
	}
	p.Collect("/headers_from", ValidateHeaders(names))
	return headers
}
