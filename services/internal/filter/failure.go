package filter

import (
	"errors"
	"fmt"
	"strings"

	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/interpreter"
)

// EvalError says why an expression could not be evaluated for an event. The text is only composed when Error is
// called.
type EvalError struct {
	err  error
	of   *expression // nil if no expression was evaluated
	vars map[string]any
}

// Unwrap returns CEL's own error.
func (f *EvalError) Unwrap() error { return f.err }

// TooCostly reports whether the evaluation was stopped because it cost too much.
func (f *EvalError) TooCostly() bool {
	var cancelled interpreter.EvalCancelledError
	return errors.As(f.err, &cancelled)
}

// Error says why the evaluation failed and, where that is known, how to change the expression.
func (f *EvalError) Error() string {
	prefix := "evaluate filter: "
	if f.of != nil {
		prefix = "evaluate " + f.of.name + ": "
	}
	text := f.err.Error()
	switch {
	case f.TooCostly():
		return fmt.Sprintf(prefix+"it costs more than %d units for this event: the lists are too long for its loops, or the texts", MaxCost)
	case f.of == nil:
		return prefix + short(text)
	case strings.Contains(text, "no such key"), strings.Contains(text, "no such overload"), strings.Contains(text, "unsupported index type"):
		if hint := f.hint(); hint != "" {
			return prefix + short(text) + ": " + short(hint)
		}
	}
	return prefix + short(text)
}

// hint names the first field in the expression that has no value, and says how to guard against that.
func (f *EvalError) hint() string {
	_, key, _ := strings.Cut(f.err.Error(), "no such key: ")
	for _, field := range fieldsOf(f.of.checked.NativeRep().Expr(), nil) {
		if name, hint := f.missing(pathOf(field)); hint != "" && (key == "" || key == name) {
			return hint
		}
	}
	return ""
}

// pathOf splits a chain of selections such as event.data.customer.group into the variable and the rest. It returns ""
// for anything else.
func pathOf(e ast.Expr) (variable string, path []string) {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent(), nil
	case ast.SelectKind:
		if variable, path = pathOf(e.AsSelect().Operand()); variable != "" {
			path = append(path, e.AsSelect().FieldName())
		}
	default:
	}
	return variable, path
}

// missing says which step of the path does not exist, and what there is instead. It returns nothing if the field has
// a value.
func (f *EvalError) missing(variable string, path []string) (step, hint string) {
	value, known := f.vars[variable]
	if !known {
		return "", ""
	}
	at := variable
	for i, name := range path {
		members, isObject := value.(map[string]any)
		next, there := members[name]
		switch {
		case value == nil, !isObject:
			return name, fmt.Sprintf("%s is %s; guard it with %s", at, kindOf(value), guard(at, path[i:]))
		case !there:
			return name, fmt.Sprintf("%s.%s is absent; guard it with %s", at, name, guard(at, path[i:]))
		}
		value, at = next, at+"."+name
	}
	if value == nil {
		return "", fmt.Sprintf("%s is null; guard it with %s != null && …", at, at)
	}
	return "", ""
}

// guard returns an expression that tests each step of a path.
func guard(at string, path []string) string {
	var b strings.Builder
	for _, name := range path {
		at += "." + name
		fmt.Fprintf(&b, "has(%s) && ", at)
	}
	return b.String() + "…"
}

func kindOf(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case []any:
		return "a list"
	case string:
		return "a text"
	case bool:
		return "true or false"
	default:
		return "a number"
	}
}
