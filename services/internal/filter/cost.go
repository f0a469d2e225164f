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

// Costs are in CEL's units: a step of a loop is some five of them, and a core does about 20 million a second.
const (
	// MaxCost bounds one evaluation of a filter.
	MaxCost = 100_000
	// MaxEstimate bounds what a filter may cost by its estimate, which has room for one loop inside of another.
	MaxEstimate = 500_000
	// MaxTenantEstimate bounds what all filters of a tenant may cost together, by their estimates.
	MaxTenantEstimate = 5_000_000
	// usualItems is how long an estimate takes lists, maps and texts of events to be. Evaluations cost what they cost.
	usualItems = 100
	// bytesPerUnit is how many bytes of a text are looked at for one unit, readBytes how many are read as JSON, and
	// readUnits are for a value in there.
	bytesPerUnit, readBytes, readUnits = 10, 20, 2
)

// tracker counts what an evaluation costs. CEL's own model takes sizes and conversions of texts, and the comparison of
// whatever is inside of lists, for a single unit, however large they are: a filter of 16,000 such units ran for 40 s.
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
	case function == operators.Add && len(args) == 2: // what a list is put together of twice and twice again has no end
		n += min(length(args[0]), length(args[1]))
	}
	return &n
}

// compareCost is what there is to be compared at most.
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
	return 0 // a key
}

// textCost is for looking at all of a text.
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

// length is how many items a list has.
func length(v ref.Val) uint64 {
	if list, ok := v.(traits.Lister); ok {
		if n, ok := list.Size().(types.Int); ok && n > 0 {
			return uint64(n)
		}
	}
	return 0
}

// sizeOf counts the values inside of a value, and more for long texts, up to about a limit.
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
		return limit // Value of a list that was put together would make all of it
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

// estimator says how large what an event brings is taken to be.
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

// bounded has values looked at before they are compared: a comparison cannot be stopped, and lists of lists that an
// expression builds by doubling them have no end.
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

// comparisonsBy are CEL's comparisons, whose bounds are looked at, with an equality.
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
