package api

import (
	"encoding/json"
	"time"

	"github.com/google/uuid"
)

// EraseFields say which payloads to erase. Exactly one of Events, Entity and Path is required, and Reason unless
// DryRun is set.
type EraseFields struct {
	// Events are ids, at most 1,000.
	Events []string `json:"events,omitempty" doc:"Events with these ids, 1 to 1,000. Exactly one of events, entity and path is required"`
	Entity string   `json:"entity,omitempty" doc:"Events of this entity, such as customer:61"`
	// Path is an SQL/JSON path that must find something in an event's data. It needs From, at most 31 days before To.
	Path string `json:"path,omitempty" doc:"Events in whose data this SQL/JSON path of PostgreSQL finds something, such as $.customer ? (@.email == \"jane@example.com\"); requires from"`
	// From and To bound the time of publication. A zero From means no lower bound, and a zero To means now.
	From time.Time `json:"from,omitzero" doc:"Events published at this time or later; required with a path, and then at most 31 days before to"`
	To   time.Time `json:"to,omitzero" doc:"Events published before this time; now if absent"`
	// DryRun only counts.
	DryRun bool   `json:"dry_run,omitempty" doc:"Only count, and change nothing"`
	Reason string `json:"reason,omitempty" doc:"The reason, for the audit log; required unless dry_run is set" maxLength:"500"`
}

// Erased says when a payload was erased, and by whom.
type Erased struct {
	At     time.Time `json:"at"`
	By     string    `json:"by" doc:"Who requested it: token and its id, the name of a program, or retention"`
	ByName string    `json:"by_name" doc:"The name of the token; empty for all others"`
}

// Erasure erases the payloads of events in the background.
type Erasure struct {
	ID            *uuid.UUID       `json:"id" format:"uuid" nullable:"true" doc:"Null if the request only counted"`
	State         JobState         `json:"state" enum:"running,completed,cancelled,failed,dry_run"`
	Detail        string           `json:"detail" doc:"What it is waiting for, or why it failed"`
	Events        []string         `json:"events,omitempty" doc:"The requested ids"`
	Entity        string           `json:"entity,omitempty" doc:"The requested entity"`
	Path          string           `json:"path,omitempty" doc:"The requested SQL/JSON path; after the erasure has ended, its SHA-256, because a path may contain what is to be erased"`
	From          time.Time        `json:"from"`
	To            time.Time        `json:"to"`
	Total         *int64           `json:"total" doc:"Number of events, as counted at the beginning; callbacks about their deliveries are erased in addition. Null if counting took too long"`
	Done          int64            `json:"done" doc:"Number of events erased so far"`
	Places        map[string]int64 `json:"places" nullable:"false" doc:"Number of rows and messages erased, by place"`
	Owner         string           `json:"owner" doc:"Who requested it: token and its id, or the name of a program"`
	OwnerName     string           `json:"owner_name" doc:"The name of the token; empty for a program"`
	Reason        string           `json:"reason"`
	Certificate   json.RawMessage  `json:"certificate" doc:"An object that says what was erased where, when and by whom; null until the erasure is completed"`
	CreatedDate   *time.Time       `json:"created_date"`
	ModifiedDate  *time.Time       `json:"modified_date"`
	CompletedDate *time.Time       `json:"completed_date"`
}

// Size returns the number of events, or 0 if it is unknown.
func (e *Erasure) Size() int {
	if e.Total == nil {
		return 0
	}
	return int(*e.Total)
}

// Retention says how long a tenant keeps payloads, if that is shorter than the installation's default.
type Retention struct {
	Results []RetentionPolicy `json:"results" nullable:"false"`
}

// RetentionPolicy is the retention of an event type, or of the types that a pattern matches.
type RetentionPolicy struct {
	EventType   string    `json:"event_type"`
	Days        int       `json:"days"`
	CreatedDate time.Time `json:"created_date"`
}

// RetentionFields set a policy.
type RetentionFields struct {
	EventType string `json:"event_type" doc:"An event type, or a pattern such as order.>"`
	// Days is nil for the installation's default.
	Days *int `json:"days" doc:"Number of days for which payloads are kept after publication, 1 to 3,650; null for as long as all others"`
}
