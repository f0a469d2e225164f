package api

import "github.com/google/uuid"

// BulkCount is how many things were changed at once, or, where that was only counted, would be.
type BulkCount struct {
	Count int `json:"count"`
	// More says that there are more than are changed at once.
	More bool `json:"more" doc:"Whether there may be more than are changed by one request: if so, repeat it"`
}

// BulkReplay is what became of a replay of many hooks.
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
