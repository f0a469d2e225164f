package filter

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
)

const (
	// maxPattern bounds a regular expression in bytes. maxProgram bounds the instructions that it compiles to:
	// (.?){1000} is short.
	maxPattern, maxProgram = 1000, 1000
	// maxSteps bounds the product of a string's bytes and the instructions, because a match cannot be interrupted.
	// stepsPerUnit steps cost one unit.
	maxSteps, stepsPerUnit = 10_000_000, 10
	// keptPatterns is how many compiled regular expressions are cached. Events may supply some of them.
	keptPatterns = 512
)

// pattern is a compiled regular expression.
type pattern struct {
	*regexp.Regexp

	size int // instructions of its program
}

var patterns struct { //nolint:gochecknoglobals // a cache: a pattern is the same for everybody
	mu   sync.Mutex
	kept map[string]pattern
}

func patternOf(text string) (pattern, error) {
	if len(text) > maxPattern {
		return pattern{}, fmt.Errorf("the regular expression is longer than %d bytes", maxPattern)
	}
	patterns.mu.Lock()
	p, there := patterns.kept[text]
	patterns.mu.Unlock()
	if there {
		return p, nil
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return pattern{}, err
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return pattern{}, err
	}
	if p.size = len(program.Inst); p.size > maxProgram {
		return pattern{}, errors.New("the regular expression is too large: use fewer or shorter repetitions")
	}
	if p.Regexp, err = regexp.Compile(text); err != nil {
		return pattern{}, err
	}
	patterns.mu.Lock()
	defer patterns.mu.Unlock()
	if patterns.kept == nil || len(patterns.kept) >= keptPatterns {
		patterns.kept = map[string]pattern{}
	}
	patterns.kept[text] = p
	return p, nil
}

func match(l, r ref.Val) ref.Val {
	text, isText := l.(types.String)
	expression, isExpression := r.(types.String)
	if !isText || !isExpression {
		return types.MaybeNoSuchOverloadErr(l)
	}
	p, err := patternOf(string(expression))
	switch {
	case err != nil:
		return types.WrapErr(err)
	case len(text)*p.size > maxSteps:
		return types.NewErr("the text of %d bytes is too long for the regular expression", len(text))
	}
	return types.Bool(p.MatchString(string(text)))
}

// matchCost returns the cost of matching a string against a regular expression.
func matchCost(args []ref.Val) uint64 {
	if len(args) != 2 {
		return 1
	}
	text, _ := args[0].(types.String)
	expression, _ := args[1].(types.String)
	p, err := patternOf(string(expression))
	if err != nil {
		return 1 + uint64(min(len(expression), maxPattern))
	}
	return 1 + uint64(min(len(text)*p.size, maxSteps)/stepsPerUnit) //nolint:gosec // not negative
}

// matches is CEL's function of that name, with bounds.
func matches() cel.EnvOption {
	args := []*cel.Type{cel.StringType, cel.StringType}
	return cel.Function(overloads.Matches,
		cel.Overload(overloads.Matches, args, cel.BoolType), cel.MemberOverload(overloads.MatchesString, args, cel.BoolType),
		cel.SingletonBinaryBinding(match, traits.MatcherType))
}

// literals checks literal regular expressions when the filter is compiled, and matches them with bounds, which CEL
// would not.
func literals() cel.ProgramOption {
	var both []*interpreter.RegexOptimization
	for _, overload := range []string{overloads.Matches, overloads.MatchesString} {
		both = append(both, &interpreter.RegexOptimization{
			Function: overloads.Matches, OverloadID: overload, RegexIndex: 1,
			Factory: func(call interpreter.InterpretableCall, text string) (interpreter.InterpretableCall, error) {
				if _, err := regexp.Compile(text); err != nil {
					return nil, fmt.Errorf("regular expression: %w", err)
				}
				return interpreter.NewCall(call.ID(), call.Function(), call.OverloadID(), call.Args(), func(values ...ref.Val) ref.Val {
					if len(values) != 2 {
						return types.NoSuchOverloadErr()
					}
					return match(values[0], values[1])
				}), nil
			},
		})
	}
	return cel.OptimizeRegex(both...)
}
