package filter

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/interpreter"
)

// maxTerms bounds how many terms are returned.
const maxTerms = 20

// Term is a field of the event that an expression names, with its value.
type Term struct {
	// Expression is the field as the expression has it, such as event.data.total.
	Expression string
	// Value is at most 100 bytes of its value as JSON, or "(not there)" or "(not looked at)".
	Value string
}

// String returns both as a sentence.
func (t Term) String() string { return t.Expression + " is " + t.Value }

// Terms evaluates the filter for an event and returns the fields that it names, so that people see why it matched or
// did not. It returns none for an event that cannot be parsed.
func (f *Filter) Terms(in *Input) []Term {
	vars, _, err := in.variables()
	if err != nil {
		return nil
	}
	env, err := f.env()
	if err != nil {
		return nil
	}
	program, err := env.Program(f.checked, append(f.programOptions(), cel.EvalOptions(cel.OptExhaustiveEval))...)
	if err != nil {
		return nil
	}
	_, details, _ := program.Eval(vars) // an error is a result, too
	if details == nil {
		return nil
	}
	native := f.checked.NativeRep()
	var terms []Term
	for _, field := range fieldsOf(native.Expr(), nil) {
		text, err := cel.ExprToString(field, native.SourceInfo())
		if err != nil {
			continue
		}
		if t := (Term{Expression: text, Value: valueOf(details.State(), field.ID())}); !slices.Contains(terms, t) {
			terms = append(terms, t)
		}
	}
	return terms[:min(len(terms), maxTerms)]
}

// fieldsOf appends the fields that an expression names, in order, except those inside loops.
func fieldsOf(e ast.Expr, list []ast.Expr) []ast.Expr {
	switch e.Kind() {
	case ast.IdentKind:
		return append(list, e)
	case ast.SelectKind:
		if e.AsSelect().IsTestOnly() || e.AsSelect().Operand().Kind() == ast.CallKind {
			return fieldsOf(e.AsSelect().Operand(), list)
		}
		return append(list, e)
	case ast.CallKind:
		if e.AsCall().IsMemberFunction() {
			list = fieldsOf(e.AsCall().Target(), list)
		}
		for _, arg := range e.AsCall().Args() {
			list = fieldsOf(arg, list)
		}
	case ast.ListKind:
		for _, item := range e.AsList().Elements() {
			list = fieldsOf(item, list)
		}
	case ast.ComprehensionKind:
		list = fieldsOf(e.AsComprehension().IterRange(), list)
	default:
	}
	return list
}

func valueOf(state interpreter.EvalState, id int64) string {
	const most = 100
	value, there := state.Value(id)
	switch {
	case !there:
		return "(not looked at)"
	case types.IsUnknownOrError(value):
		return "(not there)"
	}
	text, err := json.Marshal(value.Value())
	if err != nil {
		return fmt.Sprintf("(a %s)", value.Type().TypeName())
	}
	if len(text) > most {
		return strings.ToValidUTF8(string(text[:most]), "") + "…"
	}
	return string(text)
}
