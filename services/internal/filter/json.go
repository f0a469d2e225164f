package filter

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"time"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// maxDepth is the maximum nesting of values that helpers parse from JSON or write. Events nest less deeply.
const maxDepth = 100

// problem says why a value cannot be written.
type problem string

// Error returns the problem.
func (p problem) Error() string { return string(p) }

// writer writes values as JSON, up to a size. Members of objects are sorted by name.
type writer struct {
	b    []byte
	most int
}

// toJSON writes a value, limited to most bytes.
func toJSON(v any, most int) (json.RawMessage, error) {
	w := writer{most: most}
	if err := w.value(v, 0); err != nil {
		return nil, err
	}
	return w.b, nil
}

func (w *writer) value(v any, depth int) error {
	switch {
	case len(w.b) > w.most:
		return problem("its value is larger than " + strconv.Itoa(w.most) + " bytes")
	case depth > maxDepth:
		return problem("its value is deeper than " + strconv.Itoa(maxDepth) + " levels")
	}
	switch v := v.(type) {
	case nil, types.Null:
		w.b = append(w.b, "null"...)
	case bool:
		w.b = strconv.AppendBool(w.b, v)
	case string:
		w.text(v)
	case []any:
		return w.list(len(v), func(i int) any { return v[i] }, depth)
	case map[string]any:
		return w.object(v, depth)
	case number:
		w.b = append(w.b, v.raw...)
	case ref.Val:
		return w.val(v, depth)
	default:
		var ok bool
		if w.b, ok = appendNumber(w.b, v); !ok {
			return problem("its value has a number that JSON does not have")
		}
	}
	if len(w.b) > w.most {
		return problem("its value is larger than " + strconv.Itoa(w.most) + " bytes")
	}
	return nil
}

// val writes a value that CEL has produced.
func (w *writer) val(v ref.Val, depth int) error {
	switch v := v.(type) {
	case types.Bool, types.Int, types.Uint, types.Double, types.String:
		return w.value(v.Value(), depth)
	case types.Bytes:
		w.text(base64.StdEncoding.EncodeToString(v))
	case types.Timestamp:
		w.text(v.UTC().Format(time.RFC3339Nano))
	case types.Duration:
		w.text(v.String())
	case traits.Lister:
		if items, ok := v.Value().([]any); ok {
			return w.value(items, depth)
		}
		return w.list(int(length(v)), func(i int) any { return v.Get(types.Int(i)) }, depth) //nolint:gosec // a length in memory
	case traits.Mapper:
		if members, ok := v.Value().(map[string]any); ok {
			return w.object(members, depth)
		}
		members := map[string]any{}
		for names := v.Iterator(); names.HasNext() == types.True; {
			name := names.Next()
			text, ok := name.ConvertToType(types.StringType).(types.String)
			if !ok {
				return problem("its value has a " + name.Type().TypeName() + " as a name")
			}
			if _, twice := members[string(text)]; twice { // the keys 1 and "1" collide
				return problem("its value has the name " + short(string(text)) + " twice")
			}
			members[string(text)] = v.Get(name)
		}
		return w.object(members, depth)
	default:
		return problem("its value has a " + v.Type().TypeName() + ", which JSON does not have")
	}
	return nil
}

func (w *writer) list(n int, at func(int) any, depth int) error {
	w.b = append(w.b, '[')
	for i := range n {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		if err := w.value(at(i), depth+1); err != nil {
			return err
		}
	}
	w.b = append(w.b, ']')
	return nil
}

func (w *writer) object(members map[string]any, depth int) error {
	w.b = append(w.b, '{')
	for i, name := range slices.Sorted(maps.Keys(members)) {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		w.text(name)
		w.b = append(w.b, ':')
		if err := w.value(members[name], depth+1); err != nil {
			return err
		}
	}
	w.b = append(w.b, '}')
	return nil
}

func (w *writer) text(s string) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) //nolint:errchkjson // a text always can be written
	w.b = append(w.b, bytes.TrimSuffix(b.Bytes(), []byte("\n"))...)
}
