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

// grace is how long programs may take to learn that a type rejects from now on.
const grace = time.Second

type typeKey struct{ tenant, name string }

// Check is how events of one type are checked. A nil *Check accepts everything.
type Check struct {
	onProblem webhook.SchemaCheck
	since     time.Time
	text      json.RawMessage
	schema    *Schema
}

// Problems returns the result of Schema.Check, or nil if c is nil.
func (c *Check) Problems(data json.RawMessage) error {
	if c == nil {
		return nil
	}
	return c.schema.Check(data)
}

// Rejects reports whether an event published at that time is rejected if it has problems. All programs that know the
// type decide alike, so no program records an event that another rejects.
func (c *Check) Rejects(publishedAt time.Time) bool {
	return c != nil && c.onProblem == webhook.SchemaReject && publishedAt.After(c.since.Add(grace))
}

// Mark records in the event how its data violates the schema. It returns false if the event is rejected because of
// that: the fan-out then rejects it, and no recorder records it.
func (c *Check) Mark(e *webhook.Event) bool {
	var invalid *webhook.ValidationError
	if !errors.As(c.Problems(e.Data), &invalid) {
		return true
	}
	e.SchemaProblems = invalid.Fields
	return !c.Rejects(e.PublishedAt)
}

// Checks holds the compiled schemas of the types whose events are checked. It is safe for concurrent use. Looking up
// a type that is not checked costs next to nothing.
type Checks struct {
	builtIn func(name string) json.RawMessage
	log     *zap.Logger
	types   atomic.Pointer[map[typeKey]*Check]
}

// NewChecks returns an empty set. builtIn returns the schema of a built-in type, or nil for other types.
func NewChecks(builtIn func(name string) json.RawMessage, log *zap.Logger) *Checks {
	return &Checks{builtIn: builtIn, log: log}
}

// Find returns the check of a tenant's event type, or nil if its events are not checked.
func (c *Checks) Find(tenant, eventType string) *Check {
	types := c.types.Load()
	if types == nil || len(*types) == 0 {
		return nil
	}
	return (*types)[typeKey{tenant, eventType}]
}

// ReplaceTypes replaces the set of checked types. A type whose schema does not compile, for example because it was
// written by hand to the database, is not checked. Calls must not overlap.
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
