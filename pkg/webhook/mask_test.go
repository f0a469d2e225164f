package webhook_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestMaskHidesSecretParametersAndTheirEchoes(t *testing.T) {
	t.Parallel()
	mask := webhook.ParseMask("key, token,SECRET, größe,a b")
	for target, want := range map[string]string{
		"https://example.com/in?a=b":                              "https://example.com/in?a=b",
		"https://example.com/in?api_key=s3cret&a=b":               "https://example.com/in?api_key=***&a=b",
		"https://example.com/in?a=1&X-Token=a%2Fb#x":              "https://example.com/in?a=1&X-Token=***#x",
		"https://example.com/in?%6Bey=s3cret&client_secret":       "https://example.com/in?%6Bey=***&client_secret",
		"https://example.com/in?%4be%79=s3cret&key=&key=x":        "https://example.com/in?%4be%79=***&key=&key=***",
		"https://example.com/in?a=1;key=s3cret":                   "https://example.com/in?a=1;key=***",
		"https://example.com/in?token=a;b=c?d=e=f&g":              "https://example.com/in?token=***&g",
		"https://example.com/in?a?key=s3cret":                     "https://example.com/in?a?key=***",
		"https://example.com/in?to=https://other/?key=s3cret&c=d": "https://example.com/in?to=https://other/?key=***&c=d",
		"https://example.com/in?GR%C3%96%C3%9Fe=1&a+b=2&a%20b=3":  "https://example.com/in?GR%C3%96%C3%9Fe=***&a+b=***&a%20b=***",
		"https://example.com/key=s3cret":                          "https://example.com/key=s3cret",
		"HTTPS://user:pass@example.com/in?a=b@c":                  "HTTPS://***@example.com/in?a=b@c",
		"https://example.com/@in?a=b":                             "https://example.com/@in?a=b",
		"https://example.com/in":                                  "https://example.com/in",
	} {
		require.Equal(t, want, mask.URL(target))
		require.Equal(t, want, mask.URL(want), "twice is once")
	}
	require.Equal(t, "https://example.com/in?token=x", webhook.Mask{}.URL("https://example.com/in?token=x"))
	require.Equal(t, webhook.Mask{}, webhook.ParseMask(" , "))

	a := mask.Attempt(webhook.Attempt{
		URL: "https://example.com/in?token=a%2Fb%2Fc", ResponseBody: []byte(`{"token":"a/b/c","sent":"a%2Fb%2Fc"}`), Error: "no a/b/c here",
		ResponseHeaders: []webhook.Header{{Name: "Location", Value: "/in?token=a%2Fb%2Fc"}},
	})
	require.JSONEq(t, `{"token":"***","sent":"***"}`, string(a.Body.Bytes))
	require.Equal(t, "no *** here", a.Error)
	require.Equal(t, "/in?token=***", a.ResponseHeaders[0].Value)
	require.Empty(t, a.ResponseBody)
}

func TestMaskFindsWhatIsRepeatedInOtherWays(t *testing.T) {
	t.Parallel()
	const url = "https://example.com/in?key=pa%24s%26%3Cw+ord%2F%22x%22"
	mask := webhook.ParseMask("key")
	gzip := []webhook.Header{{Name: "Content-Encoding", Value: "gzip"}}
	for name, c := range map[string]struct {
		body    []byte
		headers []webhook.Header
		cut     bool
		want    string
	}{
		"as it is meant":           {[]byte(`pa$s&<w ord/"x"!`), nil, false, "***!"},
		"HTML":                     {[]byte(`pa$s&amp;&lt;w ord/&#34;x&#34;!`), nil, false, "***!"},
		"JSON":                     {[]byte(`{"k":"pa$s&<w ord/\"x\""}`), nil, false, `{"k":"***"}`},
		"JSON, escaped for HTML":   {[]byte(`{"k":"pa$s\u0026\u003cw ord/\"x\""}`), nil, false, `{"k":"***"}`},
		"JSON as PHP writes it":    {[]byte(`{"k":"pa$s&<w ord\/\"x\""}`), nil, false, `{"k":"***"}`},
		"percent-encoded":          {[]byte(`/in?key=pa$s&%3Cw%20ord%2F%22x%22`), nil, false, `/in?key=***`},
		"compressed":               {encoded(t, "gzip", []byte(`!pa$s&<w ord/"x"`)), gzip, false, "!***"},
		"compressed, cut off":      {encoded(t, "gzip", []byte(`!pa$s&<w`)), gzip, true, "!"},
		"cut off":                  {[]byte(`<html>pa$s&<w o`), nil, true, "<html>"},
		"in a coding of its own":   {[]byte(`pa$s&<w ord/"x"`), []webhook.Header{{Name: "Content-Encoding", Value: "br"}}, false, ""},
		"not in the coding it has": {[]byte(`pa$s&<w ord/"x"`), gzip, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := mask.Attempt(webhook.Attempt{URL: url, ResponseBody: c.body, ResponseHeaders: c.headers, Truncated: c.cut})
			require.Equal(t, c.want, string(a.Body.Bytes))
			require.Equal(t, c.cut || c.want == "", a.Body.Truncated)
		})
	}
	both := mask.Attempt(webhook.Attempt{URL: "https://user:password@example.com/", ResponseBody: []byte("user:password of user, password")})
	require.Equal(t, "*** of ***, ***", string(both.Body.Bytes))
}

func TestMaskHidesWhatIsSecretInEachURLOfAHook(t *testing.T) {
	t.Parallel()
	h := webhook.Hook{
		TargetURL: "https://example.com/?key=canary", Callback: &webhook.Callback{URL: "https://example.com/?key=canary"},
		Config: webhook.Config{Auth: &webhook.Auth{URL: "https://example.com/?key=canary", TokenURL: "https://example.com/?key=canary"}},
	}
	masked := webhook.ParseMask("key").Hook(h)
	for _, url := range []string{masked.TargetURL, masked.Callback.URL, masked.Config.Auth.URL, masked.Config.Auth.TokenURL} {
		require.Equal(t, "https://example.com/?key=***", url)
	}
	require.True(t, strings.HasSuffix(h.Callback.URL, "canary") && strings.HasSuffix(h.Config.Auth.URL, "canary"), "the hook itself stays")
}

// FuzzMask checks that an answer which repeats a URL does not reveal its masked values.
func FuzzMask(f *testing.F) {
	f.Add("https://example.com/?key=", "s3cret", "<p>", false)
	f.Add("https://user:pass@example.com/?a=b&key=", "a+b%2F%", "\x1f\x8b", true)
	f.Add("?key=x&key=", "%%", "", true)
	f.Add("A://&key=", "@", "0", false)
	mask := webhook.ParseMask("key,pass word")
	f.Fuzz(func(t *testing.T, prefix, secret, around string, cut bool) {
		if strings.ContainsAny(secret, "&#") || !strings.HasSuffix(prefix, "key=") || !strings.ContainsRune("?&;#", rune(prefix[max(0, len(prefix)-5)])) {
			return
		}
		masked := mask.URL(prefix + secret)
		require.Equal(t, masked, mask.URL(masked))
		if hasLogin(prefix+secret) && !hasLogin(prefix) {
			require.Contains(t, masked, "//***@", "key= is part of the login")
			return
		}
		if secret != "" {
			require.True(t, strings.HasSuffix(masked, "key=***"), masked)
		}
		a := mask.Attempt(webhook.Attempt{URL: prefix + secret, ResponseBody: []byte(around + secret + around), Error: secret, Truncated: cut})
		if len(secret) >= 4 && !strings.Contains("***", secret) {
			require.NotContains(t, a.Error, secret)
			require.NotContains(t, strings.ReplaceAll(string(a.Body.Bytes), "***", "\x00"), secret)
		}
	})
}

// hasLogin reports whether the URL has a user before the host.
func hasLogin(url string) bool {
	scheme, rest, found := strings.Cut(url, "//")
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		rest = rest[:end]
	}
	return found && !strings.ContainsAny(scheme, "/?#") && strings.Contains(rest, "@")
}
