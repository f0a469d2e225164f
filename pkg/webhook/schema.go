package webhook

import (
	"encoding/json"
	"time"
)

// SchemaCheck is what is done with an event whose data does not fit the JSON Schema of its type.
type SchemaCheck string

// The checks. Warn loses nothing: the event goes on and is marked.
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
	// Name is the type, in dotted spelling.
	Name  string
	Check SchemaCheck
	// Since is when the check became what it is.
	Since time.Time
	// Schema is the JSON Schema that the tenant declared; nil for that of a built-in type.
	Schema json.RawMessage
}
