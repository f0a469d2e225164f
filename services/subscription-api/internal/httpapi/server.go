// Package httpapi is the subscription API over HTTP: hooks, event types, publishing, tokens and tenants, and the OpenAPI
// document that describes them, made from the handlers.
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

// root is where everything lies.
const root = "/whisperer"

// storeTimeout bounds what a request waits for Postgres, so that a caller hears within two seconds that it is away.
const storeTimeout = 1500 * time.Millisecond

// createTimeout is it for those who create hooks.
const createTimeout = 4 * storeTimeout

// publisher stores events; *bus.Bus is one.
type publisher interface {
	PublishEvents(ctx context.Context, events []bus.Outgoing) error
}

// Deps are what the API works with; all are required but PublicURL.
type Deps struct {
	Cases     *usecase.Service
	Types     *schema.Checks
	Publisher publisher
	// CursorKey authenticates the cursors of lists.
	CursorKey []byte
	// PublicURL begins the links in answers, such as https://hooks.example.com; empty for what the request was sent to.
	PublicURL string
	// Namespace begins the subjects of the installation's events.
	Namespace bus.Namespace
	// RequestRate is how many requests a second each token may make; 0 for any number.
	RequestRate int
	Version     string
	Metrics     prometheus.Registerer
	// RetryWait is how long the predecessor's retry waits for its attempt; 0 for 20 s.
	RetryWait time.Duration
	// Traces gets a span for each request; nil for none.
	Traces *trace.Tracer
	Log    *zap.Logger
}

type server struct {
	Deps
	log     *zap.Logger
	guard   *guard
	limiter *limiter
	cursors cursors
	// awaited has a place for each retry that is waited for.
	awaited chan struct{}
	metrics *metrics
	// bodies has buffers for the bodies of requests that publish.
	bodies sync.Pool
	// eventHeader is that of events' messages without a traceparent.
	eventHeader map[string]string

	echo *echo.Echo
	api  huma.API
}

// New makes the API's handler. It fails where the metrics are registered already or the document cannot be made.
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

// route is what an operation needs beyond what its types say.
type route struct {
	// role is the least that a token needs.
	role usecase.Role
	// operator says that only operators' tokens will do.
	operator bool
	// body is the schema of the request's body; nil for none.
	body *huma.Schema
	// optional says that the body may be left out.
	optional bool
	// status is that of success; 0 for 200.
	status int
	// also is a second status of success; 0 for none.
	also int
	// check judges the body's JSON; nil for checkJSON.
	check func(body []byte) error
	// conflict says that 409 is among the answers.
	conflict bool
	// lookUp says that it reads what happened, for which each token and tenant has a share.
	lookUp bool
	// limit bounds the handler; 0 for storeTimeout.
	limit time.Duration
}

// call is what the guard found out about a request.
type call struct {
	usecase.Caller

	// id is the one of the path, where the operation is about one thing that has an id.
	id    uuid.UUID
	query url.Values
	body  []byte
	// base is what links begin with.
	base string
	// mask hides what is secret in URLs from those who only read.
	mask webhook.Mask
	// event is the id of the one event that the request reads or publishes, if it is about one.
	event string
}

type callKey struct{}

func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// register adds an operation: the guard before its handler, one table of problems after it, and both in the document.
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
	if r.body != nil { // set afterwards: huma would read and judge the body itself
		documented.RequestBody = &huma.RequestBody{
			Required: !r.optional, Content: map[string]*huma.MediaType{"application/json": {Schema: r.body}},
		}
	}
}

// lookUp does something within the share of looking things up that the caller's tenant and token have.
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

// bodyOf is the schema of a struct, listed once in the document.
func bodyOf[T any](s *server) *huma.Schema {
	return schemaOf[T](s.api.OpenAPI().Components.Schemas)
}

func schemaOf[T any](r huma.Registry) *huma.Schema { return r.Schema(reflect.TypeFor[T](), true, "") }

// named lists a schema that is no struct's in the document, and refers to it: generators make types that work of those alone.
func (s *server) named(name string, schema *huma.Schema) *huma.Schema {
	s.api.OpenAPI().Components.Schemas.Map()[name] = schema
	return &huma.Schema{Ref: componentSchemas + name}
}

// problems are the answers of an operation that are no success.
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

// problemAnswer describes an answer that is a problem.
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

// admission lets a request through to the handler of its operation: token, tenant, role, query, body, in this order.
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
	if r.limit > 0 { // longer than answers usually may take; not every ResponseWriter of a test has deadlines
		_ = http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(r.limit + storeTimeout))
	}
	return nil
}

// admitCaller lets a request through as far as its head decides that.
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

// namesUUID reports whether the operation is about one thing, which its path has the UUID of.
func namesUUID(op *huma.Operation) bool {
	return slices.ContainsFunc(op.Parameters, func(p *huma.Param) bool { return p.In == "path" && p.Schema.Format == "uuid" })
}

// base is the public URL, or where the request was sent to.
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
