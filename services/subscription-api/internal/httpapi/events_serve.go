package httpapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

// keptBody is the maximum size of a buffer that is reused.
const keptBody = 256 << 10

// servePublish serves publishEvents without huma's wrapping of handlers, which costs more per request than publishing
// itself.
func (s *server) servePublish(r *route) echo.HandlerFunc {
	op := s.operation(http.MethodPost, eventsPath)
	return func(c echo.Context) error {
		body, _ := s.bodies.Get().(*bytes.Buffer)
		body.Reset()
		admitted, err := s.admitCaller(c, r, op)
		if err == nil {
			admitted.body, err = readBody(c, body, true, r.check)
		}
		ctx, out := c.Request().Context(), (*publishedOutput)(nil)
		if err == nil {
			header := c.Request().Header
			out, err = s.publishEvents(ctx, admitted, &publishHeaders{header.Get("Idempotency-Key"), header.Get("Traceparent"), header.Get("Tracestate")})
		}
		if err != nil {
			err = s.problem(ctx, err).write(c)
		} else {
			err = writeJSON(c, r.status, appendPublished(make([]byte, 0, 64*(len(out.Body.Results)+2)), &out.Body))
		}
		if body.Cap() <= keptBody { // a buffer is not reused after a panic either
			s.bodies.Put(body)
		}
		return err
	}
}

func writeJSON(c echo.Context, status int, body []byte) error {
	h := c.Response().Header()
	h["Content-Type"], h["Content-Length"] = []string{"application/json"}, []string{strconv.Itoa(len(body))}
	c.Response().WriteHeader(status)
	_, err := c.Response().Write(body)
	return err
}

// appendPublished appends the response, in the format of encoding/json.
func appendPublished(to []byte, b *api.Published) []byte {
	to = append(to, '{')
	if b.EventID != "" {
		to = append(appendText(append(to, `"event_id":`...), b.EventID), ',')
	}
	to = append(to, `"results":[`...)
	for i, e := range b.Results {
		if i > 0 {
			to = append(to, ',')
		}
		to = appendText(append(to, `{"event_id":`...), e.EventID)
		if len(e.SchemaProblems) > 0 {
			text, _ := json.Marshal(e.SchemaProblems) //nolint:errchkjson // of strings alone
			to = append(append(to, `,"schema_problems":`...), text...)
		}
		to = append(to, '}')
	}
	return append(to, "]}\n"...)
}

// appendText appends a string. Unusual characters are left to encoding/json.
func appendText(to []byte, s string) []byte {
	if strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) {
		text, _ := json.Marshal(s) //nolint:errchkjson // always has a form
		return append(to, text...)
	}
	return append(append(append(to, '"'), s...), '"')
}
