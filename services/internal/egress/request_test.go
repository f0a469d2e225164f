package egress_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
)

// recorder is a receiver that passes on the exact bytes of each request.
func recorder(t *testing.T, address string) (*receiver, <-chan string) {
	came := make(chan string, 1)
	return listenOn(t, address, func(_ *receiver, conn net.Conn) {
		var raw bytes.Buffer
		br := bufio.NewReader(io.TeeReader(conn, &raw))
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			_, _ = io.Copy(io.Discard, req.Body)
			came <- raw.String()
			raw.Reset()
			_, _ = io.WriteString(conn, empty200)
		}
	}), came
}

func TestRequestsAreWrittenAsNetHTTPWritesThem(t *testing.T) {
	t.Parallel()
	policy, err := egress.ParsePolicy("127.0.0.0/8,::1/128", "")
	require.NoError(t, err)
	client := egress.NewClient(egress.Options{Policy: policy, Version: "1.2.3", Resolver: answers("127.0.0.1")})
	t.Cleanup(client.Close)
	servers := map[string]*receiver{}
	came := map[string]<-chan string{}
	for _, address := range []string{"127.0.0.1:0", "[::1]:0"} {
		servers[address], came[address] = recorder(t, address)
	}
	many := http.Header{
		"X-Two": {"b", "a"}, "Webhook-Id": {" padded\t"}, "X-Empty": {""}, "X-None": {}, "lower-case": {"kept"}, "Accept": {"*/*"},
		"Content-Length": {"99"}, "Host": {"other.example.com"}, "User-Agent": {"me"},
	}
	for name, c := range map[string]struct {
		method, host, path string
		header             http.Header
		body               string
	}{
		"a POST":                       {"POST", "127.0.0.1", "/hook", nil, "{}"},
		"a POST without a body":        {"POST", "127.0.0.1", "/hook", nil, ""},
		"a PUT without a body":         {"PUT", "127.0.0.1", "/hook", nil, ""},
		"a PATCH without a body":       {"PATCH", "127.0.0.1", "/hook", nil, ""},
		"a GET":                        {"GET", "127.0.0.1", "/hook", nil, ""},
		"a GET with a body":            {"GET", "127.0.0.1", "/hook", nil, "{}"},
		"a path with escapes, a query": {"POST", "127.0.0.1", "/a%2Fb/ü;c=d?e=f&g=%20h?", nil, "{}"},
		"no path":                      {"POST", "127.0.0.1", "", nil, "{}"},
		"only a query":                 {"POST", "127.0.0.1", "?a=b", nil, "{}"},
		"two slashes":                  {"POST", "127.0.0.1", "//a//b", nil, "{}"},
		"an IPv6 address":              {"POST", "[0:0::1]", "/hook", nil, "{}"},
		"a name":                       {"POST", "Hooks.Example.COM", "/hook", nil, "{}"},
		"a name in another script":     {"POST", "bücher.example.com", "/hook", nil, "{}"},
		"many headers":                 {"POST", "127.0.0.1", "/hook", many, "{}"},
		"no User-Agent":                {"POST", "127.0.0.1", "/hook", http.Header{"User-Agent": {""}}, "{}"},
		"a larger body":                {"POST", "127.0.0.1", "/hook", nil, strings.Repeat("x", 100<<10)},
	} {
		t.Run(name, func(t *testing.T) {
			address := "127.0.0.1:0"
			if strings.HasPrefix(c.host, "[") {
				address = "[::1]:0"
			}
			url := "http://" + c.host + ":" + portOf(servers[address]) + c.path
			target, err := client.Prepare(url)
			require.NoError(t, err)
			want, err := http.NewRequestWithContext(t.Context(), c.method, target.URL(), strings.NewReader(c.body))
			require.NoError(t, err)
			if want.Header = c.header.Clone(); want.Header == nil {
				want.Header = http.Header{}
			}
			if _, ok := want.Header["User-Agent"]; !ok {
				want.Header["User-Agent"] = []string{"Whisperer/1.2.3"}
			}
			var text bytes.Buffer
			require.NoError(t, want.Write(&text))
			for range 2 {
				got := client.Do(t.Context(), egress.Request{Method: c.method, Target: target, Header: egress.HeaderOf(c.header), Body: []byte(c.body)})
				require.True(t, got.Success(), "%v", got.Err)
				require.Equal(t, text.String(), <-came[address])
			}
		})
	}
}

func TestHeadersCannotBreakOutOfTheirLines(t *testing.T) {
	t.Parallel()
	server := listen(t, answering(empty200))
	client := newClient(t, egress.Options{})
	for _, header := range []http.Header{
		{"X": {"a\r\nEvil: b"}},
		{"X": {"a\nEvil: b"}},
		{"X": {"a\rEvil: b"}},
		{"X": {"a\x00b"}},
		{"X": {"a", "b\x7f"}},
		{"": {"a"}},
		{"X:": {"a"}},
		{"X\r\nEvil": {"a"}},
		{"X Y": {"a"}},
		{"Ü": {"a"}},
		{"X\x00": {"a"}},
		{"host": {"evil.example.com"}},
		{"HOST": {"evil.example.com"}},
		{"content-length": {"0"}},
		{"transfer-encoding": {"chunked"}},
		{"Connection": {"close"}},
		{"connection": {"X-Signature"}},
		{"TE": {"trailers"}},
		{"trailer": {"X"}},
	} {
		got := do(t, client, server.url(), egress.Request{Header: egress.HeaderOf(header), Body: []byte("{}")})
		require.Equal(t, webhook.ClassRequest, got.Class, "%q", header)
		require.Error(t, got.Err)
	}
	require.Zero(t, server.connections.Load())
}
