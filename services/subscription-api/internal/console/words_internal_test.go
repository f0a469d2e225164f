package console

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPagesCallAHookAWebhook(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"None of the hook's event types covers order.created.":                                     "None of the webhook's event types covers order.created.",
		"The event is for hooks whose config contains its config_filter, and this one's does not.": "The event is for webhooks whose config contains its config_filter, and this one's does not.",
		"The hook's filter is false; event.data.hook is 1":                                         "The webhook's filter is false; event.data.hook is 1",
		"From when a new hook gets events: a time, or a duration before its creation, such as P7D": "From when a new webhook gets events: a time, or a duration before its creation, such as P7D",
		"A CEL expression over the event and hook.config whose value is sent as data":              "A CEL expression over the event and hook.config whose value is sent as data",
	} {
		require.Equal(t, want, inWords(text))
	}
}
