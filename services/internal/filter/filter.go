// Package filter compiles and evaluates hooks' filters: expressions of the Common Expression Language (CEL) over an
// event, such as event.data.total > 100 && event.data.currency == "EUR".
package filter

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// MaxLength is the maximum length of a filter in bytes.
const MaxLength = 4 << 10

// Error says what is wrong with an expression, and where.
type Error struct {
	// Line and Column count from 1. They are 0 if the error concerns the whole expression.
	Line, Column int
	Detail       string
}

// Error returns the position and the problem.
func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Detail
	}
	return fmt.Sprintf("line %d, column %d: %s", e.Line, e.Column, e.Detail)
}

// environment is the environment of filters. Variable names contain dots, so that a misspelt field of event is an
// error when the filter is saved.
var environment = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewCustomEnv(slices.Concat(language(), eventVariables(), bounds(MaxLength))...)
})

// eventVariables are the variables of an event.
func eventVariables() []cel.EnvOption {
	return []cel.EnvOption{
		cel.Variable("event.type", cel.StringType), cel.Variable("event.entity", cel.StringType),
		cel.Variable("event.data", cel.DynType), cel.Variable("event.context", cel.DynType),
	}
}

var filters = dialect{ //nolint:gochecknoglobals // a constant
	name: "filter", env: environment, longest: MaxLength, complain: wantsBool, options: []cel.ProgramOption{bounded(types.Equal)},
}

// Filter is a compiled filter. It is safe for concurrent use.
type Filter struct{ expression }

// Compile compiles a filter. The error is an *Error.
func Compile(text string) (*Filter, error) {
	x, err := filters.compile(text)
	if err != nil {
		return nil, err
	}
	return &Filter{x}, nil
}

// Check is like Compile for a filter that is about to be saved, which must not cost too much either.
func Check(text string) (*Filter, error) {
	f, err := Compile(text)
	if err != nil {
		return nil, err
	}
	return f, f.tooCostly()
}

// Candidate is a hook that gets an event if its filter, which may be nil, matches.
type Candidate struct {
	*webhook.Hook

	Filter *Filter
}

// Result is the result of an evaluation.
type Result struct {
	Matched bool
	// Cost is in units. The first evaluation for an event includes the cost of parsing it.
	Cost uint64
	// Err says why the filter could not be evaluated; it does not match then. It is an *EvalError.
	Err error
}

// Match evaluates the filter. If the filter cannot be evaluated for the event, because a field is missing or it costs
// too much, it does not match, and the error says why.
func (f *Filter) Match(in *Input) (bool, error) {
	r := f.Evaluate(in)
	return r.Matched, r.Err
}

// Evaluate evaluates the filter and returns the result with its cost.
func (f *Filter) Evaluate(in *Input) Result {
	vars, cost, err := in.variables()
	r := Result{Cost: 1 + cost}
	if err != nil {
		r.Err = &EvalError{err: err}
		return r
	}
	out, cost, err := f.eval(vars)
	r.Cost += cost
	if err != nil {
		r.Err = err
		return r
	}
	matched, ok := out.Value().(bool)
	if r.Matched = matched; !ok {
		r.Err = &EvalError{err: errors.New("the expression does not give true or false")}
	}
	return r
}

// short truncates a long message, because CEL's errors may repeat values of an event.
func short(text string) string {
	const most = 200
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
