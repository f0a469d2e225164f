package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// ExportFormat is what a file is written as.
type ExportFormat string

// Formats of files: comma-separated values with a head, and JSON, a row on a line.
const (
	CSV    ExportFormat = "csv"
	NDJSON ExportFormat = "ndjson"
)

// ErrBrokenOff says that a file is not complete.
var ErrBrokenOff = errors.New("file is not complete")

func (c *core) export(ctx context.Context, path string, query url.Values, format ExportFormat, out io.Writer) error {
	if format != "" {
		query.Set("format", string(format))
	}
	answer, err := c.stream(ctx, request{method: http.MethodGet, path: path, query: query})
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	from := &source{Reader: answer.Body}
	_, err = io.Copy(out, from)
	switch {
	case err == nil:
		return nil
	case from.failed:
		return fmt.Errorf("read answer of %s: %w", c.root.Host, errors.Join(ErrBrokenOff, ErrUnavailable, err))
	default:
		return fmt.Errorf("write file: %w", err)
	}
}

// source remembers whether it was reading that failed.
type source struct {
	io.Reader

	failed bool
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p)
	s.failed = err != nil && !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	return n, err
}
