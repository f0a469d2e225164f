package filter

import (
	"errors"
	"fmt"
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types/ref"
)

// dialect is the language of expressions for one purpose.
type dialect struct {
	// name is the purpose, for error messages.
	name string
	env  func() (*cel.Env, error)
	// longest is the maximum length of an expression in bytes.
	longest int
	// complain returns what is wrong with the type of an expression's result, or "".
	complain func(*cel.Type) string
	options  []cel.ProgramOption
	// keepsDigits says that numbers of the event keep their notation when they are passed on.
	keepsDigits bool
}

// expression is a compiled expression. It is safe for concurrent use.
type expression struct {
	*dialect

	text    string
	checked *cel.Ast
	program cel.Program
	// estimate is the result of Estimate.
	estimate uint64
}

// String returns the source text.
func (x *expression) String() string { return x.text }

// Estimate returns the maximum cost of an evaluation if lists, maps and strings of the event have up to 100 items.
func (x *expression) Estimate() uint64 { return x.estimate }

// bounds limits the length and nesting that the parser accepts.
func bounds(longest int) []cel.EnvOption {
	return []cel.EnvOption{cel.ParserRecursionLimit(50), cel.ParserExpressionSizeLimit(longest)}
}

func (d *dialect) programOptions() []cel.ProgramOption {
	return slices.Concat([]cel.ProgramOption{literals(), cel.CostTracking(tracker{}), cel.CostLimit(MaxCost)}, d.options)
}

// compile checks and compiles an expression. The error is an *Error.
func (d *dialect) compile(text string) (expression, error) {
	if len(text) > d.longest {
		return expression{}, &Error{Detail: fmt.Sprintf("the expression is longer than %d bytes", d.longest)}
	}
	env, err := d.env()
	if err != nil {
		return expression{}, &Error{Detail: "expressions are not available: " + err.Error()}
	}
	ast, issues := env.Compile(text)
	if issues != nil && issues.Err() != nil {
		first := issues.Errors()[0]
		return expression{}, &Error{Line: first.Location.Line(), Column: first.Location.Column() + 1, Detail: first.Message}
	}
	if problem := d.complain(ast.OutputType()); problem != "" {
		return expression{}, &Error{Detail: problem}
	}
	program, err := env.Program(ast, append(append(d.programOptions(), unwrapping(d, ast)...), cel.EvalOptions(cel.OptOptimize))...)
	if err != nil {
		return expression{}, &Error{Detail: err.Error()}
	}
	most, err := estimated(env, ast)
	if err != nil {
		return expression{}, &Error{Detail: err.Error()}
	}
	return expression{dialect: d, text: text, checked: ast, program: program, estimate: most}, nil
}

// tooCostly returns an error if the estimate exceeds MaxEstimate.
func (x *expression) tooCostly() error {
	if x.estimate <= MaxEstimate {
		return nil
	}
	return &Error{Detail: fmt.Sprintf("costs up to %d units for an event with lists of %d items, and the limit is %d: "+
		"use fewer loops inside of loops", x.estimate, usualItems, MaxEstimate)}
}

// eval evaluates the expression and returns the cost. The error is an *EvalError.
func (x *expression) eval(vars map[string]any) (out ref.Val, cost uint64, err error) {
	out, details, err := x.program.Eval(vars)
	if details != nil && details.ActualCost() != nil {
		cost = *details.ActualCost()
	}
	if err != nil {
		return nil, cost, &EvalError{err: err, of: x, vars: vars}
	}
	return out, cost, nil
}

func wantsBool(t *cel.Type) string {
	if t.IsExactType(cel.BoolType) || t.IsExactType(cel.DynType) {
		return ""
	}
	return fmt.Sprintf("the expression gives a %s, and must give true or false", t)
}

func wantsText(t *cel.Type) string {
	if t.IsExactType(cel.StringType) || t.IsExactType(cel.DynType) {
		return ""
	}
	return fmt.Sprintf("the expression gives a %s, and must give a text: string(…) makes one", t)
}

// wantsJSON complains about types without a JSON form.
func wantsJSON(t *cel.Type) string {
	if t.Kind() == cel.TypeKind || t.Kind() == cel.OpaqueKind {
		return fmt.Sprintf("the expression gives a %s, which JSON does not have", t)
	}
	return ""
}

// failed returns an evaluation error that does not come from CEL.
func (x *expression) failed(text string) error { return &EvalError{err: errors.New(text), of: x} }
