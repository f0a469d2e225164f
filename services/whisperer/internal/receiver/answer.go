package receiver

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// forwardTimeout is longer than any hook's timeout, so that the hook's timeout is what the sender sees.
const forwardTimeout = 35 * time.Second

// Forward returns a function that forwards every webhook unchanged to the URL and returns its response, or 502 if
// there is none.
func Forward(url string) func(context.Context, *Received) Answer {
	client := &http.Client{
		Timeout:       forwardTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context, r *Received) Answer {
		answer, err := forward(ctx, client, url, r)
		if err != nil {
			return Answer{Status: http.StatusBadGateway, Body: fmt.Appendln(nil, err)}
		}
		return answer
	}
}

func forward(ctx context.Context, client *http.Client, url string, r *Received) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, r.Method, url, bytes.NewReader(r.Body))
	if err != nil {
		return Answer{}, fmt.Errorf("make request: %w", err)
	}
	req.Header = r.Header.Clone()
	for _, name := range []string{"Connection", "Content-Length", "Accept-Encoding"} {
		req.Header.Del(name) // these belong to the incoming connection
	}
	answer, err := client.Do(req) //nolint:gosec // to where the developer says
	if err != nil {
		return Answer{}, fmt.Errorf("forward webhook: %w", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	if err != nil {
		return Answer{}, fmt.Errorf("read answer: %w", err)
	}
	header := http.Header{}
	for _, name := range []string{"Content-Type", "Retry-After"} {
		if values := answer.Header.Values(name); len(values) > 0 {
			header[name] = values
		}
	}
	return Answer{Status: answer.StatusCode, Header: header, Body: body}, nil
}
