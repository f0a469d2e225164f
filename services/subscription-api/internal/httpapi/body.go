package httpapi

import (
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

// readBody reads a request's body and checks that it is clean JSON. An operation that takes none lets an empty one pass.
func readBody(c echo.Context, needed bool, check func([]byte) error) ([]byte, error) {
	r := c.Request()
	if r.ContentLength > maxBody {
		return nil, tooLarge()
	}
	body, err := io.ReadAll(http.MaxBytesReader(c.Response(), r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, tooLarge()
	case errors.Is(err, daemon.ErrSlowBody):
		return nil, newProblem(http.StatusRequestTimeout, "The body arrived too slowly.")
	case err != nil:
		return nil, badBody("", "the body broke off")
	case len(body) == 0 && !needed:
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

func tooLarge() error {
	return newProblem(http.StatusRequestEntityTooLarge, fmt.Sprintf("The body is larger than %d bytes.", maxBody))
}

func checkMediaType(header http.Header) error {
	if encoding := header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return newProblem(http.StatusUnsupportedMediaType, "The body must not be compressed.")
	}
	mediaType, params, err := mime.ParseMediaType(header.Get("Content-Type"))
	charset := params["charset"]
	if err != nil || mediaType != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return newProblem(http.StatusUnsupportedMediaType, "The body must be JSON: send Content-Type: application/json.")
	}
	return nil
}
