package history

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// measured collects the results of one kind of request.
type measured struct {
	took           []time.Duration
	bytes, results int
}

func (m *measured) figures(name, query string) Figures {
	slices.Sort(m.took)
	n := len(m.took)
	at := func(q float64) time.Duration { return m.took[min(int(q*float64(n)), n-1)].Round(10 * time.Microsecond) }
	return Figures{Name: name, Query: query, P50: at(0.5), P99: at(0.99), Max: at(1), Bytes: m.bytes / n, Results: float64(m.results) / float64(n)}
}

// measureLookUp makes a look-up's requests, one after the other, and fetches the second page of each list.
func (w *world) measureLookUp(ctx context.Context, l lookUp) (Figures, error) {
	var m measured
	for n := range w.options.Requests {
		address := w.api + "/whisperer/" + l.path(n)
		for range 2 {
			begin := time.Now()
			text, err := w.get(ctx, address, "Authorization", "Token "+w.token)
			if err != nil {
				return Figures{}, fmt.Errorf("%s: %w", l.name, err)
			}
			var page struct {
				Next    *string           `json:"next"`
				Results []json.RawMessage `json:"results"`
			}
			if err := json.Unmarshal(text, &page); err != nil {
				return Figures{}, fmt.Errorf("read answer of %s: %w", l.name, err)
			}
			m.took = append(m.took, time.Since(begin))
			m.bytes += len(text)
			if m.results += len(page.Results); page.Next == nil {
				break
			}
			address = *page.Next
		}
	}
	return m.figures(l.name, l.path(0)), nil
}

// measurePage requests a page of the console repeatedly, as a browser does.
func (w *world) measurePage(ctx context.Context, p consolePage) (Figures, error) {
	var m measured
	for range w.options.Requests {
		begin := time.Now()
		text, err := w.get(ctx, w.api+"/console/"+p.path, "Cookie", w.session, "Accept-Encoding", "gzip")
		if err != nil {
			return Figures{}, fmt.Errorf("%s: %w", p.name, err)
		}
		m.took = append(m.took, time.Since(begin))
		m.bytes += len(text)
	}
	return m.figures(p.name, p.path), nil
}

// client returns a client that follows no redirects: a redirect means that the wrong page is measured.
func (w *world) client() *http.Client {
	return &http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// get returns the body of a response, which must be a 200; headers are alternating names and values.
func (w *world) get(ctx context.Context, address string, headers ...string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := w.client().Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", address, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("read answer of %s: %w", address, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask %s: %d %s", address, response.StatusCode, text)
	}
	return text, nil
}

// signIn begins a session of the console.
func (w *world) signIn(ctx context.Context) error {
	form := url.Values{"token": {w.token}}.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, w.api+"/console/sign-in", strings.NewReader(form))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	response, err := w.client().Do(request)
	if err != nil {
		return fmt.Errorf("sign in: %w", err)
	}
	defer response.Body.Close()
	for _, c := range response.Cookies() {
		w.session = c.Name + "=" + c.Value
	}
	if w.session == "" {
		return errors.New("sign in: no session came")
	}
	return nil
}
