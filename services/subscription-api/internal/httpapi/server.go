// Package httpapi implements the subscription API over HTTP: hooks, event types, publishing, tokens and tenants, and
// the OpenAPI document, which is generated from the handlers.
package httpapi

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humaecho"
	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/schema"
	"github.com/whisperer-oms/whisperer/services/internal/trace"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// root is the prefix of all paths.
const root = "/whisperer"

// storeTimeout bounds how long a request waits for Postgres, so that a caller learns within two seconds that it is
// unavailable.
const storeTimeout = 1500 * time.Millisecond

// createTimeout is the timeout for creating hooks.
const createTimeout = 4 * storeTimeout

// publisher stores events; *bus.Bus implements it.
type publisher interface {
	PublishEvents(ctx context.Context, events []bus.Outgoing) error
}

// Deps are the API's dependencies; all are required except PublicURL.
type Deps struct {
	Cases     *usecase.Service
	Types     *schema.Checks
	Publisher publisher
	// CursorKey authenticates the cursors of lists.
	CursorKey []byte
	// PublicURL is the base of links in responses, such as https://hooks.example.com; empty means the address that
	// the request was sent to.
	PublicURL string
	// Namespace is the prefix of the subjects of the installation's events.
	Namespace bus.Namespace
	// RequestRate is how many requests per second each token may make; 0 means no limit.
	RequestRate int
	Version     string
	Metrics     prometheus.Registerer
	// RetryWait is how long the predecessor's retry waits for its attempt; 0 means 20 s.
	RetryWait time.Duration
	// Traces gets a span for each request; may be nil.
	Traces *trace.Tracer
	Log    *zap.Logger
}

type server struct {
	Deps
	log     *zap.Logger
	guard   *guard
	limiter *limiter
	cursors cursors
	// awaited has a slot for each retry that a request waits for.
	awaited chan struct{}
	metrics *metrics
	// bodies has buffers for the bodies of publishing requests.
	bodies sync.Pool
	// eventHeader is the header of events' messages without a traceparent.
	eventHeader map[string]string

	echo *echo.Echo
	api  huma.API
}

// New returns the API's handler. It returns an error if the metrics are registered already or the document cannot be
// generated.
func New(d Deps) (http.Handler, error) {
	s := &server{
		Deps: d, log: d.Log, guard: newGuard(d.Cases), limiter: newLimiter(d.RequestRate), cursors: cursors{key: d.CursorKey}, echo: echo.New(),
		bodies: sync.Pool{New: func() any { return new(bytes.Buffer) }}, eventHeader: map[string]string{"Content-Type": envelope.TypeJSON},
	}
	s.awaited = make(chan struct{}, maxAwaited)
	if s.RetryWait == 0 {
		s.RetryWait = defaultRetryWait
	}
	var err error
	if s.metrics, err = newMetrics(d.Metrics); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	s.echo.HTTPErrorHandler = func(err error, c echo.Context) { _ = s.problem(c.Request().Context(), err).write(c) }
	s.echo.Pre(addSlash)
	s.echo.Use(s.observe, s.recoverPanic, secure(), plainParams)
	s.api = humaecho.NewV4(s.echo, apiConfig(d.Version, d.PublicURL))
	s.registerHooks()
	s.registerRegistry()
	s.registerRetries()
	s.registerBacktest()
	s.registerEvents()
	s.registerEventHistory()
	s.registerDeliveries()
	s.registerDeliveryRetry()
	s.registerDeliveryReplay()
	s.registerBulk()
	s.registerStats()
	s.registerManifest()
	s.registerRelay()
	s.registerHookEvents()
	s.registerHookEventRetry()
	s.registerJobs()
	s.registerRecovery()
	s.registerExplain()
	s.registerRotate()
	s.registerTests()
	s.registerTokens()
	s.registerTenants()
	s.registerSigningKeys()
	s.registerAudit()
	s.registerExports()
	s.registerAside()
	s.registerErasures()
	s.registerRetention()
	if err := s.serveDocs(); err != nil {
		return nil, fmt.Errorf("make documentation: %w", err)
	}
	return headAsGet(s.echo), nil
}

// route is what an operation needs in addition to its types.
type route struct {
	// role is the role that a token needs at least.
	role usecase.Role
	// operator restricts the operation to operators' tokens.
	operator bool
	// body is the schema of the request's body; nil if it has none.
	body *huma.Schema
	// optional says that the body may be left out.
	optional bool
	// status is the status of success; 0 means 200.
	status int
	// also is a second status of success; 0 for none.
	also int
	// check checks the body's JSON; nil means checkJSON.
	check func(body []byte) error
	// conflict says that 409 is among the responses.
	conflict bool
	// lookUp says that the operation reads history, for which each token and tenant has a share.
	lookUp bool
	// limit bounds the handler; 0 means storeTimeout.
	limit time.Duration
}

// call is what the guard has determined about a request.
type call struct {
	usecase.Caller

	// id is the id in the path, if the operation is about one object with an id.
	id    uuid.UUID
	query url.Values
	body  []byte
	// base is the base of links.
	base string
	// mask hides secrets in URLs from viewers.
	mask webhook.Mask
	// event is the id of the event that the request reads or publishes, if it is a single one.
	event string
}

type callKey struct{}

func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// register adds an operation: the guard before its handler, the common table of problems after it, and both in the
// document.
func register[I, O any](s *server, r route, op huma.Operation, handle func(context.Context, *call, *I) (*O, error)) {
	limit := storeTimeout
	if r.limit > 0 {
		limit = r.limit
	}
	op.DefaultStatus = r.status
	op.SkipValidateParams = true
	op.Security = []map[string][]string{{"token": {}}}
	op.Responses = s.problems(r, &op)
	op.Middlewares = huma.Middlewares{s.admission(r)}
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) {
		do := func(ctx context.Context) (*O, error) {
			c := callOf(ctx)
			if !r.lookUp {
				return handle(ctx, c, in)
			}
			return lookUp(ctx, s, c, func(ctx context.Context) (*O, error) { return handle(ctx, c, in) })
		}
		out, err := daemon.Within(ctx, limit, do)
		if err != nil {
			return nil, s.problem(ctx, err).of(op.Path, callOf(ctx).Tenant)
		}
		return out, nil
	})
	if op.Hidden {
		return
	}
	documented := s.operation(op.Method, op.Path)
	if slices.ContainsFunc(documented.Parameters, func(p *huma.Param) bool { return p.Name == "If-Match" }) {
		documented.Responses[strconv.Itoa(http.StatusPreconditionFailed)] = s.problemAnswer(http.StatusText(http.StatusPreconditionFailed))
	}
	if r.also != 0 {
		documented.Responses[strconv.Itoa(r.also)] = documented.Responses[strconv.Itoa(r.status)]
	}
	if r.body != nil { // set afterwards, because otherwise huma would read and check the body itself
		documented.RequestBody = &huma.RequestBody{
			Required: !r.optional, Content: map[string]*huma.MediaType{"application/json": {Schema: r.body}},
		}
	}
}

// lookUp calls do within the caller's share of look-ups.
func lookUp[T any](ctx context.Context, s *server, c *call, do func(context.Context) (T, error)) (T, error) {
	release, err := s.Cases.LookUp(ctx, &c.Caller)
	if err != nil {
		var none T
		return none, err
	}
	defer release()
	return do(ctx)
}

func (s *server) operation(method, path string) *huma.Operation {
	item := s.api.OpenAPI().Paths[path]
	switch method {
	case http.MethodGet:
		return item.Get
	case http.MethodPost:
		return item.Post
	case http.MethodPut:
		return item.Put
	case http.MethodPatch:
		return item.Patch
	default:
		return item.Delete
	}
}

// bodyOf returns the schema of a struct, registered once in the document.
func bodyOf[T any](s *server) *huma.Schema {
	return schemaOf[T](s.api.OpenAPI().Components.Schemas)
}

func schemaOf[T any](r huma.Registry) *huma.Schema { return r.Schema(reflect.TypeFor[T](), true, "") }

// named registers a schema under a name in the document and returns a reference to it. Client generators only make
// usable types of named schemas.
func (s *server) named(name string, schema *huma.Schema) *huma.Schema {
	s.api.OpenAPI().Components.Schemas.Map()[name] = schema
	return &huma.Schema{Ref: componentSchemas + name}
}

// problems returns the error responses of an operation.
func (s *server) problems(r route, op *huma.Operation) map[string]*huma.Response {
	codes := []int{
		http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests, http.StatusServiceUnavailable,
	}
	if len(op.Path) > 0 && op.Path[len(op.Path)-1] == '/' && containsParam(op.Path) {
		codes = append(codes, http.StatusNotFound)
	}
	if r.body != nil {
		codes = append(codes, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType,
			http.StatusUnprocessableEntity)
	}
	if r.conflict {
		codes = append(codes, http.StatusConflict)
	}
	responses := map[string]*huma.Response{"default": s.problemAnswer("Any other problem")}
	for _, code := range codes {
		responses[strconv.Itoa(code)] = s.problemAnswer(http.StatusText(code))
	}
	return responses
}

// problemAnswer describes an error response.
func (s *server) problemAnswer(description string) *huma.Response {
	return &huma.Response{
		Description: description, Content: map[string]*huma.MediaType{problemType: {Schema: bodyOf[api.Problem](s)}},
	}
}

func containsParam(path string) bool {
	for i := range len(path) {
		if path[i] == '{' {
			return true
		}
	}
	return false
}

// admission returns the middleware that checks a request before its handler: token, tenant, role, query and body, in
// this order.
func (s *server) admission(r route) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		c := humaecho.UnwrapV4(ctx)
		if err := s.admit(c, &r, ctx.Operation()); err != nil {
			_ = s.problem(c.Request().Context(), err).write(c)
			return
		}
		next(ctx)
	}
}

func (s *server) admit(c echo.Context, r *route, op *huma.Operation) error {
	admitted, err := s.admitCaller(c, r, op)
	if err != nil {
		return err
	}
	if method := c.Request().Method; method != http.MethodGet && method != http.MethodDelete {
		check := checkJSON
		if r.check != nil {
			check = r.check
		}
		if admitted.body, err = readBody(c, new(bytes.Buffer), r.body != nil && !r.optional, check); err != nil {
			return err
		}
	}
	if namesUUID(op) {
		if admitted.id, err = readID(c.Param("id")); err != nil {
			return err
		}
	} else {
		admitted.event = c.Param("id")
	}
	if r.limit > 0 { // longer than the usual limit for responses; the ResponseWriters of some tests have no deadlines
		_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(r.limit + storeTimeout))
	}
	return nil
}

// admitCaller does those checks that need no body.
func (s *server) admitCaller(c echo.Context, r *route, op *huma.Operation) (*call, error) {
	request := c.Request()
	who, err := s.guard.admit(request)
	if err != nil {
		return nil, err
	}
	admitted := &call{Caller: who, base: s.base(request)}
	admitted.mask = s.Cases.MaskFor(&who)
	c.SetRequest(request.WithContext(context.WithValue(request.Context(), callKey{}, admitted)))
	if err := s.limiter.take(who.Token.ID, c.Response().Header()); err != nil {
		return nil, err
	}
	switch {
	case !who.Token.Role.Covers(r.role):
		return nil, newProblem(http.StatusForbidden, fmt.Sprintf("This needs a token of the role %s; this one has the role %s.", r.role, who.Token.Role))
	case r.operator && !who.Operator():
		return nil, newProblem(http.StatusForbidden, "This needs an operator's token.")
	}
	admitted.query, err = checkQuery(request.URL.RawQuery, op)
	return admitted, err
}

// namesUUID reports whether the operation's path contains the UUID of an object.
func namesUUID(op *huma.Operation) bool {
	return slices.ContainsFunc(op.Parameters, func(p *huma.Param) bool { return p.In == "path" && p.Schema.Format == "uuid" })
}

// base returns the public URL, or the address that the request was sent to.
func (s *server) base(r *http.Request) string {
	if s.PublicURL != "" {
		return s.PublicURL
	}
	scheme := "http"
	if daemon.Encrypted(r) {
		scheme = "https"
	}
	return scheme + "://" + r.Host
}
