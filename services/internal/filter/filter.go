// Package filter compiles and evaluates hooks' filters: expressions of the Common Expression Language (CEL) over an
// event, such as event.data.total > 100 && event.data.currency == "EUR".
package filter

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// MaxLength is how long an expression may be, in bytes.
const MaxLength = 4 << 10

// Error says what is wrong with an expression, and where.
type Error struct {
	// Line and Column count from 1 and are 0 where the whole expression is at fault.
	Line, Column int
	Detail       string
}

// Error names the place and the fault.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Detail
	}
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Detail)
}

// environment is what expressions can refer to. Names with dots make a misspelt field of event an error on saving.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewCustomEnv(append(language(),
		cel.Variable("event.type", cel.StringType), cel.Variable("event.entity", cel.StringType),
		cel.Variable("event.data", cel.DynType), cel.Variable("event.context", cel.DynType),
		cel.ParserRecursionLimit(50), cel.ParserExpressionSizeLimit(MaxLength),
	)...)
})

// Filter is a compiled expression. It is safe for concurrent use.
type Filter struct {
	text    string
	checked *cel.Ast
	program cel.Program
	// estimate is what Estimate returns.
	estimate uint64
}

// Compile checks an expression. The error is an *Error.
func Compile(text string) (*Filter, error) {
	if len(text) > MaxLength {
		return nil, &Error{Detail: fmt.Sprintf("the expression is longer than %d bytes", MaxLength)}
	}
	env, err := environment()
	if err != nil {
		return nil, &Error{Detail: "filters are not available: " + err.Error()}
	}
	ast, issues := env.Compile(text)
	if issues != nil && issues.Err() != nil {
		first := issues.Errors()[0]
		return nil, &Error{Line: first.Location.Line(), Column: first.Location.Column() + 1, Detail: first.Message}
	}
	if t := ast.OutputType(); !t.IsExactType(cel.BoolType) && !t.IsExactType(cel.DynType) {
		return nil, &Error{Detail: fmt.Sprintf("the expression gives a %s, and must give true or false", t)}
	}
	program, err := env.Program(ast, literals(), bounded(), cel.CostTracking(tracker{}), cel.CostLimit(MaxCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, &Error{Detail: err.Error()}
	}
	most, err := estimated(env, ast)
	if err != nil {
		return nil, &Error{Detail: err.Error()}
	}
	return &Filter{text: text, checked: ast, program: program, estimate: most}, nil
}

// Check is Compile for a filter that is about to be saved: it may not cost too much, either.
func Check(text string) (*Filter, error) {
	f, err := Compile(text)
	if err == nil && f.estimate > MaxEstimate {
		return nil, &Error{Detail: fmt.Sprintf("costs up to %d units for an event with lists of %d items, and the limit is %d: "+
			"use fewer loops inside of loops", f.estimate, usualItems, MaxEstimate)}
	}
	return f, err
}

// Candidate is a hook that an event goes to if its filter, which may be nil, lets it.
type Candidate struct {
	*webhook.Hook

	Filter *Filter
}

// String is the expression.
func (f *Filter) String() string { return f.text }

// Result is what came of an evaluation.
type Result struct {
	Matched bool
	// Cost is in units; the first evaluation for an event has that of reading it, too.
	Cost uint64
	// Err says why the filter could not be evaluated, and does not match because of that. It is a *EvalError.
	Err error
}

// Match evaluates the filter. An expression that cannot be evaluated for the event, because a field that it names is not
// there, or because it costs too much, does not match, and the error says why.
func (f *Filter) Match(in *Input) (bool, error) {
	r := f.Evaluate(in)
	return r.Matched, r.Err
}

// Evaluate evaluates the filter and says what that has cost.
func (f *Filter) Evaluate(in *Input) Result {
	vars, cost, err := in.variables()
	r := Result{Cost: 1 + cost}
	if err != nil {
		r.Err = &EvalError{err: err}
		return r
	}
	out, details, err := f.program.Eval(vars)
	if details != nil && details.ActualCost() != nil {
		r.Cost += *details.ActualCost()
	}
	switch {
	case err != nil:
		r.Err = &EvalError{err: err, filter: f, vars: vars}
		return r
	default:
		matched, ok := out.Value().(bool)
		if r.Matched = matched; !ok {
			r.Err = &EvalError{err: errors.New("the expression does not give true or false")}
		}
	}
	return r
}

// short keeps the values of an event, which an error may repeat, out of messages that get long.
func short(text string) string {
	const most = 200
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
