package webhook_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestAReceiverAllowsAnOriginOrAnyOrNone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		answer []string
		want   bool
	}{
		{nil, false},
		{[]string{""}, false},
		{[]string{"hooks.example.com"}, true},
		{[]string{" HOOKS.example.com "}, true},
		{[]string{"*"}, true},
		{[]string{"other.example.com", "hooks.example.com"}, true},
		{[]string{"hooks.example.com.evil.example"}, false},
		{[]string{"*.example.com"}, false},
		{[]string{"https://hooks.example.com"}, false},
	} {
		require.Equal(t, c.want, webhook.AllowedOrigin(c.answer, "hooks.example.com"), "%q", c.answer)
	}
}

func TestTheOriginOfAURLIsItsServer(t *testing.T) {
	t.Parallel()
	for target, want := range map[string]string{
		"https://A.example.com/x?y": "https://a.example.com", "http://a.example.com:8080": "http://a.example.com:8080", "https://[::1]:8443/a": "https://[::1]:8443",
		"": "", "nonsense": "", "://": "",
	} {
		require.Equal(t, want, webhook.OriginOf(target), target)
	}
	h := webhook.Hook{TargetURL: "https://a.example.com/x", Callback: &webhook.Callback{Subject: "whisperer.callback.default.a"}}
	require.Len(t, h.Destinations(), 1)
	h.Callback = &webhook.Callback{URL: "https://b.example.com/x"}
	require.Equal(t, webhook.Destination{Pointer: "/callback/url", URL: "https://b.example.com/x"}, h.Destinations()[1])
}
