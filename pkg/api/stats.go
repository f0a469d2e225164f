package api

import "time"

// OutcomeCounts counts deliveries by state.
type OutcomeCounts struct {
	Total       int      `json:"total"`
	Delivered   int      `json:"delivered"`
	Dead        int      `json:"dead"`
	Waiting     int      `json:"waiting"`
	Parked      int      `json:"parked"`
	Cancelled   int      `json:"cancelled"`
	Superseded  int      `json:"superseded" doc:"Not sent because a newer event of the same entity was: neither a success nor a failure"`
	SuccessRate *float64 `json:"success_rate" doc:"Share of delivered among delivered and dead deliveries, 0 to 1; null if there are none"`
}

// DurationStats are statistics of the duration of attempts.
type DurationStats struct {
	Attempts int      `json:"attempts" doc:"Number of attempts: those with a response, among the newest 1,000 deliveries of the last 24 hours"`
	P50      *float64 `json:"p50" doc:"Seconds; null if there are none"`
	P99      *float64 `json:"p99" doc:"Seconds; null if there are none"`
}

// HookStats are statistics of a hook.
type HookStats struct {
	Day          OutcomeCounts `json:"last_24_hours" doc:"Of the events published within the last 24 hours"`
	Month        OutcomeCounts `json:"last_30_days" doc:"Of the events published within the last 30 days"`
	Duration     DurationStats `json:"duration"`
	Parked       int           `json:"parked" doc:"Deliveries that are parked for the hook"`
	Waiting      int           `json:"waiting" doc:"Deliveries that are waiting for their next attempt"`
	FailingSince *time.Time    `json:"failing_since" doc:"Since when all attempts have failed; null if the last one did not"`
	Failures     int           `json:"failures" doc:"Number of failed attempts since then"`
	Filter       FailureStats  `json:"filter_failures" doc:"Events that were not delivered because the filter could not be evaluated"`
	Transform    FailureStats  `json:"transform_failures" doc:"Events whose deliveries are dead because the transform could not be evaluated"`
}

// FailureStats counts how often a hook's filter, or its transform, could not be evaluated.
type FailureStats struct {
	Day       int        `json:"last_24_hours" doc:"Number of such events, on the UTC days that had one within the last 24 hours"`
	Month     int        `json:"last_30_days"`
	LastDate  *time.Time `json:"last_date" doc:"When the newest of them was evaluated; null if there is none"`
	LastEvent string     `json:"last_event_id" doc:"Its id; empty if there is none"`
	LastError string     `json:"last_error" doc:"Why it could not be evaluated, and how to guard against it; empty if there is none"`
}
