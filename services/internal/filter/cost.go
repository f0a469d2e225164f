package filter

import (
	"fmt"
	"math"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
)

// Costs are in CEL's units. An iteration of a loop costs about five of them; one core does about 20 million per
// second.
const (
	// MaxCost bounds one evaluation of a filter.
	MaxCost = 100_000
	// MaxEstimate bounds a filter's estimated cost. It leaves room for one loop inside another.
	MaxEstimate = 500_000
	// MaxTenantEstimate bounds the sum of the estimates of a tenant's filters.
	MaxTenantEstimate = 5_000_000
	// usualItems is the length that estimates assume for lists, maps and strings of events. Evaluations count the
	// actual cost.
	usualItems = 100
	// bytesPerUnit is how many bytes of a string are examined for one unit, and readBytes how many are parsed as
	// JSON. readUnits is the cost of each value in that JSON.
	bytesPerUnit, readBytes, readUnits = 10, 20, 2
)

// tracker counts the cost of an evaluation. CEL's own model charges a single unit for sizes and conversions of
// strings, and for comparing nested values, however large they are: a filter of 16,000 such units ran for 40 s.
type tracker struct{}

// CallCost implements cost.ActualCostEstimator.
func (tracker) CallCost(function, overload string, args []ref.Val, result ref.Val) *uint64 {
	n := uint64(1)
	for _, arg := range args {
		n += textCost(arg)
	}
	if made[function] {
		n += sizeOf(result, MaxCost) + argumentCost(args)
	}
	switch {
	case function == operators.Equals || function == operators.NotEquals || function == operators.In || overload == overloads.InList:
		if len(args) == 2 {
			n += compareCost(function, args[0], args[1])
		}
	case function == overloads.Matches:
		n = matchCost(args)
	case function == operators.Add && len(args) == 2: // concatenating a list with itself repeatedly grows it exponentially
		n += min(length(args[0]), length(args[1]))
	}
	return &n
}

// compareCost returns an upper bound of what a comparison has to look at.
func compareCost(function string, l, r ref.Val) uint64 {
	if function == operators.Equals || function == operators.NotEquals {
		if l.Type() != r.Type() {
			return 0
		}
		return min(sizeOf(l, MaxCost), sizeOf(r, MaxCost))
	}
	if _, isList := r.(traits.Lister); isList {
		return sizeOf(r, MaxCost)
	}
	return 0 // a key of a map
}

// textCost returns the cost of reading a whole string.
func textCost(v ref.Val) uint64 {
	switch v := v.(type) {
	case types.String:
		return uint64(len(v)) / bytesPerUnit
	case types.Bytes:
		return uint64(len(v)) / bytesPerUnit
	default:
		return 0
	}
}

// length returns the number of items of a list.
func length(v ref.Val) uint64 {
	if list, ok := v.(traits.Lister); ok {
		if n, ok := list.Size().(types.Int); ok && n > 0 {
			return uint64(n)
		}
	}
	return 0
}

// sizeOf counts the values inside a value, and more for long strings, up to about limit.
func sizeOf(v ref.Val, limit uint64) uint64 {
	sizer, ok := v.(traits.Sizer)
	if !ok {
		return 0
	}
	switch v.(type) {
	case types.String, types.Bytes:
		return textCost(v)
	}
	if size, _ := sizer.Size().(types.Int); size < 0 || uint64(size) >= limit {
		return limit // Value would materialize a concatenated list
	}
	return nativeSize(v.Value(), limit)
}

func nativeSize(v any, limit uint64) uint64 {
	n := uint64(0)
	switch v := v.(type) {
	case string:
		return 1 + uint64(len(v))/bytesPerUnit
	case ref.Val:
		return 1 + sizeOf(v, limit)
	case []any:
		for i := 0; i < len(v) && n < limit; i++ {
			n += nativeSize(v[i], limit-n)
		}
	case []ref.Val:
		for i := 0; i < len(v) && n < limit; i++ {
			n += nativeSize(v[i], limit-n)
		}
	case map[string]any:
		for name, value := range v {
			if n += 1 + uint64(len(name))/bytesPerUnit; n >= limit {
				break
			}
			n += nativeSize(value, limit-n)
		}
	case map[ref.Val]ref.Val:
		for name, value := range v {
			if n += 1 + sizeOf(name, limit); n >= limit {
				break
			}
			n += nativeSize(value, limit-min(n, limit))
		}
	}
	return 1 + n
}

// estimator assumes sizes for the parts of an event.
type estimator struct{}

// EstimateSize implements cost.Estimator.
func (estimator) EstimateSize(element cost.AstNode) *cost.SizeEstimate {
	if element.ComputedSize() != nil {
		return nil
	}
	return &cost.SizeEstimate{Min: 0, Max: usualItems}
}

// EstimateCallCost implements cost.Estimator.
func (estimator) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}

func estimated(env *cel.Env, ast *cel.Ast) (uint64, error) {
	e, err := env.EstimateCost(ast, estimator{})
	if err != nil {
		return 0, fmt.Errorf("estimate cost: %w", err)
	}
	return min(e.Max, math.MaxInt64), nil
}

// bounded checks the size of values before they are compared. A comparison cannot be interrupted, and an expression
// can build nested lists of exponential size by doubling.
func bounded(equal func(l, r ref.Val) ref.Val) cel.ProgramOption {
	comparisons := comparisonsBy(equal)
	return cel.CustomDecoratorV2(func(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
		call, ok := i.(interpreter.InterpretableCall)
		if !ok || len(call.Args()) != 2 {
			return i, nil
		}
		compare := comparisons[call.Function()]
		if compare == nil {
			return i, nil
		}
		return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), call.Args(), func(values ...ref.Val) ref.Val {
			if compareCost(call.Function(), values[0], values[1]) >= MaxCost {
				return types.NewErr("the values are too large to be compared")
			}
			return compare(values[0], values[1])
		}), nil
	})
}

// comparisonsBy returns CEL's comparison operators, based on the given equality, for bounded.
func comparisonsBy(equal func(l, r ref.Val) ref.Val) map[string]func(l, r ref.Val) ref.Val {
	return map[string]func(l, r ref.Val) ref.Val{
		operators.Equals:    equal,
		operators.NotEquals: func(l, r ref.Val) ref.Val { return types.Bool(equal(l, r) != types.True) },
		operators.In: func(l, r ref.Val) ref.Val {
			switch r := r.(type) {
			case traits.Mapper:
				return r.Contains(l)
			case traits.Lister:
				for i := range length(r) {
					if equal(r.Get(types.Int(i)), l) == types.True {
						return types.True
					}
				}
				return types.False
			}
			return types.MaybeNoSuchOverloadErr(r)
		},
	}
}
