package api

import (
	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// HookChoice selects hooks to change. If there are no criteria, All must be set to select all of the tenant's hooks.
type HookChoice struct {
	// IDs selects hooks with one of these ids. nil does not restrict the selection; an empty list selects no hook.
	IDs       []uuid.UUID           `json:"ids,omitzero" doc:"Hooks with one of these ids, at most 1,000"`
	Labels    webhook.LabelSelector `json:"labels,omitempty" doc:"Hooks with all of these labels; an empty value is any"`
	EventType string                `json:"event_type,omitempty" doc:"Hooks that name this type or pattern"`
	TargetURL string                `json:"target_url,omitempty" doc:"Hooks with exactly this target URL"`
	Search    string                `json:"search,omitempty" doc:"As in the list of hooks"`
	Status    webhook.HookStatus    `json:"status,omitempty" doc:"active, paused or disabled"`
	All       bool                  `json:"all,omitempty" doc:"All hooks of the tenant; required if nothing else selects hooks"`
}

// BulkHooks is the body of a change of many hooks.
type BulkHooks struct {
	HookChoice

	DryRun bool `json:"dry_run,omitempty" doc:"Only count, and change nothing"`
}

// BulkReplayFields is the body of a replay of many hooks.
type BulkReplayFields struct {
	HookChoice
	ReplayFields
}

// BulkRetry is the body of a retry of many deliveries.
type BulkRetry struct {
	RetryChoice

	DryRun bool `json:"dry_run,omitempty" doc:"Only count, and change nothing"`
}

// BulkCount is how many objects were changed, or would be changed in a dry run.
type BulkCount struct {
	Count int `json:"count"`
	// More says that there are more objects than one request changes.
	More bool `json:"more" doc:"Whether there may be more than are changed by one request: if so, repeat it"`
}

// BulkReplay is the result of a replay of many hooks.
type BulkReplay struct {
	Total   int           `json:"total" doc:"Number of deliveries to send again, of all hooks"`
	Jobs    []Job         `json:"jobs" nullable:"false" doc:"One for each hook"`
	Refused []BulkRefusal `json:"refused" nullable:"false" doc:"Hooks without a job, with the reason"`
}

// BulkRefusal is a hook for which nothing was done.
type BulkRefusal struct {
	Hook   uuid.UUID `json:"hook"`
	Reason string    `json:"reason"`
}
