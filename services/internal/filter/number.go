package filter

import (
	"encoding/json"
	"math"
	"reflect"
	"strconv"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
)

// number is a number of an event whose notation would change if it were parsed and written again, such as 19.90. It
// keeps its notation where it is passed on; functions that calculate get the plain number.
type number struct {
	ref.Val // the plain number

	raw string
}

// ConvertToType keeps the notation when converting to a string.
func (n number) ConvertToType(t ref.Type) ref.Val {
	if t == types.StringType {
		return types.String(n.raw)
	}
	return n.Val.ConvertToType(t)
}

// ConvertToNative keeps the notation when converting to JSON.
func (n number) ConvertToNative(t reflect.Type) (any, error) { return n.Val.ConvertToNative(t) }

// MarshalJSON returns the original notation.
func (n number) MarshalJSON() ([]byte, error) { return []byte(n.raw), nil }

// Equal compares by value.
func (n number) Equal(other ref.Val) ref.Val { return n.Val.Equal(plain(other)) }

func plain(v ref.Val) ref.Val {
	if n, ok := v.(number); ok {
		return n.Val
	}
	return v
}

// kept returns a number to be passed on: a plain one if its notation is preserved, and a number otherwise.
func kept(raw string) any {
	value := exact(raw)
	if text, ok := appendNumber(nil, value); ok && string(text) == raw {
		return value
	}
	return number{types.DefaultTypeAdapter.NativeToValue(value), raw}
}

// appendNumber writes a number as JSON. ok is false for values that JSON does not have.
func appendNumber(b []byte, value any) (_ []byte, ok bool) {
	switch n := value.(type) {
	case int64:
		return strconv.AppendInt(b, n, 10), true
	case uint64:
		return strconv.AppendUint(b, n, 10), true
	case float64:
		if math.IsInf(n, 0) || math.IsNaN(n) {
			return b, false
		}
		text, err := json.Marshal(n)
		return append(b, text...), err == nil
	}
	return b, false
}

// keepers are the functions that pass numbers on, or that need their notation.
var keepers = map[string]bool{
	operators.Conditional: true, operators.Index: true, "string": true, "dyn": true, "number": true, "json.encode": true, "decimal": true,
	"decimal.add": true, "decimal.subtract": true, "decimal.multiply": true,
}

// unwrapping passes plain numbers to all other functions, because CEL's functions know no others.
func unwrapping(d *dialect, checked *cel.Ast) []cel.ProgramOption {
	if !d.keepsDigits {
		return nil
	}
	arguments := map[int64]bool{}
	ast.PreOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || keepers[e.AsCall().FunctionName()] {
			return
		}
		for _, arg := range e.AsCall().Args() {
			arguments[arg.ID()] = true
		}
		if e.AsCall().IsMemberFunction() {
			arguments[e.AsCall().Target().ID()] = true
		}
	}))
	return []cel.ProgramOption{cel.CustomDecoratorV2(func(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
		if !arguments[i.ID()] {
			return i, nil
		}
		switch i := i.(type) {
		case interpreter.InterpretableAttribute:
			return plainAttribute{i}, nil
		case interpreter.InterpretableCall:
			return plainCall{i}, nil
		}
		return i, nil
	})}
}

type plainAttribute struct {
	interpreter.InterpretableAttribute
}

// Exec returns a plain value.
func (p plainAttribute) Exec(f *interpreter.ExecutionFrame) ref.Val {
	return plain(p.InterpretableAttribute.Exec(f))
}

// Eval returns a plain value.
func (p plainAttribute) Eval(a interpreter.Activation) ref.Val {
	return plain(p.InterpretableAttribute.Eval(a))
}

type plainCall struct{ interpreter.InterpretableCall }

// Exec returns a plain value.
func (p plainCall) Exec(f *interpreter.ExecutionFrame) ref.Val {
	return plain(p.InterpretableCall.Exec(f))
}

// Eval returns a plain value.
func (p plainCall) Eval(a interpreter.Activation) ref.Val { return plain(p.InterpretableCall.Eval(a)) }

// equal is types.Equal for values that may contain numbers.
func equal(l, r ref.Val) ref.Val {
	l, r = plain(l), plain(r)
	switch left := l.(type) {
	case traits.Lister:
		right, ok := r.(traits.Lister)
		if !ok || left.Size() != right.Size() {
			return types.False
		}
		for i := range length(l) {
			if at := types.Int(i); equal(left.Get(at), right.Get(at)) != types.True {
				return types.False
			}
		}
		return types.True
	case traits.Mapper:
		right, ok := r.(traits.Mapper)
		if !ok || left.Size() != right.Size() {
			return types.False
		}
		for names := left.Iterator(); names.HasNext() == types.True; {
			name := names.Next()
			value, there := right.Find(name)
			if !there || equal(left.Get(name), value) != types.True {
				return types.False
			}
		}
		return types.True
	}
	return types.Equal(l, r)
}
