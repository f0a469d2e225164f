package console

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestAnAttemptSaysWhatWentWrongOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status      int
		class       webhook.ErrorClass
		err         string
		answer, too string
	}{
		{503, webhook.ClassStatus, "the receiver answered 503 Service Unavailable", "503 Service Unavailable", ""},
		{200, webhook.ClassTimeout, "no end of the response within 15s", "200 OK: no end of the response within 15s", ""},
		{301, webhook.ClassRedirect, "to https://example.com/", "301 Moved Permanently", "to https://example.com/"},
		{0, webhook.ClassDNS, "there is no such host", "DNS name not found", "there is no such host"},
		{200, webhook.ClassNone, "", "200 OK", ""},
	} {
		view := newAttemptView(webhook.ShownAttempt{Attempt: webhook.Attempt{Status: c.status, Class: c.class, Error: c.err}})
		require.Equal(t, c.answer, view.Answer)
		require.Equal(t, c.too, view.Error, c.answer)
	}
}
