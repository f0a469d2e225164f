package filter

import (
	"errors"
	"sync"

	"github.com/tidwall/gjson"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Input is an event as filters see it, parsed once for all of them. It is safe for concurrent use.
type Input struct {
	// read parses the event and returns the cost of that.
	read func() (read, error)
	once sync.Once
}

type read struct {
	vars map[string]any
	cost uint64
}

// NewInput returns the input for an event. The event is parsed when a filter first needs it.
func NewInput(e *webhook.Event) *Input { return newInput(e, reader{}) }

func newInput(e *webhook.Event, r reader) *Input {
	return &Input{read: sync.OnceValues(func() (read, error) {
		vars := map[string]any{"event.type": e.Type, "event.entity": e.Entity, "event.context": nil}
		if !gjson.ValidBytes(e.Data) {
			return read{}, errors.New("read event data: it is not JSON")
		}
		vars["event.data"] = r.value(gjson.ParseBytes(e.Data))
		if len(e.Context) > 0 {
			if !gjson.ValidBytes(e.Context) {
				return read{}, errors.New("read event context: it is not JSON")
			}
			vars["event.context"] = r.value(gjson.ParseBytes(e.Context))
		}
		return read{vars, readUnits*r.values + uint64(len(e.Data)+len(e.Context))/readBytes}, nil
	})}
}

// variables returns the event's variables. cost is the cost of parsing for the first call and 0 for later ones.
func (in *Input) variables() (vars map[string]any, cost uint64, err error) {
	r, err := in.read()
	in.once.Do(func() { cost = r.cost })
	return r.vars, cost, err
}

// reader parses JSON and counts the values.
type reader struct {
	values uint64
	// digits says that numbers keep their notation.
	digits bool
}

// value converts valid JSON.
func (r *reader) value(of gjson.Result) any {
	r.values++
	switch {
	case of.Type == gjson.Number && r.digits:
		return kept(of.Raw)
	case of.Type == gjson.Number:
		return exact(of.Raw)
	case of.IsObject():
		members := map[string]any{}
		of.ForEach(func(name, value gjson.Result) bool {
			members[name.Str] = r.value(value)
			return true
		})
		return members
	case of.IsArray():
		items := []any{}
		of.ForEach(func(_, value gjson.Result) bool {
			items = append(items, r.value(value))
			return true
		})
		return items
	default:
		return of.Value()
	}
}
