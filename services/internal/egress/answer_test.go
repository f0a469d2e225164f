package egress_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
)

func TestTheStatusDecidesWhateverTheBodyDoes(t *testing.T) {
	t.Parallel()
	for name, handle := range map[string]func(*receiver, net.Conn){
		"reset amid the body": func(r *receiver, conn net.Conn) {
			r.readRequest(bufio.NewReader(conn))
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart")
			// A reset would discard data that was written before; once the other side answers this, it has read that
			// data.
			_ = conn.(*net.TCPConn).CloseWrite()
		},
		"breaks off its chunks": once("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n"),
		"sends a broken chunk":  once("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\nzz\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := do(t, newClient(t, egress.Options{}), listen(t, handle).url(), egress.Request{Timeout: 20 * time.Second})
			require.True(t, got.Success(), "%v", got.Err)
			require.True(t, got.Truncated)
			require.True(t, strings.HasPrefix(string(got.Body), "part"), "%q", got.Body)
			require.Less(t, got.Duration, 10*time.Second, "the rest is not waited for")
		})
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	canary := listen(t, answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, location := range []string{canary.url(), "/again", "http://169.254.169.254/"} {
			server := listen(t, answering(fmt.Sprintf(
				"HTTP/1.1 %d Moved\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", status, location)))
			got := post(t, newClient(t, egress.Options{}), server.url())
			require.Equal(t, webhook.ClassRedirect, got.Class)
			require.Equal(t, status, got.Status)
			require.Equal(t, location, got.Header.Get("Location"))
			require.ErrorContains(t, got.Err, "redirects are not followed")
			require.Equal(t, int64(1), server.requests.Load())
		}
	}
	require.Zero(t, canary.connections.Load())
}

func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	zip := gzip.NewWriter(&zipped)
	_, err := zip.Write(make([]byte, 64<<20))
	require.NoError(t, err)
	require.NoError(t, zip.Close())
	gzipBomb := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", zipped.Len(), zipped.String())
	slightly := strings.Repeat("x", egress.MaxBody+100)
	for name, c := range map[string]struct {
		handle    func(*receiver, net.Conn)
		length    int
		truncated bool
		reused    bool
	}{
		"no body":                {answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), 0, false, true},
		"just as much as kept":   {answering(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", egress.MaxBody, slightly[:egress.MaxBody])), egress.MaxBody, false, true},
		"a little more":          {answering(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(slightly), slightly)), egress.MaxBody, true, true},
		"chunks":                 {answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n0\r\n\r\n"), 4, false, true},
		"until the end":          {once("HTTP/1.1 200 OK\r\n\r\nall of it"), 9, false, false},
		"a gzip bomb":            {answering(gzipBomb), egress.MaxBody, true, false},
		"a body without end":     {flood("HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("x", 1<<16)), egress.MaxBody, true, false},
		"chunks without end":     {flood("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "10\r\n0123456789abcdef\r\n"), egress.MaxBody, true, false},
		"10 GB by declaration":   {flood("HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n", strings.Repeat("x", 1<<16)), egress.MaxBody, true, false},
		"204 with a stray body":  {answering("HTTP/1.1 204 No Content\r\n\r\nstray"), 0, false, false},
		"200 with a stray body":  {answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 Bleed\r\n\r\n"), 2, false, false},
		"a close after the body": {answering("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"), 2, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, client := listen(t, c.handle), newClient(t, egress.Options{})
			for range 2 {
				// The client may see stray bytes only when it has sent the next request. Then that request fails, but
				// must not get the stray bytes as its answer.
				got := post(t, client, server.url())
				if got.Class == webhook.ClassReset || got.Class == webhook.ClassProtocol {
					require.Contains(t, name, "stray")
					continue
				}
				require.True(t, got.Success(), "%v", got.Err)
				require.Len(t, got.Body, c.length)
				require.Equal(t, c.truncated, got.Truncated)
			}
			if c.reused {
				require.Equal(t, int64(1), server.connections.Load(), "the connection is used again")
			}
		})
	}
}

func TestHeadersAreBoundedAndClean(t *testing.T) {
	t.Parallel()
	many := ""
	for i := range 200 {
		many += fmt.Sprintf("X-%03d: %s\r\n", i, strings.Repeat("v", 100))
	}
	got := post(t, newClient(t, egress.Options{}), listen(t, answering("HTTP/1.1 200 OK\r\n"+many+"Content-Length: 0\r\n\r\n")).url())
	require.True(t, got.Success())
	require.True(t, got.Truncated)
	size := 0
	for name, values := range got.Header {
		size += len(name) + len(values[0])
	}
	require.LessOrEqual(t, size, egress.MaxHeader)
	require.Greater(t, size, egress.MaxHeader-200)

	got = post(t, newClient(t, egress.Options{}), listen(t, answering("HTTP/1.1 200 OK\r\nX-Odd: a\xffb\r\nContent-Length: 0\r\n\r\n")).url())
	require.True(t, got.Success())
	require.False(t, got.Truncated)
	require.Equal(t, "a\uFFFDb", got.Header.Get("X-Odd"))
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	date := func(in time.Duration) string { return time.Now().Add(in).UTC().Format(http.TimeFormat) }
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		values []string
		want   time.Duration
		has    bool
	}{
		"none":                         {nil, 0, false},
		"seconds":                      {[]string{"5"}, 5 * time.Second, true},
		"zero":                         {[]string{"0"}, 0, true},
		"leading zeros":                {[]string{"0007"}, 7 * time.Second, true},
		"more than a day":              {[]string{"1000000000"}, day, true},
		"more than any integer":        {[]string{strings.Repeat("9", 40)}, day, true},
		"negative":                     {[]string{"-1"}, 0, false},
		"a sign":                       {[]string{"+5"}, 0, false},
		"a fraction":                   {[]string{"1.5"}, 0, false},
		"an exponent":                  {[]string{"1e9"}, 0, false},
		"junk":                         {[]string{"abc"}, 0, false},
		"empty":                        {[]string{""}, 0, false},
		"a date":                       {[]string{date(time.Hour)}, time.Hour, true},
		"a date in the past":           {[]string{date(-time.Hour)}, 0, false},
		"a date in years":              {[]string{date(10 * 365 * day)}, day, true},
		"an RFC 850 date":              {[]string{time.Now().Add(time.Hour).UTC().Format("Monday, 02-Jan-06 15:04:05 GMT")}, time.Hour, true},
		"the first that means a thing": {[]string{"soon", date(-time.Hour), "30", "60"}, 30 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) { // not parallel: the dates are relative to now
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Retry-After"] = c.values
				w.WriteHeader(http.StatusTooManyRequests)
			}))
			defer server.Close()
			got := post(t, newClient(t, egress.Options{}), server.URL)
			require.Equal(t, c.has, got.HasRetryAfter)
			require.InDelta(t, c.want.Seconds(), got.RetryAfter.Seconds(), c.want.Seconds()/50)
			require.Equal(t, webhook.ClassStatus, got.Class)
		})
	}
}

// flood reads a request, writes all texts once, and then repeats the last one until the other side closes.
func flood(texts ...string) func(*receiver, net.Conn) {
	return func(r *receiver, conn net.Conn) {
		r.readRequest(bufio.NewReader(conn))
		_, err := io.WriteString(conn, texts[0])
		for err == nil {
			_, err = io.WriteString(conn, texts[len(texts)-1])
		}
	}
}
