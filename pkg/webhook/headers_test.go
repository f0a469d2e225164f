package webhook_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestHeadersThatMayBeSent(t *testing.T) {
	t.Parallel()
	twenty := map[string]string{}
	for i := range 20 {
		twenty[fmt.Sprintf("X-%d", i)] = "v"
	}
	tests := map[string]map[string]string{
		"none":                          nil,
		"a name of one's own":           {"X-Channel": "12"},
		"an authorization":              {"Authorization": "Bearer abc"},
		"what firewalls ask for":        {"User-Agent": "shop/1.0", "Accept": "application/json"},
		"an empty value":                {"X-Empty": ""},
		"a value with a tab":            {"X-Tab": "a\tb"},
		"a value beyond ASCII":          {"X-Name": "Bücher"},
		"the longest name":              {strings.Repeat("n", 256): ""},
		"the longest value":             {"X-Long": strings.Repeat("v", 4096)},
		"all characters that names may": {"!#$%&'*+-.^_`|~09azAZ": "v"},
		"twenty":                        twenty,
		"a name that only begins alike": {"Hosts": "v", "Webhooks": "v", "X-Amzn": "v", "Dated": "v"},
	}
	for name, headers := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.NoError(t, webhook.ValidateHeaders(headers))
		})
	}
}

func TestHeadersThatMayNotBeSentArePointedAt(t *testing.T) {
	t.Parallel()
	many := map[string]string{}
	for i := range 21 {
		many[fmt.Sprintf("X-%d", i)] = "v"
	}
	tests := map[string]struct {
		headers map[string]string
		want    []string
	}{
		"a name with a space":           {map[string]string{"X Y": "v"}, []string{"/X Y"}},
		"a name with a colon":           {map[string]string{"X:Y": "v"}, []string{"/X:Y"}},
		"a name with CR":                {map[string]string{"X\r": "v"}, []string{"/X\r"}},
		"a name with LF":                {map[string]string{"X\nY": "v"}, []string{"/X\nY"}},
		"a name with NUL":               {map[string]string{"X\x00": "v"}, []string{"/X\x00"}},
		"a name beyond ASCII":           {map[string]string{"X-Ü": "v"}, []string{"/X-Ü"}},
		"a name with a slash":           {map[string]string{"X/Y~": "v"}, []string{"/X~1Y~0"}},
		"an empty name":                 {map[string]string{"": "v"}, []string{"/"}},
		"a name of 257 characters":      {map[string]string{strings.Repeat("n", 257): "v"}, []string{"/" + strings.Repeat("n", 257)}},
		"a value with CR":               {map[string]string{"X": "a\r\nHost: evil"}, []string{"/X"}},
		"a value with LF":               {map[string]string{"X": "a\nb"}, []string{"/X"}},
		"a value with NUL":              {map[string]string{"X": "a\x00"}, []string{"/X"}},
		"a value with DEL":              {map[string]string{"X": "a\x7f"}, []string{"/X"}},
		"a value over 4 KiB":            {map[string]string{"X": strings.Repeat("v", 4097)}, []string{"/X"}},
		"one name in two spellings":     {map[string]string{"X-A": "1", "x-a": "2"}, []string{"/x-a"}},
		"21 headers":                    {many, []string{""}},
		"more than 16 KiB in all":       {map[string]string{"A": big, "B": big, "C": big, "D": big}, []string{""}},
		"a connection that ends with a": {map[string]string{"Connection": "close, webhook-signature"}, []string{"/Connection"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, test.want, pointers(t, webhook.ValidateHeaders(test.headers)))
		})
	}
}

var big = strings.Repeat("v", 4096)

func TestReservedHeadersAreRefusedInEverySpelling(t *testing.T) {
	t.Parallel()
	reserved := strings.FieldsSeq(`Host Content-Length Transfer-Encoding TE Trailer Connection Keep-Alive Proxy-Authorization
		Proxy-Connection Upgrade Expect Content-Encoding Content-Type Accept-Encoding Cookie Date Via Forwarded
		X-Forwarded-For X-Forwarded-Host webhook-id webhook-timestamp webhook-signature svix-id Idempotency-Key
		X-Idempotency-Key X-Amz-Security-Token X-aws-ec2-metadata-token Metadata-Flavor Metadata
		X-Google-Metadata-Request traceparent tracestate X-Whisperer-Signature`)
	for name := range reserved {
		for _, spelling := range []string{
			name, strings.ToLower(name), strings.ToUpper(name), http.CanonicalHeaderKey(name), strings.ReplaceAll(name, "-", "_"),
		} {
			t.Run(spelling, func(t *testing.T) {
				t.Parallel()
				require.Equal(t, []string{"/" + spelling}, pointers(t, webhook.ValidateHeaders(map[string]string{spelling: "v"})))
			})
		}
	}
}

func FuzzValidateHeaders(f *testing.F) {
	f.Add("X-A", "v", "x-a", "w")
	f.Add("", "\x00", "Host", "\r\n")
	f.Add("X/~", "\xff", "content_type", strings.Repeat("v", 5000))
	f.Fuzz(func(t *testing.T, name, value, other, otherValue string) {
		err := webhook.ValidateHeaders(map[string]string{name: value, other: otherValue})
		if err != nil {
			require.NotEmpty(t, pointers(t, err))
			return
		}
		// what is accepted must be something that net/http sends
		for _, header := range [][2]string{{name, value}, {other, otherValue}} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://receiver.example/", nil)
			require.NoError(t, err)
			r.Header[header[0]] = []string{header[1]}
			require.NoError(t, r.Write(nopWriter{}))
		}
	})
}

type nopWriter struct{}

func (nopWriter) Write(b []byte) (int, error) { return len(b), nil }
