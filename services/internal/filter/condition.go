package filter

import (
	"bytes"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"github.com/tidwall/gjson"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// answers is the environment of conditions on a receiver's answer.
var answers = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewCustomEnv(slices.Concat(language(), bounds(MaxLength), []cel.EnvOption{
		cel.Variable("response.status", cel.IntType), cel.Variable("response.body", cel.DynType),
	})...)
})

var conditions = dialect{ //nolint:gochecknoglobals // a constant
	name: "success condition", env: answers, longest: MaxLength, complain: wantsBool, options: []cel.ProgramOption{bounded(types.Equal)},
}

// Condition decides whether an answer counts as delivered. It is safe for concurrent use.
type Condition struct{ expression }

// NewCondition returns the hook's condition, or nil if the hook has none. The error is an *Error.
func NewCondition(h *webhook.Hook) (*Condition, error) {
	if h.Config.Success.Condition == "" {
		return nil, nil //nolint:nilnil // most have none
	}
	x, err := conditions.compile(h.Config.Success.Condition)
	if err != nil {
		return nil, err
	}
	return &Condition{x}, nil
}

// Holds evaluates the condition for an answer. A complete JSON body is parsed; any other body is a string. A leading
// byte order mark is ignored. The error says why the condition cannot be evaluated.
func (c *Condition) Holds(status int, body []byte, truncated bool) (holds bool, cost uint64, err error) {
	r := reader{}
	body = bytes.TrimPrefix(body, []byte("\uFEFF"))
	vars := map[string]any{"response.status": int64(status)}
	if !truncated && envelope.CheckJSON(body, envelope.MaxDepth) == nil {
		vars["response.body"] = r.value(gjson.ParseBytes(body))
	} else {
		vars["response.body"] = strings.ToValidUTF8(string(body), "\uFFFD")
	}
	cost = 1 + readUnits*r.values + uint64(len(body))/readBytes
	out, used, err := c.eval(vars)
	cost += used
	if err != nil {
		return false, cost, err
	}
	holds, ok := out.Value().(bool)
	if !ok {
		return false, cost, c.failed("the expression does not give true or false")
	}
	return holds, cost, nil
}
