package catalogue

// Operational returns the types of the events that Whisperer publishes about itself. Hooks subscribe to them by name
// or by a pattern such as hook.*; a pattern that matches everything leaves them out.
func Operational() []Type {
	return []Type{
		{Name: "hook.failing", Description: "All attempts at a hook have failed for 50, 70 or 90 percent of the time after which it is disabled."},
		{Name: "hook.disabled", Description: "A hook was disabled: its receiver answered 410 Gone, or all attempts failed for too long."},
		{Name: "hook.recovered", Description: "A hook that was reported as failing has had a success."},
		{Name: "hook.filter_failing", Description: "A hook's filter could not be evaluated for an event, so the event was not delivered to it; published once a day and hook."},
		{Name: "hook.transform_failing", Description: "A hook's transform could not be evaluated for an event, so its delivery is dead; published once a day and hook."},
		{Name: "hook.manifest", Description: "What was sent to a hook for a day's events: counts, digest and the manifest's address; published once a day and hook."},
		{Name: "delivery.dead", Description: "A delivery will not be retried automatically."},
	}
}
