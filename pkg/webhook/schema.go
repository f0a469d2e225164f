package webhook

import (
	"encoding/json"
	"time"
)

// SchemaCheck says what happens to an event whose data does not match the JSON Schema of its type.
type SchemaCheck string

// The checks. SchemaWarn loses nothing: the event is marked and processed as usual.
const (
	SchemaOff    SchemaCheck = "off"
	SchemaWarn   SchemaCheck = "warn"
	SchemaReject SchemaCheck = "reject"
)

// SchemaChecks lists all checks.
func SchemaChecks() []SchemaCheck { return []SchemaCheck{SchemaOff, SchemaWarn, SchemaReject} }

// CheckedType is an event type of a tenant whose events are checked on publication.
type CheckedType struct {
	Tenant string
	// Name is the type in dotted spelling.
	Name  string
	Check SchemaCheck
	// Since is when the check got its current value.
	Since time.Time
	// Schema is the JSON Schema that the tenant declared; nil for the schema of a built-in type.
	Schema json.RawMessage
}
