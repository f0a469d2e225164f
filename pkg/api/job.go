package api

import (
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// JobState is the state of a job.
type JobState string

// The states of a job. Running and paused jobs can continue; the others have ended.
const (
	JobRunning   JobState = "running"
	JobPaused    JobState = "paused"
	JobCompleted JobState = "completed"
	JobCancelled JobState = "cancelled"
	JobFailed    JobState = "failed"
	// JobDryRun is the state of a job that only counted.
	JobDryRun JobState = "dry_run"
)

// Ended reports whether the job has ended.
func (s JobState) Ended() bool { return s != JobRunning && s != JobPaused }

// ReplayFields say what to send again. From is required, and Reason unless DryRun is set.
type ReplayFields struct {
	// From and To bound the time of publication. A zero To means a minute ago.
	From time.Time `json:"from" doc:"Events published at this time or later"`
	To   time.Time `json:"to,omitzero" doc:"Events published before this time; at most, and by default, a minute ago"`
	// EventTypes are types and patterns; an empty list means all.
	EventTypes []string `json:"event_types,omitempty" doc:"Types and patterns; all if absent"`
	// States are any of dead, delivered, waiting, parked; an empty list means dead.
	States []webhook.DeliveryState `json:"states,omitempty" doc:"Any of dead, delivered, waiting, parked; dead if absent"`
	// IncludeMissing also includes events that the hook matches now but that caused no delivery.
	IncludeMissing bool `json:"include_missing,omitempty" doc:"Also events that the hook matches now but that caused no delivery, because they are older than the hook, or were published while it was disabled"`
	// DryRun only counts.
	DryRun bool `json:"dry_run,omitempty" doc:"Only count, and change nothing"`
	// Rate is in deliveries per second; 0 means the API's default.
	Rate   int    `json:"rate,omitempty" doc:"Deliveries per second, 1 to 10,000; 100 if absent. The hook's own limits also apply"`
	Reason string `json:"reason,omitempty" doc:"The reason, for the audit log; required unless dry_run is set" maxLength:"500"`
}

// Job replays deliveries of a hook in the background.
type Job struct {
	ID             *uuid.UUID              `json:"id" format:"uuid" nullable:"true" doc:"Null if the request only counted"`
	Hook           uuid.UUID               `json:"hook" format:"uuid"`
	State          JobState                `json:"state" enum:"running,paused,completed,cancelled,failed,dry_run"`
	Detail         string                  `json:"detail" doc:"Why it is paused or failed, unless a person did it"`
	Total          *int                    `json:"total" doc:"Number of deliveries, as counted at the beginning; the hook's filter may exclude some of the missing ones. Briefly null if a new hook's start_from started the job"`
	Done           int                     `json:"done" doc:"Number of deliveries handed to the hook so far"`
	Owner          string                  `json:"owner" doc:"Who requested it: token and its id, or the name of a program"`
	OwnerName      string                  `json:"owner_name" doc:"The name of the token; empty for a program"`
	Reason         string                  `json:"reason"`
	Rate           int                     `json:"rate" doc:"Deliveries a second"`
	From           time.Time               `json:"from"`
	To             time.Time               `json:"to"`
	EventTypes     []string                `json:"event_types" nullable:"false" doc:"Empty for all"`
	States         []webhook.DeliveryState `json:"states" nullable:"false"`
	IncludeMissing bool                    `json:"include_missing"`
	CreatedDate    *time.Time              `json:"created_date"`
	ModifiedDate   *time.Time              `json:"modified_date"`
}

// Size returns the number of deliveries, or 0 while it is unknown.
func (j *Job) Size() int {
	if j.Total == nil {
		return 0
	}
	return *j.Total
}

// Recovery says what a hook missed while it was last disabled.
type Recovery struct {
	DisabledFrom *time.Time      `json:"disabled_from" doc:"When the hook was last disabled; null if never"`
	DisabledTo   *time.Time      `json:"disabled_to" doc:"When it was enabled again; null while it is disabled"`
	Missed       int             `json:"missed" doc:"Number of deliveries that it missed and has not got since: failed or cancelled ones, and events that caused none"`
	CompleteFrom *time.Time      `json:"complete_from" doc:"The start of a replay that includes all of them; null while the hook is disabled"`
	Replay       *RecoveryReplay `json:"replay,omitzero" doc:"The body of POST replay/ that recovers them, without the reason; absent if nothing was missed"`
}

// RecoveryReplay is the replay that recovers what was missed.
type RecoveryReplay struct {
	From           time.Time               `json:"from"`
	To             time.Time               `json:"to"`
	States         []webhook.DeliveryState `json:"states" nullable:"false"`
	IncludeMissing bool                    `json:"include_missing"`
}
