package client

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// ProblemError is the API's answer to a call that it did not fulfil, as RFC 9457 defines it. errors.Is tells its kind:
// webhook.ErrNotFound (404), webhook.ErrConflict (409), webhook.ErrVersion (412), webhook.ErrInvalid (400, 413, 415
// and 422), ErrRefused (401 and 403), ErrUnavailable (429, 502, 503 and 504).
type ProblemError struct {
	api.Problem

	// RetryAfter is what the Retry-After header asked for; 0 where there was none.
	RetryAfter time.Duration `json:"-"`
}

// Error is one line: status, title, detail and each field.
func (p *ProblemError) Error() string {
	b := &strings.Builder{}
	fmt.Fprintf(b, "%d %s", p.Status, strings.ToLower(p.Title))
	if p.Detail != "" && p.Detail != p.Title {
		b.WriteString(": " + p.Detail)
	}
	for _, f := range p.Errors {
		fmt.Fprintf(b, "; %s %s", f.Pointer, f.Detail)
	}
	return b.String()
}

// Is maps the status to the sentinels that ProblemError lists.
func (p *ProblemError) Is(target error) bool {
	switch p.Status {
	case http.StatusNotFound:
		return target == webhook.ErrNotFound
	case http.StatusConflict:
		return target == webhook.ErrConflict
	case http.StatusPreconditionFailed:
		return target == webhook.ErrVersion
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return target == webhook.ErrInvalid
	case http.StatusUnauthorized, http.StatusForbidden:
		return target == ErrRefused
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return target == ErrUnavailable
	default:
		return false
	}
}

// newProblem reads a problem; an answer that is none (a proxy's page) becomes one with its status alone.
func newProblem(answer *http.Response, body []byte) *ProblemError {
	p := &ProblemError{}
	if json.Unmarshal(body, p) != nil {
		p = &ProblemError{}
	}
	p.Status = answer.StatusCode
	if p.Title == "" {
		p.Title = http.StatusText(answer.StatusCode)
	}
	if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && seconds > 0 {
		p.RetryAfter = time.Duration(seconds) * time.Second
	}
	return p
}
