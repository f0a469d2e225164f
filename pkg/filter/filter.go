// Package filter compiles and evaluates hooks' filters: expressions of the Common Expression Language (CEL) over an
// event, such as event.data.total > 100 && event.data.currency == "EUR".
package filter

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"github.com/tidwall/gjson"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

const (
	// MaxLength is how long an expression may be, in bytes.
	MaxLength = 4 << 10
	// maxCost bounds the work of one evaluation, in CEL's cost units: a loop over a few thousand items.
	maxCost = 100_000
)

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
	return cel.NewEnv(
		cel.Variable("event.type", cel.StringType), cel.Variable("event.entity", cel.StringType),
		cel.Variable("event.data", cel.DynType), cel.Variable("event.context", cel.DynType),
		cel.ParserRecursionLimit(50), cel.ParserExpressionSizeLimit(MaxLength),
	)
})

// Filter is a compiled expression. It is safe for concurrent use.
type Filter struct {
	text    string
	checked *cel.Ast
	program cel.Program
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
	program, err := env.Program(ast, cel.CostLimit(maxCost), cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, &Error{Detail: err.Error()}
	}
	return &Filter{text: text, checked: ast, program: program}, nil
}

// String is the expression.
func (f *Filter) String() string { return f.text }

// noOverload is how CEL says that it has no operator for values of these types, such as a whole number times a double.
const noOverload = "no such overload"

// Match evaluates the filter: whole numbers of JSON are ints, or uints where they need it, and all others doubles. Where that
// gives an operator nothing to work with, all numbers are doubles. An expression that cannot be evaluated for the event, because a field that it names is not
// there, or because it costs too much, does not match, and the error says why.
func (f *Filter) Match(in *Input) (bool, error) {
	vars, err := in.variables()
	if err != nil {
		return false, err
	}
	out, _, err := f.program.Eval(vars)
	if err != nil && strings.Contains(err.Error(), noOverload) {
		// An expression such as event.data.total * 1.2 was written when all numbers were doubles.
		if vars, read := in.doubles(); read == nil {
			if was, _, again := f.program.Eval(vars); again == nil {
				out, err = was, nil
			}
		}
	}
	if err != nil {
		return false, fmt.Errorf("evaluate filter: %w", short(err))
	}
	matched, ok := out.Value().(bool)
	if !ok {
		return false, errors.New("evaluate filter: the expression does not give true or false")
	}
	return matched, nil
}

// short keeps the values of an event, which an error may repeat, out of messages that get long.
func short(err error) error {
	const most = 200
	text := err.Error()
	if len(text) <= most {
		return err
	}
	return errors.New(strings.ToValidUTF8(text[:most], "") + "…")
}

// Input is an event as filters see it, read once for all of them. It is safe for concurrent use.
type Input struct {
	variables func() (map[string]any, error)
	doubles   func() (map[string]any, error)
}

// NewInput makes the input of an event; nothing is read before a filter needs it.
func NewInput(e *webhook.Event) *Input {
	read := func(number func(string) any) func() (map[string]any, error) {
		return sync.OnceValues(func() (map[string]any, error) {
			vars := map[string]any{"event.type": e.Type, "event.entity": e.Entity, "event.context": nil}
			if !gjson.ValidBytes(e.Data) {
				return nil, errors.New("read event data: it is not JSON")
			}
			vars["event.data"] = valueOfJSON(gjson.ParseBytes(e.Data), number)
			if len(e.Context) > 0 {
				if !gjson.ValidBytes(e.Context) {
					return nil, errors.New("read event context: it is not JSON")
				}
				vars["event.context"] = valueOfJSON(gjson.ParseBytes(e.Context), number)
			}
			return vars, nil
		})
	}
	return &Input{variables: read(exact), doubles: read(double)}
}

// valueOfJSON is the value of valid JSON, of which each number is what the function makes of its text.
func valueOfJSON(r gjson.Result, number func(string) any) any {
	switch {
	case r.Type == gjson.Number:
		return number(r.Raw)
	case r.IsObject():
		members := map[string]any{}
		r.ForEach(func(name, value gjson.Result) bool {
			members[name.Str] = valueOfJSON(value, number)
			return true
		})
		return members
	case r.IsArray():
		items := []any{}
		r.ForEach(func(_, value gjson.Result) bool {
			items = append(items, valueOfJSON(value, number))
			return true
		})
		return items
	default:
		return r.Value()
	}
}

// exact is the number itself: an int64, a uint64 where that is too small, or a double for what is written as none of both.
func exact(text string) any {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return i
	}
	if u, err := strconv.ParseUint(text, 10, 64); err == nil {
		return u
	}
	return double(text)
}

// double is the nearest double, an infinity for what is beyond all of them.
func double(text string) any {
	f, _ := strconv.ParseFloat(text, 64)
	return f
}
