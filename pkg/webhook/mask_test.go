package webhook_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestMaskHidesSecretParametersAndTheirEchoes(t *testing.T) {
	t.Parallel()
	mask := webhook.ParseMask("key, token,SECRET")
	for target, want := range map[string]string{
		"https://example.com/in?a=b":                        "https://example.com/in?a=b",
		"https://example.com/in?api_key=s3cret&a=b":         "https://example.com/in?api_key=***&a=b",
		"https://example.com/in?a=1&X-Token=a%2Fb#x":        "https://example.com/in?a=1&X-Token=***#x",
		"https://example.com/in?%6Bey=s3cret&client_secret": "https://example.com/in?%6Bey=***&client_secret",
		"https://example.com/in":                            "https://example.com/in",
	} {
		require.Equal(t, want, mask.URL(target))
	}
	a := mask.Attempt(webhook.Attempt{
		URL: "https://example.com/in?token=a%2Fb%2Fc", ResponseBody: []byte(`{"token":"a/b/c","sent":"a%2Fb%2Fc"}`), Error: "no a/b/c here",
		ResponseHeaders: []webhook.Header{{Name: "Location", Value: "/in?token=a%2Fb%2Fc"}},
	})
	require.JSONEq(t, `{"token":"***","sent":"***"}`, string(a.ResponseBody))
	require.Equal(t, "no *** here", a.Error)
	require.Equal(t, "/in?token=***", a.ResponseHeaders[0].Value)
	require.Equal(t, "https://example.com/in?token=x", webhook.Mask(nil).URL("https://example.com/in?token=x"))
}
