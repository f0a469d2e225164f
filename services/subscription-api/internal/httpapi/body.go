package httpapi

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

// firstRoom is the initial size of the buffer for a body, whatever its Content-Length says.
const firstRoom = 16 << 10

// readBody reads a request's body into the buffer and checks that it is valid JSON. If the operation needs no body,
// an empty one is accepted.
func readBody(c echo.Context, into *bytes.Buffer, needed bool, check func([]byte) error) ([]byte, error) {
	r := c.Request()
	if r.ContentLength > maxBody {
		return nil, tooLarge()
	}
	from := io.Reader(r.Body)
	if r.ContentLength < 0 { // otherwise net/http reads no more than that
		from = http.MaxBytesReader(c.Response(), r.Body, maxBody)
	}
	into.Grow(bytes.MinRead + int(min(max(r.ContentLength, 0), firstRoom)))
	_, err := into.ReadFrom(from)
	if err != nil {
		return nil, unreadBody(err)
	}
	body := into.Bytes()
	if len(body) == 0 && !needed {
		return nil, nil
	}
	if err := checkMediaType(r.Header); err != nil {
		return nil, err
	}
	if err := check(body); err != nil {
		return nil, err
	}
	return body, nil
}

// unreadBody returns the response to a body that did not arrive.
func unreadBody(err error) error {
	_, large := errors.AsType[*http.MaxBytesError](err)
	switch {
	case large:
		return tooLarge()
	case errors.Is(err, daemon.ErrSlowBody):
		return newProblem(http.StatusRequestTimeout, "The body arrived too slowly.")
	default:
		return badBody("", "the body broke off")
	}
}

func tooLarge() error {
	return newProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("The body is larger than %d bytes.", maxBody))
}

func checkMediaType(header http.Header) error {
	if encoding := header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return newProblem(http.StatusUnsupportedMediaType, "The body must not be compressed.")
	}
	contentType := header.Get("Content-Type")
	if contentType == "application/json" {
		return nil
	}
	mediaType, params, err := mime.ParseMediaType(contentType)
	charset := params["charset"]
	if err != nil || mediaType != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return newProblem(http.StatusUnsupportedMediaType, "The body must be JSON: send Content-Type: application/json.")
	}
	return nil
}
