package attempt

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxLife caps the lifetime of a token.
const maxLife = 365 * 24 * time.Hour

// expiresIn returns the lifetime of the token in a login's answer: expires_in in seconds, as any kind of number or a
// string that holds one. It returns 0 if the value is missing or implausible.
func expiresIn(answer []byte) time.Duration {
	var said struct {
		ExpiresIn json.RawMessage `json:"expires_in"`
	}
	if json.Unmarshal(answer, &said) != nil {
		return 0
	}
	seconds, err := strconv.ParseFloat(strings.TrimSpace(strings.Trim(string(said.ExpiresIn), `"`)), 64)
	if err != nil || !(seconds >= 1) { // also rejects NaN
		return 0
	}
	return time.Duration(min(seconds, maxLife.Seconds())) * time.Second
}

// plainExpiry rewrites expires_in into whole seconds, the only form that the OAuth 2.0 library reads, or removes it.
type plainExpiry struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (p plainExpiry) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := p.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body) // short, and already in memory
	_ = resp.Body.Close()
	if err != nil {
		return nil, err
	}
	var answer map[string]json.RawMessage
	if json.Unmarshal(body, &answer) == nil && answer["expires_in"] != nil {
		delete(answer, "expires_in")
		if life := expiresIn(body); life > 0 {
			answer["expires_in"] = strconv.AppendInt(nil, int64(life/time.Second), 10)
		}
		if plain, err := json.Marshal(answer); err == nil {
			body = plain
		}
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return resp, nil
}
