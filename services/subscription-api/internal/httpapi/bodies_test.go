package httpapi_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBodiesThatAreNotCleanJSONAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nested := func(n int) string {
		return `{"config": ` + strings.Repeat(`{"a":`, n) + `1` + strings.Repeat(`}`, n) + `}`
	}
	cases := []struct {
		name, body, pointer string
		status              int
	}{
		{"white space", " \n", "", 400},
		{"null", `null`, "", 400},
		{"a list", `[]`, "", 400},
		{"a string", `"x"`, "", 400},
		{"a number", `1`, "", 400},
		{"truncated", `{"name": "a`, "", 400},
		{"two objects", `{}{}`, "", 400},
		{"trailing text", `{} x`, "", 400},
		{"NaN", `{"name": NaN}`, "", 400},
		{"single quotes", `{'name': 'a'}`, "", 400},
		{"a comment", `{"name": "a" /* b */}`, "", 400},
		{"a trailing comma", `{"name": "a",}`, "", 400},
		{"a byte order mark", "\uFEFF{}", "", 400},
		{"invalid UTF-8", "{\"name\": \"\xff\"}", "", 400},
		{"a key twice", `{"name": "a", "name": "b"}`, "/name", 400},
		{"a key twice in two spellings", `{"name": "a", "n\u0061me": "b"}`, "/name", 400},
		{"a key twice further down", `{"config": {"a": [{"b": 1, "b": 2}]}}`, "/config/a/0/b", 400},
		{"NUL", `{"name": "a\u0000b"}`, "/name", 400},
		{"NUL in a key", `{"a\u0000b": 1}`, "", 400},
		{"half a surrogate pair", `{"name": "\ud800"}`, "/name", 400},
		{"the other half", `{"name": "\udc00x"}`, "/name", 400},
		{"half a pair before another escape", `{"name": "\ud800\u0041"}`, "/name", 400},
		{"depth 65", nested(64), "", 400},
		{"depth 10,000", nested(10_000), "", 400},
		{"unclosed brackets", strings.Repeat("[", 100_000), "", 400},
		{"a key of 100 kB", `{"config": {"` + strings.Repeat("k", 100_000) + `": 1}}`, "/config", 400},
		{"a hundred thousand keys", manyKeys(100_000), "/config", 400},
		{"a million elements", `{"config": {"a": [` + strings.Repeat("1,", 1_000_000) + `1]}}`, "", 413},
		{"over 1 MiB", `{"name": "` + strings.Repeat("n", 1<<20) + `"}`, "", 413},
	}
	for _, c := range cases {
		for _, target := range []string{hooks, hooks + "preview-retries/", "/whisperer/tokens/"} {
			a := w.call(t, http.MethodPost, target, c.body)
			require.Equal(t, c.status, a.status, "%s: %s", c.name, a.text)
			if c.status == http.StatusBadRequest {
				require.Equal(t, []string{c.pointer}, a.pointers(), "%s: %s", c.name, a.text)
			}
		}
	}
	for _, body := range []string{`{"config": {"a": "\ud83d\ude00\\u0000"}}`, nested(63)} {
		a := w.call(t, http.MethodPost, hooks, `{"event_type": "*", "target_url": "http://example.com/", `+body[1:])
		require.Contains(t, []int{http.StatusCreated, http.StatusConflict}, a.status, a.text)
	}
}

func manyKeys(n int) string {
	b := &strings.Builder{}
	b.WriteString(`{"config": {"k": 1`)
	for i := range n {
		fmt.Fprintf(b, `,"%x":1`, i)
	}
	b.WriteString(`}}`)
	return b.String()
}

func TestOnlyPlainJSONIsTaken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, contentType := range []string{"", "text/plain", "application/xml", "application/json; charset=utf-16", "application/x-www-form-urlencoded", "application/merge-patch+json", ";;"} {
		a := w.call(t, http.MethodPost, hooks, oldExample, header("Content-Type", contentType))
		require.Equal(t, http.StatusUnsupportedMediaType, a.status, contentType)
	}
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, err := io.Copy(z, io.LimitReader(zeros{}, 32<<20))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	a := w.call(t, http.MethodPost, hooks, bomb.String(), header("Content-Encoding", "gzip"))
	require.Equal(t, http.StatusUnsupportedMediaType, a.status)
	for i, contentType := range []string{"application/json; charset=UTF-8", "Application/JSON"} {
		body := strings.Replace(oldExample, "example.com/", "example.com/"+string(rune('a'+i)), 1)
		require.Equal(t, http.StatusCreated, w.call(t, http.MethodPost, hooks, body, header("Content-Type", contentType)).status)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestABodyWithoutLengthIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	chunked := func(r *http.Request) {
		r.Body = io.NopCloser(io.LimitReader(zeros{}, 100<<20))
		r.ContentLength = -1
	}
	a := w.call(t, http.MethodPost, hooks, "x", chunked)
	require.Equal(t, http.StatusRequestEntityTooLarge, a.status)
}

func TestMethodsAndPaths(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.create(t, oldExample)
	a := w.call(t, http.MethodDelete, hooks, "")
	require.Equal(t, http.StatusMethodNotAllowed, a.status)
	require.Contains(t, a.header.Get("Allow"), "GET")
	require.Contains(t, a.header.Get("Allow"), "POST")
	require.Equal(t, http.StatusMethodNotAllowed, w.call(t, "BREW", path(hook), "").status)
	a = w.call(t, http.MethodPost, path(hook), `{}`, header("X-HTTP-Method-Override", "DELETE"))
	require.Equal(t, http.StatusMethodNotAllowed, a.status)
	require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, path(hook), "").status, "no override is honored")
	for _, p := range []string{
		"//whisperer/hooks/", "/whisperer//hooks/", "/whisperer/hooks/../tokens/", "/whisperer/hooks/%2e%2e/", "/whisperer/hooks/%2e%2e/tokens/", "/", "/whisperer/",
		"/whisperer/nope", "/metrics", "/healthz", "/debug/pprof/", "/whisperer/docs/../../etc/passwd", "/whisperer/hooks/x%00/",
	} {
		require.Equal(t, http.StatusNotFound, w.call(t, http.MethodGet, p, "").status, p)
	}
	for _, id := range []string{"x", "1", strings.ToUpper("{018f5b5e-0000-7000-8000-000000000000}"), "018f5b5e000070008000000000000000", "urn:uuid:018f5b5e-0000-7000-8000-000000000000"} {
		require.Equal(t, http.StatusNotFound, w.call(t, http.MethodGet, hooks+id+"/", "").status, id)
	}
}

func TestHEADIsAnsweredAsGETIsWithoutItsBody(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.create(t, oldExample)
	for _, target := range []string{hooks, path(hook), hooks + "?limit=x", hooks + "018f5b5e-0000-7000-8000-000000000000/", "/whisperer/openapi.json", "/whisperer/docs/", "/whisperer/deliveries/"} {
		ask := func(method string) (*http.Response, int) {
			r, err := http.NewRequestWithContext(t.Context(), method, w.url+target, http.NoBody)
			require.NoError(t, err)
			r.Header.Set("Authorization", "Token "+w.token)
			a, err := http.DefaultClient.Do(r)
			require.NoError(t, err)
			defer a.Body.Close()
			body, err := io.ReadAll(a.Body)
			require.NoError(t, err)
			a.Header.Del("Date")
			return a, len(body)
		}
		get, size := ask(http.MethodGet)   //nolint:bodyclose // it is
		head, none := ask(http.MethodHead) //nolint:bodyclose // it is
		require.Equal(t, get.StatusCode, head.StatusCode, target)
		require.Equal(t, get.Header.Get("ETag"), head.Header.Get("ETag"), target)
		require.Equal(t, get.Header.Get("Content-Type"), head.Header.Get("Content-Type"), target)
		require.NotZero(t, size, target)
		require.Zero(t, none, target)
	}
	require.Contains(t, w.call(t, http.MethodDelete, hooks, "").header.Get("Allow"), "HEAD")
	require.NotContains(t, w.call(t, http.MethodGet, path(hook)+"pause/", "").header.Get("Allow"), "HEAD")
}

func TestAnswersSayThatTheyAreData(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, a := range []*answer{w.call(t, http.MethodGet, hooks, ""), w.call(t, http.MethodGet, "/nope", ""), w.call(t, http.MethodPost, hooks, "[]")} {
		require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
		require.Equal(t, "DENY", a.header.Get("X-Frame-Options"))
		require.Equal(t, "no-store", a.header.Get("Cache-Control"))
		require.Contains(t, a.header.Get("Content-Security-Policy"), "default-src 'none'")
		require.Empty(t, a.header.Get("Server"))
		require.Empty(t, a.header.Get("Access-Control-Allow-Origin"))
	}
	a := w.call(t, http.MethodGet, hooks, "", header("Origin", "https://evil.example"))
	require.Empty(t, a.header.Get("Access-Control-Allow-Origin"))
	require.Equal(t, http.StatusOK, w.call(t, http.MethodGet, hooks, "", header("Accept", "text/html")).status, "whatever is asked for, JSON it is")
}
