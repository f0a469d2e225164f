package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// grace is how long programs may take to learn of a type that is to reject from now on.
const grace = time.Second

type typeKey struct{ tenant, name string }

// Check is what is done with events of one type. A nil one does nothing.
type Check struct {
	onProblem webhook.SchemaCheck
	since     time.Time
	text      json.RawMessage
	schema    *Schema
}

// Problems returns what Schema.Check says; nil where c is nil.
func (c *Check) Problems(data json.RawMessage) error {
	if c == nil {
		return nil
	}
	return c.schema.Check(data)
}

// Rejects reports whether an event that was published then is no event if it has problems. It is the same for all
// programs that know of the type, so what one rejects, no other records.
func (c *Check) Rejects(publishedAt time.Time) bool {
	return c != nil && c.onProblem == webhook.SchemaReject && publishedAt.After(c.since.Add(grace))
}

// Mark writes into the event what its data has against the schema. It returns false for one that is no event because of that,
// which the fan-out rejects and nobody records.
func (c *Check) Mark(e *webhook.Event) bool {
	var invalid *webhook.ValidationError
	if !errors.As(c.Problems(e.Data), &invalid) {
		return true
	}
	e.SchemaProblems = invalid.Fields
	return !c.Rejects(e.PublishedAt)
}

// Checks holds the types whose events are checked, compiled. It is safe for concurrent use, and asking for a type that is
// not checked costs next to nothing.
type Checks struct {
	builtIn func(name string) json.RawMessage
	log     *zap.Logger
	types   atomic.Pointer[map[typeKey]*Check]
}

// NewChecks makes an empty set. builtIn returns the schema of a type that is known from the start, nil for others.
func NewChecks(builtIn func(name string) json.RawMessage, log *zap.Logger) *Checks {
	return &Checks{builtIn: builtIn, log: log}
}

// Find returns the check of a tenant's event type; nil where its events are not checked.
func (c *Checks) Find(tenant, eventType string) *Check {
	types := c.types.Load()
	if types == nil || len(*types) == 0 {
		return nil
	}
	return (*types)[typeKey{tenant, eventType}]
}

// ReplaceTypes takes all types that are checked. One whose schema cannot be compiled, as in a row that was written by
// hand, is not checked. It is not to be called twice at once.
func (c *Checks) ReplaceTypes(list []webhook.CheckedType) {
	before := c.types.Load()
	types := make(map[typeKey]*Check, len(list))
	for _, t := range list {
		key, text := typeKey{t.Tenant, t.Name}, t.Schema
		if text == nil {
			text = c.builtIn(t.Name)
		}
		if t.Check == webhook.SchemaOff || text == nil {
			continue
		}
		if before != nil {
			if old := (*before)[key]; old != nil && bytes.Equal(old.text, text) {
				types[key] = &Check{onProblem: t.Check, since: t.Since, text: text, schema: old.schema}
				continue
			}
		}
		compiled, err := Compile(text)
		if err != nil {
			c.log.Error("invalid schema: events of its type are not checked", zap.String("tenant", t.Tenant),
				zap.String("event_type", t.Name), zap.Error(err))
			continue
		}
		types[key] = &Check{onProblem: t.Check, since: t.Since, text: text, schema: compiled}
	}
	c.types.Store(&types)
}
