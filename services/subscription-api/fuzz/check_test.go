package fuzz_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
)

// send sends a request and checks the response.
func (c *caller) send(r *request, number int) {
	c.t.Helper()
	a, err := c.answer(r)
	if err != nil {
		if r.oversized() { // the server may close the connection before it has read the whole request
			return
		}
		c.fail(r, number, nil, err)
		return
	}
	c.tally.count(r, a.status)
	if err := c.check(r, a); err != nil {
		c.fail(r, number, a, err)
		return
	}
	c.learn(r, a)
}

// answer behaves like a well-behaved client: it repeats a request that a busy machine could not process.
func (c *caller) answer(r *request) (*response, error) {
	for again := 0; ; again++ {
		a, err := c.wire.exchange(r)
		if again > 0 && r.expect == accepted && r.method != http.MethodGet { // the first request may have taken effect
			r.expect = anything
			c.forget(kindOf(r.op), r.used)
		}
		if err != nil || a.status != http.StatusServiceUnavailable || again == 30 {
			return a, err
		}
		seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
		if err != nil {
			return a, fmt.Errorf("a 503 has to say when to come back: %w", err)
		}
		select {
		case <-time.After(time.Duration(seconds) * time.Second):
		case <-c.t.Context().Done():
			return a, c.t.Context().Err()
		}
	}
}

// oversized reports whether the request is refused before it is read to its end.
func (r *request) oversized() bool {
	size := len(r.target())
	for _, h := range r.headers {
		size += len(h.name) + len(h.value) + 4
	}
	return len(r.body) > 1<<20 || size > 16<<10
}

func (c *caller) fail(r *request, number int, a *response, err error) {
	c.t.Helper()
	c.api.failures.Add(1)
	said := ""
	if a != nil {
		said = fmt.Sprintf("%d %s", a.status, a.body[:min(len(a.body), 2000)])
	}
	c.t.Errorf("seed %d, request %d, %s, expected to be %s, %v: %v\n%s\n%s\n", *seed, number, r.op.id,
		[]string{"anything", "accepted", "refused"}[r.expect], r.evils, err, r.curl(c.api.addr), said)
}

// check compares a response with the document.
func (c *caller) check(r *request, a *response) error {
	if a.status >= http.StatusInternalServerError {
		return errors.New("the server blames itself")
	}
	if a.status == http.StatusRequestHeaderFieldsTooLarge && r.oversized() || a.status == http.StatusBadRequest && c.broken(r, a) {
		return nil // net/http answers this itself; the request has not reached the API
	}
	for _, leak := range []string{"pq:", "SQLSTATE", "goroutine ", "panic", ".go:", "sqlx", c.operator} {
		if bytes.Contains(a.body, []byte(leak)) && !bytes.Contains(r.body, []byte(leak)) {
			return fmt.Errorf("tells of its inside: %q", leak)
		}
	}
	switch {
	case r.expect == accepted && a.status >= 300 && !r.op.mayRefuse(a.status):
		return errors.New("a valid request is refused")
	case r.expect == refused && a.status < 400:
		return errors.New("an invalid request is accepted")
	case a.status >= 300 && a.status < 400:
		return errors.New("nothing here redirects")
	}
	if r.method == http.MethodHead {
		return nil
	}
	return c.described(r, a)
}

// mayRefuse reports whether even a valid request may get the status, because its object is in another state or
// another request was faster.
func (o *operation) mayRefuse(status int) bool {
	_, there := o.answer(strconv.Itoa(status))
	return there && (status == http.StatusConflict || status == http.StatusTooManyRequests)
}

// broken reports whether the response is to a request that is not even HTTP.
func (c *caller) broken(r *request, a *response) bool {
	return strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") && bytes.HasPrefix(a.body, []byte("400 Bad Request")) &&
		slices.ContainsFunc(r.evils, func(e evil) bool { return e.where == "path" || e.where == "header" || e.where == "method" })
}

// described checks the status, type and schema of a response.
func (c *caller) described(r *request, a *response) error {
	op := c.found(r)
	if op == nil && r.method == http.MethodOptions && a.status == http.StatusNoContent {
		return nil
	}
	if op == nil {
		if a.status < 400 {
			return fmt.Errorf("there is no such operation, and the status is %d", a.status)
		}
		op = c.api.document.operations["list-hooks"] // all operations share the same problems
		if spec, _ := op.answer("400"); spec != nil {
			return matches(spec, a)
		}
	}
	spec, there := op.answer(strconv.Itoa(a.status))
	if !there {
		return fmt.Errorf("the document does not name the status %d for %s", a.status, op.id)
	}
	return matches(spec, a)
}

// found returns the operation that a request's method and path name, or nil.
func (c *caller) found(r *request) *operation {
	var found *operation
	for _, op := range c.api.document.operations {
		if op.method == r.method && samePath(op.path, r.path) && (found == nil || found.named()) {
			found = op
		}
	}
	return found
}

func samePath(template, path string) bool {
	want, got := strings.Split(strings.Trim(template, "/"), "/"), strings.Split(strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/"), "/")
	if len(want) != len(got) {
		return false
	}
	for i := range want {
		if !strings.HasPrefix(want[i], "{") && want[i] != got[i] || got[i] == "" {
			return false
		}
	}
	return true
}

func matches(spec *openapi3.Response, a *response) error {
	if len(spec.Content) == 0 {
		if len(a.body) > 0 {
			return errors.New("there is a body where the document has none")
		}
		return nil
	}
	mediaType, _, err := mime.ParseMediaType(a.header.Get("Content-Type"))
	if err != nil {
		return fmt.Errorf("read content type: %w", err)
	}
	content := spec.Content.Get(mediaType)
	if content == nil {
		return fmt.Errorf("the document does not name the content type %q", mediaType)
	}
	body := a.body
	switch mediaType {
	case "text/event-stream", "text/csv": // described as text in the document
		return nil
	case "application/x-ndjson": // the last line is checked
		if body = bytes.TrimSpace(body); len(body) == 0 {
			return nil
		}
		body = body[bytes.LastIndexByte(body, '\n')+1:]
	}
	value, err := parse(body)
	if err != nil {
		return fmt.Errorf("read JSON: %w", err)
	}
	err = content.Schema.Value.VisitJSON(value)
	if wrong, ok := errors.AsType[*openapi3.SchemaError](err); ok {
		return fmt.Errorf("the answer is against its schema: %v %s", wrong.JSONPointer(), wrong.Reason)
	}
	return err
}

// learn remembers the objects that a valid request created, and forgets those that it removed.
func (c *caller) learn(r *request, a *response) {
	if a.status >= 300 {
		return
	}
	if r.method == http.MethodDelete && r.used != "" {
		c.forget(kindOf(r.op), r.used)
		c.forget(spare, r.used)
		return
	}
	if r.kept == nothing {
		return
	}
	var made struct{ ID, Name string }
	if json.Unmarshal(a.body, &made) != nil {
		return
	}
	switch {
	case r.kept == eventType:
		c.forget(eventType, made.Name)
		c.keep(eventType, made.Name)
	case made.ID != "":
		c.keep(r.kept, made.ID)
	}
}
