package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/aside"
	"github.com/whisperer-oms/whisperer/services/internal/daemon"
	"github.com/whisperer-oms/whisperer/services/internal/trace"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// maxFieldProblems bounds how many invalid fields one response lists.
const maxFieldProblems = 50

const problemType = "application/problem+json"

// Problem is an error response (RFC 9457).
//
//nolint:errname // the name in the OpenAPI document
type Problem struct {
	api.Problem

	header http.Header
}

func newProblem(status int, detail string) *Problem {
	return &Problem{api.Problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: detail}, http.Header{}}
}

func (p *Problem) with(name, value string) *Problem {
	p.header.Set(name, value)
	return p
}

// Error returns the detail.
func (p *Problem) Error() string { return p.Detail }

// GetStatus returns the HTTP status.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders returns the headers that go with the problem, such as Retry-After.
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType returns application/problem+json.
func (p *Problem) ContentType(string) string { return problemType }

// notFound is the same response for what does not exist and for what belongs to another tenant.
func notFound() *Problem { return newProblem(http.StatusNotFound, "There is nothing at this path.") }

// of says what was not found: the kind of object that the operation's path names, and the tenant.
func (p *Problem) of(path, tenant string) *Problem {
	before, after, named := strings.Cut(path, "/{")
	if p.Status != http.StatusNotFound || !named {
		return p
	}
	noun := before[strings.LastIndex(before, "/")+1:]
	switch noun {
	case "deliveries":
		noun = "delivery"
	case "registry":
		noun = "event type"
	default:
		noun = strings.ReplaceAll(strings.TrimSuffix(noun, "s"), "-", " ")
	}
	what, _, _ := strings.Cut(after, "}")
	whose := "There is no " + noun
	if tenant != "" {
		whose = "Tenant " + tenant + " has no " + noun
	}
	p.Detail = whose + " with this " + what + "."
	return p
}

// badParameter returns a 400 about a query parameter or header.
func badParameter(name, detail string) *Problem {
	p := newProblem(http.StatusBadRequest, "A parameter is wrong.")
	p.Errors = []api.FieldProblem{{Pointer: name, Detail: detail}}
	return p
}

// tooMany returns the response to a caller who has to wait.
func tooMany(wait time.Duration, detail string) *Problem {
	seconds := strconv.Itoa(max(int(math.Ceil(wait.Seconds())), 1))
	return newProblem(http.StatusTooManyRequests, detail).with("Retry-After", seconds)
}

// statusClientGone is the status in metrics of a request whose client disconnected before the response.
const statusClientGone = 499

// problem turns any error into a response. Errors without a row in the table are logged, and answered without
// details. ctx is the request's: if it is cancelled because the client has gone, the error does not matter.
func (s *server) problem(ctx context.Context, err error) *Problem {
	var problem *Problem
	// For example a body that breaks off, which also cancels ctx.
	judged := errors.As(err, &problem) && problem.Status < http.StatusInternalServerError
	if !judged && errors.Is(ctx.Err(), context.Canceled) {
		return newProblem(statusClientGone, "The client has gone.")
	}
	if problem == nil {
		problem = refusal(err)
	}
	var httpErr *echo.HTTPError
	switch {
	case problem != nil:
		return problem
	case errors.Is(err, aside.ErrUnavailable):
		s.log.Warn("failed to reach set-aside entries", trace.ID(trace.From(ctx).Traceparent()), zap.Error(err))
		return newProblem(http.StatusServiceUnavailable, "NATS does not answer, or PostgreSQL takes nothing. What is not in the ledger is still set aside. Try again soon.").
			with("Retry-After", "1")
	case errors.Is(err, usecase.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		s.log.Warn("request unavailable", trace.ID(trace.From(ctx).Traceparent()), zap.Error(err))
		return newProblem(http.StatusServiceUnavailable, "This cannot be done now. Try again soon.").with("Retry-After", "1")
	case errors.As(err, &httpErr):
		return newProblem(httpErr.Code, http.StatusText(httpErr.Code)+".")
	default:
		s.log.Error("request failed", trace.ID(trace.From(ctx).Traceparent()), zap.Error(err))
		return newProblem(http.StatusInternalServerError, "Something went wrong here. It has been logged.")
	}
}

// refusal returns the response to an error of the use cases, or nil for other errors.
func refusal(err error) *Problem {
	var (
		unreadable *usecase.UnreadableError
		invalid    *webhook.ValidationError
		conflict   *webhook.ConflictError
		refused    *usecase.ReplayError
		limited    *usecase.LimitError
		forbidden  *usecase.ForbiddenError
		parameter  *usecase.ParameterError
	)
	switch {
	case errors.As(err, &parameter):
		return badParameter(parameter.Name, parameter.Detail)
	case errors.As(err, &invalid):
		return invalidProblem(invalid)
	case errors.As(err, &unreadable):
		return newProblem(http.StatusConflict, "The hook cannot be read: "+unreadable.Hook.Unreadable+
			". It has to be readable for this; an operator can give the API the master key, or mend the row. It can be deleted as it is.")
	case errors.As(err, &conflict):
		p := newProblem(http.StatusConflict, "There is a hook with this target URL and these event types already.")
		p.ExistingID = &conflict.ID
		return p
	case errors.As(err, &refused):
		return newProblem(http.StatusConflict, refused.Reason)
	case errors.As(err, &limited):
		return tooMany(limited.Wait, limited.Detail)
	case errors.As(err, &forbidden):
		return newProblem(http.StatusForbidden, forbidden.Detail)
	case errors.Is(err, usecase.ErrPath):
		return badParameter("data_path", "is not an SQL/JSON path")
	case errors.Is(err, usecase.ErrSlow):
		return newProblem(http.StatusServiceUnavailable, "The search took too long. Narrow the range with from and to, or add entity or hook.").with("Retry-After", "1")
	case errors.Is(err, webhook.ErrConflict):
		return newProblem(http.StatusConflict, "There is a hook with this target URL and these event types already.")
	case errors.Is(err, webhook.ErrNotFound):
		return notFound()
	case errors.Is(err, webhook.ErrVersion):
		return newProblem(http.StatusPreconditionFailed, "It has changed since the version that If-Match names.")
	case errors.Is(err, usecase.ErrQuota):
		return newProblem(http.StatusConflict, "The tenant has as many hooks as it may have.")
	case errors.Is(err, usecase.ErrKeyReused):
		p := newProblem(http.StatusUnprocessableEntity, "The Idempotency-Key was used for something else.")
		p.Errors = []api.FieldProblem{{
			Pointer: "Idempotency-Key", Detail: "was used with another body, or for a hook that has been deleted since",
		}}
		return p
	case errors.Is(err, daemon.ErrShare):
		return tooMany(time.Second, "This token or tenant looks up too much at once. Wait for the answers before you ask for more.")
	case errors.Is(err, daemon.ErrBusy):
		return newProblem(http.StatusServiceUnavailable, "Too much is being looked up at once. Try again soon.").with("Retry-After", "1")
	default:
		return nil
	}
}

func invalidProblem(v *webhook.ValidationError) *Problem {
	p := newProblem(http.StatusUnprocessableEntity, "Some fields are wrong.")
	p.Errors = fieldProblems(v.Fields[:min(len(v.Fields), maxFieldProblems)])
	return p
}

func fieldProblems(fields []webhook.FieldError) []api.FieldProblem {
	list := make([]api.FieldProblem, len(fields))
	for i, f := range fields {
		list[i] = api.FieldProblem(f)
	}
	return list
}

// write sends the problem.
func (p *Problem) write(c echo.Context) error {
	if c.Response().Committed {
		return nil
	}
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	maps.Copy(c.Response().Header(), p.header)
	return c.Blob(p.Status, problemType, append(body, '\n'))
}
