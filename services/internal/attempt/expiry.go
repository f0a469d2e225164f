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

// maxLife is the longest life of a token that is believed.
const maxLife = 365 * 24 * time.Hour

// expiresIn is how long the answer of a login says its token is good: expires_in in seconds, as a number of any form or a
// string with one. It is 0 where the answer does not say, or says what cannot be.
func expiresIn(answer []byte) time.Duration {
	var said struct {
		ExpiresIn json.RawMessage `json:"expires_in"`
	}
	if json.Unmarshal(answer, &said) != nil {
		return 0
	}
	seconds, err := strconv.ParseFloat(strings.TrimSpace(strings.Trim(string(said.ExpiresIn), `"`)), 64)
	if err != nil || !(seconds >= 1) { // not a number either
		return 0
	}
	return time.Duration(min(seconds, maxLife.Seconds())) * time.Second
}

// plainExpiry writes expires_in in the only form that the OAuth 2.0 library reads: as whole seconds, or not at all.
type plainExpiry struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (p plainExpiry) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := p.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body) // which is short, and here already
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
