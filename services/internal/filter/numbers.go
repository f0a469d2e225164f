package filter

import (
	"math/big"
	"slices"
	"strconv"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/stdlib"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// exact parses a number as an int64, or a uint64 if it is too large for that. Other notations become the nearest
// double, which is an infinity for numbers beyond the range.
func exact(text string) any {
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return i
	}
	if u, err := strconv.ParseUint(text, 10, 64); err == nil {
		return u
	}
	f, _ := strconv.ParseFloat(text, 64)
	return f
}

// arithmetic has CEL's operators for two numbers of one type.
var arithmetic = map[string]func(l, r ref.Val) ref.Val{
	operators.Add:      func(l, r ref.Val) ref.Val { return l.(traits.Adder).Add(r) },           //nolint:forcetypeassert // its trait is asked for before
	operators.Subtract: func(l, r ref.Val) ref.Val { return l.(traits.Subtractor).Subtract(r) }, //nolint:forcetypeassert // as above
	operators.Multiply: func(l, r ref.Val) ref.Val { return l.(traits.Multiplier).Multiply(r) }, //nolint:forcetypeassert // as above
	operators.Divide:   func(l, r ref.Val) ref.Val { return l.(traits.Divider).Divide(r) },      //nolint:forcetypeassert // as above
	operators.Modulo:   func(l, r ref.Val) ref.Val { return l.(traits.Modder).Modulo(r) },       //nolint:forcetypeassert // as above
}

// mixed are the pairs of types without arithmetic in CEL, and the type that they are calculated in.
var mixed = [][3]*cel.Type{
	{cel.IntType, cel.DoubleType, cel.DoubleType},
	{cel.DoubleType, cel.IntType, cel.DoubleType},
	{cel.UintType, cel.DoubleType, cel.DoubleType},
	{cel.DoubleType, cel.UintType, cel.DoubleType},
	{cel.IntType, cel.UintType, cel.DynType},
	{cel.UintType, cel.IntType, cel.DynType},
}

// language extends CEL with bounded regular expressions, and with arithmetic between numbers of different types: JSON
// has one type of number, so 7 * 1.5 must be 10.5. Two integers give an exact integer, or an error if neither an int
// nor a uint can hold it.
func language() []cel.EnvOption {
	without := env.NewLibrarySubset().AddExcludedFunctions(env.NewFunction(overloads.Matches))
	options := []cel.EnvOption{matches()}
	for _, f := range stdlib.Functions() {
		same := arithmetic[f.Name()]
		if same == nil {
			continue
		}
		without.AddExcludedFunctions(env.NewFunction(f.Name()))
		var as []cel.FunctionOpt
		for _, o := range f.OverloadDecls() {
			as = append(as, cel.Overload(o.ID(), o.ArgTypes(), o.ResultType()))
		}
		for _, m := range mixed {
			if m[2] != cel.DoubleType || f.Name() != operators.Modulo {
				as = append(as, cel.Overload(f.Name()+m[0].String()+"_"+m[1].String(), slices.Clone(m[:2]), m[2]))
			}
		}
		as = append(as, cel.SingletonBinaryBinding(func(l, r ref.Val) ref.Val { return calculate(f.Name(), same, l, r) }, traitOf(f.Name())))
		options = append(options, cel.Function(f.Name(), as...))
	}
	return append([]cel.EnvOption{cel.StdLib(cel.StdLibSubset(without))}, options...)
}

// traitOf returns the trait that the left operand must have.
func traitOf(operator string) int {
	switch operator {
	case operators.Add:
		return traits.AdderType
	case operators.Subtract:
		return traits.SubtractorType
	case operators.Multiply:
		return traits.MultiplierType
	case operators.Divide:
		return traits.DividerType
	default:
		return traits.ModderType
	}
}

func calculate(operator string, same func(l, r ref.Val) ref.Val, l, r ref.Val) ref.Val {
	if l.Type() == r.Type() || !isNumber(l) || !isNumber(r) {
		return same(l, r)
	}
	_, left := l.(types.Double)
	_, right := r.(types.Double)
	if !left && !right {
		return whole(operator, integer(l), integer(r))
	}
	if operator == operators.Modulo {
		return types.MaybeNoSuchOverloadErr(r)
	}
	return same(l.ConvertToType(types.DoubleType), r.ConvertToType(types.DoubleType))
}

func isNumber(v ref.Val) bool {
	switch v.(type) {
	case types.Int, types.Uint, types.Double:
		return true
	default:
		return false
	}
}

func integer(v ref.Val) *big.Int {
	if u, ok := v.(types.Uint); ok {
		return new(big.Int).SetUint64(uint64(u))
	}
	i, _ := v.(types.Int)
	return big.NewInt(int64(i))
}

// whole calculates with an int and a uint as CEL does with two ints: division truncates.
func whole(operator string, l, r *big.Int) ref.Val {
	n := new(big.Int)
	switch operator {
	case operators.Add:
		n.Add(l, r)
	case operators.Subtract:
		n.Sub(l, r)
	case operators.Multiply:
		n.Mul(l, r)
	default:
		if r.Sign() == 0 {
			return types.NewErr("division by zero")
		}
		if operator == operators.Divide {
			n.Quo(l, r)
		} else {
			n.Rem(l, r)
		}
	}
	switch {
	case n.IsInt64():
		return types.Int(n.Int64())
	case n.IsUint64():
		return types.Uint(n.Uint64())
	}
	return types.NewErr("integer overflow")
}
