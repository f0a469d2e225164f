package api

import "time"

// OutcomeCounts says how many deliveries are in which state.
type OutcomeCounts struct {
	Total       int      `json:"total"`
	Delivered   int      `json:"delivered"`
	Dead        int      `json:"dead"`
	Waiting     int      `json:"waiting"`
	Parked      int      `json:"parked"`
	Cancelled   int      `json:"cancelled"`
	Superseded  int      `json:"superseded" doc:"Not sent, since a newer event of the same entity was: neither a success nor a failure"`
	SuccessRate *float64 `json:"success_rate" doc:"Delivered of those that are delivered or dead, 0 to 1; null where there are none"`
}

// DurationStats is how long attempts took.
type DurationStats struct {
	Attempts int      `json:"attempts" doc:"How many attempts these are of: those of the newest 1,000 deliveries of the last 24 hours that were answered"`
	P50      *float64 `json:"p50" doc:"Seconds; null where there are none"`
	P99      *float64 `json:"p99" doc:"Seconds; null where there are none"`
}

// HookStats is how a hook fares.
type HookStats struct {
	Day          OutcomeCounts `json:"last_24_hours" doc:"Of the events published within the last 24 hours"`
	Month        OutcomeCounts `json:"last_30_days" doc:"Of the events published within the last 30 days"`
	Duration     DurationStats `json:"duration"`
	Parked       int           `json:"parked" doc:"Deliveries that wait for the hook now"`
	Waiting      int           `json:"waiting" doc:"Deliveries that wait for the time of their next attempt now"`
	FailingSince *time.Time    `json:"failing_since" doc:"Since when all attempts have failed; null where the last one did not"`
	Failures     int           `json:"failures" doc:"How many attempts have failed since"`
	Filter       FailureStats  `json:"filter_failures" doc:"Events that the filter could not be evaluated for, and that were not delivered because of that"`
	Transform    FailureStats  `json:"transform_failures" doc:"Events that the transform could not be evaluated for, whose deliveries are dead because of that"`
}

// FailureStats is how often a hook's filter, or its transform, could not be evaluated.
type FailureStats struct {
	Day       int        `json:"last_24_hours" doc:"How many, of the UTC days with one in the last 24 hours"`
	Month     int        `json:"last_30_days"`
	LastDate  *time.Time `json:"last_date" doc:"When the newest of them was looked at; null where there is none"`
	LastEvent string     `json:"last_event_id" doc:"Its id; empty where there is none"`
	LastError string     `json:"last_error" doc:"Why it could not be evaluated, and how to guard it; empty where there is none"`
}
