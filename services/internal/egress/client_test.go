package egress_test

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/egress"
)

func TestASuccessKeepsWhatTheReceiverSaid(t *testing.T) {
	t.Parallel()
	var got *http.Request
	var body []byte
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		body, _ = io.ReadAll(r.Body)
		w.Header().Set("X-Answer", "yes")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "thanks")
	}))
	defer server.Close()
	c := newClient(t, egress.Options{Version: "1.2.3"})
	before := time.Now()
	resp := do(t, c, server.URL+"/a%2Fb?c=d", egress.Request{
		Method: http.MethodPut, Header: egress.HeaderOf(http.Header{"X-Sig": {"v1"}, "webhook-id": {"1"}}), Body: []byte("hello"),
	})
	require.NoError(t, resp.Err)
	require.True(t, resp.Success())
	require.Equal(t, webhook.ClassNone, resp.Class)
	require.Equal(t, 202, resp.Status)
	require.Equal(t, "yes", resp.Header.Get("X-Answer"))
	require.Equal(t, "thanks", string(resp.Body))
	require.False(t, resp.Truncated)
	require.WithinRange(t, resp.Started, before, time.Now())
	require.Positive(t, resp.Duration)
	require.Positive(t, resp.Timings.Connect)
	require.Positive(t, resp.Timings.FirstByte)

	require.Equal(t, "PUT", got.Method)
	require.Equal(t, "/a%2Fb?c=d", got.RequestURI)
	require.Equal(t, "hello", string(body))
	require.Equal(t, int64(5), got.ContentLength)
	require.Equal(t, "v1", got.Header.Get("X-Sig"))
	require.Equal(t, "1", got.Header.Get("Webhook-Id"))
	require.Equal(t, "Whisperer/1.2.3", got.Header.Get("User-Agent"))
	require.Empty(t, got.Header.Get("Accept-Encoding"), "we would not read it")

	again := post(t, c, server.URL)
	require.True(t, again.Success())
	require.Zero(t, again.Timings.Connect, "the connection was used again")
}

func TestFailuresAreClassified(t *testing.T) {
	t.Parallel()
	const short = time.Second
	for name, c := range map[string]struct {
		handle  func(*receiver, net.Conn)
		timeout time.Duration
		class   webhook.ErrorClass
		status  int
	}{
		"closes without reading": {func(*receiver, net.Conn) {}, 0, webhook.ClassReset, 0},
		"resets after the request": {func(r *receiver, conn net.Conn) {
			r.readRequest(bufio.NewReader(conn))
			reset(conn)
		}, 0, webhook.ClassReset, 0},
		"closes after the request": {func(r *receiver, conn net.Conn) { r.readRequest(bufio.NewReader(conn)) }, 0, webhook.ClassReset, 0},
		"closes amid its headers":  {once("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"), 0, webhook.ClassReset, 0},
		"hangs before headers":     {func(_ *receiver, conn net.Conn) { hang(conn) }, short, webhook.ClassTimeout, 0},
		"drips headers": {func(_ *receiver, conn net.Conn) {
			drip(conn, 20*time.Millisecond, "HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<10))
		}, short, webhook.ClassTimeout, 0},
		"sends 103 for ever, slowly": {func(_ *receiver, conn net.Conn) { drip(conn, 10*time.Millisecond, "HTTP/1.1 103 Early\r\n\r\n") }, short, webhook.ClassTimeout, 0},
		"sends 103 for ever, fast":   {flood("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"), 0, webhook.ClassHeaders, 0},
		"sends headers for ever":     {flood("HTTP/1.1 200 OK\r\n", "X-Flood: "+strings.Repeat("x", 1000)+"\r\n"), 0, webhook.ClassHeaders, 0},
		"sends one header for ever":  {flood("HTTP/1.1 200 OK\r\nX: ", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), 0, webhook.ClassHeaders, 0},
		"speaks SSH":                 {once("SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"), 0, webhook.ClassProtocol, 0},
		"speaks SSH first": {func(_ *receiver, conn net.Conn) {
			_, _ = io.WriteString(conn, "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")
			hang(conn)
		}, 0, webhook.ClassProtocol, 0},
		"speaks HTTP/0.9":                  {once("<html>hello</html>\n"), 0, webhook.ClassProtocol, 0},
		"answers binary junk":              {once("\x16\x03\x01\x00\x02\x02\x28\n\n"), 0, webhook.ClassProtocol, 0},
		"answers an impossible status":     {once("HTTP/1.1 99 Low\r\n\r\n"), 0, webhook.ClassProtocol, 0},
		"answers 101":                      {once("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\njunk"), 0, webhook.ClassProtocol, 101},
		"answers a header without a colon": {once("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"), 0, webhook.ClassProtocol, 0},
		"answers two lengths":              {once("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), 0, webhook.ClassProtocol, 0},
		"answers 999":                      {once("HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n"), 0, webhook.ClassStatus, 999},
		"answers 410":                      {once("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"), 0, webhook.ClassStatus, 410},
		"answers 500":                      {once("HTTP/1.1 500 Oops\r\nContent-Length: 4\r\n\r\noops"), 0, webhook.ClassStatus, 500},
		"answers 304":                      {once("HTTP/1.1 304 Not Modified\r\n\r\n"), 0, webhook.ClassRedirect, 304},
		"answers 500 and resets":           {once("HTTP/1.1 500 Oops\r\nContent-Length: 400\r\n\r\noops"), 0, webhook.ClassStatus, 500},
		"answers both length and chunks":   {once("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"), 0, webhook.ClassNone, 200},
		"answers before reading the body": {func(_ *receiver, conn net.Conn) {
			_, _ = conn.Read(make([]byte, 1))
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			hang(conn)
		}, 0, webhook.ClassNone, 200},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := listen(t, c.handle)
			client := newClient(t, egress.Options{})
			if c.timeout == 0 {
				c.timeout = webhook.MaxTimeout
			}
			got := do(t, client, server.url(), egress.Request{Timeout: c.timeout, Body: []byte("{}")})
			require.Equal(t, c.class, got.Class, "%v", got.Err)
			require.Equal(t, c.status, got.Status)
			require.Equal(t, c.class == webhook.ClassNone, got.Success())
			require.Equal(t, c.class == webhook.ClassNone, got.Err == nil)
			require.Less(t, got.Duration, 20*time.Second, "the timeout is not waited for")
			require.LessOrEqual(t, server.requests.Load(), int64(1))
			require.Equal(t, int64(1), server.connections.Load(), "one request, one connection")
			if got.Err != nil {
				require.NotContains(t, got.Err.Error(), "127.0.0.1")
				require.NotContains(t, got.Err.Error(), "SSH")
			}
		})
	}
}

func TestNobodyListensOrTakesTheConnection(t *testing.T) {
	t.Parallel()
	address := closedPort(t)
	got := post(t, newClient(t, egress.Options{}), "http://"+address)
	require.Equal(t, webhook.ClassRefused, got.Class)
	require.EqualError(t, got.Err, "the receiver refused the connection")
}

func TestTheTimeoutIsTheOnlyLimitOfHeaders(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ timeout, limit time.Duration }{
		"the usual timeout":    {0, 15 * time.Second},
		"a brief one":          {time.Second, time.Second},
		"a long one":           {20 * time.Second, 20 * time.Second},
		"one that is too long": {time.Hour, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := listen(t, func(_ *receiver, conn net.Conn) { hang(conn) })
			got := do(t, newClient(t, egress.Options{}), server.url(), egress.Request{Timeout: c.timeout})
			require.Equal(t, webhook.ClassTimeout, got.Class)
			require.Zero(t, got.Status)
			require.Greater(t, got.Duration, c.limit-time.Second)
			require.Less(t, got.Duration, c.limit+4*time.Second, "no other limit")
		})
	}
}

func TestASuccessWithoutEndIsATimeout(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status string
		class  webhook.ErrorClass
	}{
		"of a success":            {"200 OK", webhook.ClassTimeout},
		"of a failure":            {"500 Oops", webhook.ClassStatus},
		"of a receiver that went": {"410 Gone", webhook.ClassStatus},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := listen(t, func(r *receiver, conn net.Conn) {
				r.readRequest(bufio.NewReader(conn))
				_, _ = io.WriteString(conn, "HTTP/1.1 "+c.status+"\r\nContent-Length: 10000\r\n\r\npart")
				drip(conn, 50*time.Millisecond, "x")
			})
			got := do(t, newClient(t, egress.Options{}), server.url(), egress.Request{Timeout: 2 * time.Second})
			require.False(t, got.Success())
			require.Equal(t, c.class, got.Class)
			require.Error(t, got.Err)
			require.Equal(t, c.status[:3], strconv.Itoa(got.Status), "what came is kept")
			require.True(t, got.Truncated)
			require.True(t, strings.HasPrefix(string(got.Body), "part"), "%q", got.Body)
			require.Less(t, got.Duration, 20*time.Second)
		})
	}
}

func TestACallerThatGivesUpLearnsNothing(t *testing.T) {
	t.Parallel()
	client := newClient(t, egress.Options{})
	reached := make(chan struct{})
	server := listen(t, func(r *receiver, conn net.Conn) {
		r.readRequest(bufio.NewReader(conn))
		close(reached)
		hang(conn)
	})
	target, err := client.Prepare(server.url())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-reached
		cancel()
	}()
	got := client.Do(ctx, egress.Request{Target: target})
	require.True(t, got.Cancelled)
	require.Equal(t, webhook.ClassNone, got.Class)
	require.False(t, got.Success())
	require.ErrorIs(t, got.Err, context.Canceled)

	late, stop := context.WithTimeout(t.Context(), 0)
	defer stop()
	got = client.Do(late, egress.Request{Target: target})
	require.True(t, got.Cancelled)
	require.ErrorIs(t, got.Err, context.DeadlineExceeded)
}

func TestRequestsThatAreNotSent(t *testing.T) {
	t.Parallel()
	client := newClient(t, egress.Options{})
	server := listen(t, answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	target, err := client.Prepare(server.url())
	require.NoError(t, err)
	for name, r := range map[string]egress.Request{
		"without a target":          {},
		"CONNECT":                   {Target: target, Method: "CONNECT"},
		"a made-up method":          {Target: target, Method: "GET / HTTP/1.1\r\nX:"},
		"Idempotency-Key":           {Target: target, Header: egress.HeaderOf(http.Header{"Idempotency-Key": {"1"}})},
		"X-IDEMPOTENCY-KEY":         {Target: target, Header: egress.HeaderOf(http.Header{"X-IDEMPOTENCY-KEY": {"1"}})},
		"Connection":                {Target: target, Header: egress.HeaderOf(http.Header{"connection": {"close, X-Sig"}})},
		"Upgrade":                   {Target: target, Header: egress.HeaderOf(http.Header{"Upgrade": {"h2c"}})},
		"Expect":                    {Target: target, Header: egress.HeaderOf(http.Header{"Expect": {"100-continue"}})},
		"Transfer-Encoding":         {Target: target, Header: egress.HeaderOf(http.Header{"Transfer-Encoding": {"chunked"}})},
		"a line break in a value":   {Target: target, Header: egress.HeaderOf(http.Header{"X": {"a\r\nY: b"}})},
		"a space in a header name":  {Target: target, Header: egress.HeaderOf(http.Header{"X Y": {"a"}})},
		"a NUL in a header's value": {Target: target, Header: egress.HeaderOf(http.Header{"X": {"\x00"}})},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := client.Do(t.Context(), r)
			require.Equal(t, webhook.ClassRequest, got.Class)
			require.Error(t, got.Err)
		})
	}
	t.Cleanup(func() { require.Zero(t, server.requests.Load()) })
}

// net/http repeats a GET, or a request with an Idempotency-Key, when a pooled connection breaks. These must arrive
// only once as well.
func TestNothingThatMayHaveArrivedIsSentAgain(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodGet} {
		server := listen(t, func(r *receiver, conn net.Conn) {
			br := bufio.NewReader(conn)
			if r.readRequest(br) {
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			}
			if r.readRequest(br) {
				reset(conn)
			}
		})
		client := newClient(t, egress.Options{})
		require.True(t, do(t, client, server.url(), egress.Request{Method: method}).Success())
		require.Equal(t, webhook.ClassReset, do(t, client, server.url(), egress.Request{Method: method}).Class)
		require.Equal(t, int64(2), server.requests.Load())
		require.Equal(t, int64(1), server.connections.Load())
	}
}

func TestReceiversThatCloseIdleConnectionsGetEachRequestOnce(t *testing.T) {
	t.Parallel()
	server := listen(t, func(r *receiver, conn net.Conn) {
		if r.readRequest(bufio.NewReader(conn)) {
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		} // and closes without an answer
	})
	client := newClient(t, egress.Options{})
	succeeded := int64(0)
	for range 300 {
		got := post(t, client, server.url())
		if got.Success() {
			succeeded++
			continue
		}
		require.Equal(t, webhook.ClassReset, got.Class, "%v", got.Err)
	}
	require.Equal(t, succeeded, server.requests.Load())
	require.GreaterOrEqual(t, succeeded, int64(150), "after a failure comes a connection of its own")
}

func TestAConnectionIsNotUsedAgainWhenItsReceiverIsAboutToCloseIt(t *testing.T) {
	t.Parallel()
	for said, connections := range map[string]int64{"timeout=60": 1, "timeout=0": 3} {
		server := listen(t, func(r *receiver, conn net.Conn) {
			for br := bufio.NewReader(conn); r.readRequest(br); {
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nKeep-Alive: "+said+"\r\n\r\n")
			}
		})
		client := newClient(t, egress.Options{})
		for range 3 {
			require.True(t, post(t, client, server.url()).Success())
		}
		require.Equal(t, connections, server.connections.Load(), said)
	}
}

func TestKeepAlive(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		said []string
		want time.Duration
	}{
		{nil, egress.IdleTimeout},
		{[]string{"timeout=5"}, 4 * time.Second}, // as Node.js sends it
		{[]string{"timeout=5, max=100"}, 4 * time.Second},
		{[]string{"max=100,Timeout=20"}, 19 * time.Second},
		{[]string{"max=100", "timeout=2"}, time.Second},
		{[]string{"timeout=1"}, 500 * time.Millisecond},
		{[]string{"timeout=0"}, 0},
		{[]string{"timeout=3600"}, egress.IdleTimeout},
		{[]string{"timeout=999999999999999999999"}, egress.IdleTimeout},
		{[]string{"timeout=-5", "timeout", "timeout=", "timeout=5s", "5", "=5", ""}, egress.IdleTimeout},
	} {
		require.Equal(t, c.want, egress.KeepAlive(c.said...), "%q", c.said)
	}
}

// net/http writes headers and body separately unless it knows the body's type. That would cost a system call and a
// packet.
func TestHeadersAndBodyAreWrittenAtOnce(t *testing.T) {
	t.Parallel()
	first := make(chan string, 1)
	server := listen(t, func(_ *receiver, conn net.Conn) {
		buf := make([]byte, 1<<16)
		n, _ := conn.Read(buf)
		first <- string(buf[:n])
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	})
	body := strings.Repeat("b", 4000)
	require.True(t, do(t, newClient(t, egress.Options{}), server.url(), egress.Request{Body: []byte(body)}).Success())
	require.Contains(t, <-first, "\r\n\r\n"+body)
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	var served atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		served.Add(1)
		_, _ = w.Write(body)
	}))
	defer server.Close()
	client := newClient(t, egress.Options{MaxIdlePerHost: 8})
	target, err := client.Prepare(server.URL)
	require.NoError(t, err)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 50 {
				body := bytes.Repeat([]byte{byte('a' + i)}, j*400)
				got := client.Do(t.Context(), egress.Request{Target: target, Body: body})
				if !got.Success() || !bytes.Equal(got.Body, body[:min(len(body), egress.MaxBody)]) {
					t.Errorf("answer to %d bytes is not its echo: %v", len(body), got.Err)
				}
			}
		})
	}
	wg.Wait()
	require.Equal(t, int64(800), served.Load())
}

// once reads one request, writes the answer and closes the connection.
func once(answer string) func(*receiver, net.Conn) {
	return func(r *receiver, conn net.Conn) {
		r.readRequest(bufio.NewReader(conn))
		_, _ = io.WriteString(conn, answer)
	}
}
