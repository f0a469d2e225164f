package filter

import "github.com/whisperer-oms/whisperer/pkg/webhook"

// Why an event does not get to a hook, in one fixed word.
const (
	NotCreatedYet   = "created_later"
	NotOfTypes      = "event_type"
	NotInConfig     = "config_filter"
	NotReadable     = "filter_invalid"
	NotEvaluable    = "filter_failed"
	NotPassed       = "filter"
	NotWhileItIsOff = "hook_disabled"
)

// WhyNot says in a word and in a sentence what keeps the event from the hook as it is now; nothing where nothing does.
func WhyNot(h *webhook.Hook, e *webhook.Event) (reason, detail string) {
	switch {
	case h.CreatedAt.After(e.PublishedAt):
		return NotCreatedYet, "The hook was created after the event was published."
	case !h.WantsType(e.Type):
		return NotOfTypes, "None of the hook's event types covers " + e.Type + "."
	case !h.Config.Contains(e.ConfigFilter):
		return NotInConfig, "The event is for hooks whose config contains its config_filter, and this one's does not."
	}
	if reason, detail = filteredOut(h, e); reason != "" {
		return reason, detail
	}
	if h.Status == webhook.Disabled {
		return NotWhileItIsOff, "The hook is disabled: " + h.DisabledReason
	}
	return "", ""
}

func filteredOut(h *webhook.Hook, e *webhook.Event) (reason, detail string) {
	if h.Config.Filter == "" {
		return "", ""
	}
	f, err := Compile(h.Config.Filter)
	if err != nil {
		return NotReadable, "The hook's filter cannot be read: " + err.Error()
	}
	matched, err := f.Match(NewInput(e))
	switch {
	case err != nil:
		return NotEvaluable, "The hook's filter could not be evaluated for the event: " + err.Error()
	case !matched:
		return NotPassed, "The hook's filter does not let the event pass."
	default:
		return "", ""
	}
}
