package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/schema"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/httpapi"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase/usecasetest"
)

const typeNDJSON = "application/x-ndjson"

func TestMain(m *testing.M) {
	// for newline-delimited JSON, the last line is checked against the document
	openapi3filter.RegisterBodyDecoder(typeNDJSON, func(r io.Reader, _ http.Header, _ *openapi3.SchemaRef, _ openapi3filter.EncodingFn) (value any, err error) {
		for d := json.NewDecoder(r); d.More() && err == nil; {
			err = d.Decode(&value)
		}
		return value, err
	})
	openapi3filter.RegisterBodyDecoder("text/event-stream", openapi3filter.PlainBodyDecoder)
	openapi3filter.RegisterBodyDecoder("text/csv", openapi3filter.PlainBodyDecoder)
	os.Exit(testenv.Main(m))
}

// world is an API on a database of its own.
type world struct {
	url      string
	handler  http.Handler
	db       *testenv.Store
	logs     *observer.ObservedLogs
	document *openapi3.T
	router   routers.Router
	// bus starts a bus of the test's own on first use; set-aside entries are read from it.
	bus func() (*bus.Bus, error)
	// token is an operator's admin token.
	token string
}

// noBus is for tests that publish nothing.
type noBus struct{}

func (noBus) PublishEvents(context.Context, []bus.Outgoing) error { return context.DeadlineExceeded }

// noTypes is for tests in which no event type is checked.
func noTypes() *schema.Checks { return schema.NewChecks(catalogue.SchemaOf, zap.NewNop()) }

type option func(*httpapi.Deps)

func newWorld(tb testing.TB, options ...option) *world {
	tb.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	w := &world{db: testenv.OpenStore(tb), logs: logs, bus: sync.OnceValues(func() (*bus.Bus, error) { return testenv.Bus(tb), nil })}
	deps := httpapi.Deps{
		Cases: usecasetest.New(w.db.DB, w.bus), Types: noTypes(), Publisher: noBus{},
		CursorKey: []byte("a key of thirty-two bytes, or so"), Version: "test", Metrics: prometheus.NewRegistry(), Log: zap.New(core),
	}
	for _, o := range options {
		o(&deps)
	}
	var err error
	w.handler, err = httpapi.New(deps)
	require.NoError(tb, err)
	server := httptest.NewServer(w.handler)
	tb.Cleanup(server.Close)
	w.url = server.URL
	w.loadDocument(tb)
	w.token = w.db.MakeToken(tb, store.NewToken{Name: "operator", Role: store.Admin})
	return w
}

// loadDocument reads the document that the API serves.
func (w *world) loadDocument(tb testing.TB) {
	tb.Helper()
	answer, err := http.Get(w.url + "/whisperer/openapi.json") //nolint:noctx // a test
	require.NoError(tb, err)
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	require.NoError(tb, err)
	w.document, err = openapi3.NewLoader().LoadFromData(raw)
	require.NoError(tb, err)
	require.NoError(tb, w.document.Validate(tb.Context()))
	w.router, err = gorillamux.NewRouter(w.document)
	require.NoError(tb, err)
}

// answer is a response.
type answer struct {
	status int
	header http.Header
	text   string
	json   map[string]any
}

// pointers returns the pointers of a problem's errors.
func (a *answer) pointers() []string {
	list, _ := a.json["errors"].([]any)
	pointers := make([]string, len(list))
	for i, e := range list {
		pointers[i], _ = e.(map[string]any)["pointer"].(string)
	}
	return pointers
}

// with changes a request before it is sent.
type with func(*http.Request)

func header(name, value string) with { return func(r *http.Request) { r.Header.Set(name, value) } }

func token(plain string) with { return header("Authorization", "Token "+plain) }

// call makes a request as the operator and checks the response against the document.
func (w *world) call(t *testing.T, method, path, body string, change ...with) *answer {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	target := path
	if strings.HasPrefix(path, "/") {
		target = w.url + path
	}
	r, err := http.NewRequestWithContext(t.Context(), method, target, reader)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Token "+w.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, c := range change {
		c(r)
	}
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	a := &answer{status: response.StatusCode, header: response.Header, text: string(raw)}
	if kind := response.Header.Get("Content-Type"); strings.Contains(kind, "json") && kind != typeNDJSON {
		require.NoError(t, json.Unmarshal(raw, &a.json), a.text)
	}
	w.checkAnswer(t, r, a, raw)
	return a
}

// checkAnswer validates a response against the operation of the document. Paths outside of all operations answer with
// problems.
func (w *world) checkAnswer(t *testing.T, r *http.Request, a *answer, raw []byte) {
	t.Helper()
	if a.status >= 400 {
		require.Equal(t, "application/problem+json", a.header.Get("Content-Type"), a.text)
		require.InDelta(t, a.status, a.json["status"], 0)
		require.NotContains(t, a.text, "pq:")
		require.NotContains(t, a.text, "SQLSTATE")
	}
	normal := r.Clone(t.Context())
	if !strings.HasSuffix(normal.URL.Path, "/") {
		normal.URL.Path += "/"
	}
	// the predecessor's path of event types has the same operations, which the document lists once
	normal.URL.Path = strings.Replace(normal.URL.Path, "/hooks/registry/", "/event-types/", 1)
	found, params, err := w.router.FindRoute(normal)
	if err != nil {
		require.GreaterOrEqual(t, a.status, 400, "%s %s is not in the document", r.Method, r.URL.Path)
		return
	}
	err = openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: normal, PathParams: params, Route: found},
		Status:                 a.status, Header: a.header, Body: io.NopCloser(bytes.NewReader(raw)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
	require.NoError(t, err, "%s %s: %d %s", r.Method, r.URL.Path, a.status, a.text)
}

// create creates a hook and returns it.
func (w *world) create(t *testing.T, body string, change ...with) map[string]any {
	t.Helper()
	a := w.call(t, http.MethodPost, "/whisperer/hooks/", body, change...)
	require.Equal(t, http.StatusCreated, a.status, a.text)
	return a.json
}

// get fetches a page without a token.
func get(t *testing.T, url string) *answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	response, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return &answer{status: response.StatusCode, header: response.Header, text: string(raw)}
}

func indent(t *testing.T, text string) []byte {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, json.Indent(&out, []byte(text), "", "  "))
	out.WriteByte('\n')
	return out.Bytes()
}
