package filter

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"cel.dev/cel-go/cel"
	"github.com/tidwall/gjson"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

const (
	// MaxTransformLength is the maximum length of a transform's expression in bytes.
	MaxTransformLength = 16 << 10
	// MaxOutput is the maximum size of its result as JSON, in bytes.
	MaxOutput = 1 << 20
)

// making is the environment of transforms: that of filters with helpers, and with more fields of the event and its
// hook.
var making = sync.OnceValues(func() (*cel.Env, error) {
	return cel.NewCustomEnv(slices.Concat(language(), eventVariables(), helpers(), bounds(MaxTransformLength), []cel.EnvOption{
		cel.Variable("event.id", cel.StringType), cel.Variable("event.time", cel.TimestampType), cel.Variable("hook.config", cel.DynType),
	})...)
})

// dialects are the languages of a hook's expressions.
var dialects = map[webhook.ExpressionKind]*dialect{
	webhook.FilterExpression: &filters,
	webhook.TransformExpression: {
		name: "transform", env: making, longest: MaxTransformLength, complain: wantsJSON, options: []cel.ProgramOption{bounded(equal)}, keepsDigits: true,
	},
	webhook.ConditionExpression: &conditions,
	webhook.HeaderExpression: {
		name: "header", env: making, longest: MaxTransformLength, complain: wantsText, options: []cel.ProgramOption{bounded(equal)}, keepsDigits: true,
	},
}

// Transform turns what was published into what a hook sends. It is safe for concurrent use.
type Transform struct {
	data    *expression // nil sends the data as published
	headers []header
	config  any // the hook's config
}

type header struct {
	name string
	expression
}

// NewTransform returns the hook's transform, or nil if the hook sends what was published. The error is an *Error.
func NewTransform(h *webhook.Hook) (*Transform, error) {
	if !h.Config.Makes() {
		return nil, nil //nolint:nilnil // most make nothing
	}
	r := reader{digits: true}
	t := &Transform{config: r.value(gjson.ParseBytes(h.Config.Raw))}
	if h.Config.Transform != "" {
		x, err := dialects[webhook.TransformExpression].compile(h.Config.Transform)
		if err != nil {
			return nil, err
		}
		t.data = &x
	}
	for _, name := range slices.Sorted(maps.Keys(h.Config.HeadersFrom)) {
		x, err := dialects[webhook.HeaderExpression].compile(h.Config.HeadersFrom[name])
		if err != nil {
			return nil, err
		}
		t.headers = append(t.headers, header{name, x})
	}
	return t, nil
}

// Made is the result of a transform for an event.
type Made struct {
	// Data is nil if the data is sent as published.
	Data    json.RawMessage
	Headers []webhook.Header
	// Cost is in units and includes parsing the event.
	Cost uint64
}

// Make evaluates the transform for an event. The error explains to people why that fails; the cost is returned
// nevertheless.
func (t *Transform) Make(e *webhook.Event) (Made, error) {
	vars, cost, err := newInput(e, reader{digits: true}).variables()
	made := Made{Cost: 1 + cost}
	if err != nil {
		return made, err
	}
	vars["event.id"], vars["event.time"], vars["hook.config"] = e.ID, e.Time, t.config
	if err := t.makeHeaders(vars, &made); err != nil || t.data == nil {
		return made, err
	}
	out, used, err := t.data.eval(vars)
	made.Cost += used
	if err != nil {
		return made, err
	}
	if made.Data, err = toJSON(out, MaxOutput); err != nil {
		if p, ok := errors.AsType[problem](err); ok {
			return made, t.data.failed(string(p))
		}
		return made, err
	}
	made.Cost += uint64(len(made.Data)) / readBytes
	return made, nil
}

func (t *Transform) makeHeaders(vars map[string]any, made *Made) error {
	size := 0
	for i := range t.headers {
		h := &t.headers[i]
		out, used, err := h.eval(vars)
		made.Cost += used
		if err != nil {
			return fmt.Errorf("header %s: %w", h.name, err)
		}
		text, ok := out.Value().(string)
		if !ok {
			return h.failed("header " + h.name + ": its value is no text: string(…) makes one")
		}
		if text, err = webhook.HeaderValue(text); err != nil {
			return h.failed("header " + h.name + " " + err.Error())
		}
		if size += len(h.name) + len(text); size > webhook.MaxHeadersInAll {
			return h.failed(fmt.Sprintf("the headers are larger than %d bytes in all", webhook.MaxHeadersInAll))
		}
		made.Headers = append(made.Headers, webhook.Header{Name: h.name, Value: text})
	}
	return nil
}

// TooCostly reports whether err says that an evaluation was stopped because it cost too much.
func TooCostly(err error) bool {
	failed, ok := errors.AsType[*EvalError](err)
	return ok && failed.TooCostly()
}
