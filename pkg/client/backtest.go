package client

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// BacktestFields say what a hook would be, and of which time its events are; what is empty is left to the API.
type BacktestFields struct {
	EventTypes []string        `json:"event_types,omitempty"`
	Config     json.RawMessage `json:"config,omitempty"`
	From       time.Time       `json:"from,omitzero"`
	To         time.Time       `json:"to,omitzero"`
}

// BacktestSample is an event with what a hook would have had to do with it.
type BacktestSample struct {
	EventID     string    `json:"event_id"`
	EventType   string    `json:"event_type"`
	Entity      string    `json:"entity"`
	CreatedDate time.Time `json:"created_date"`
	// Reason is what keeps the event from the hook, in one fixed word; Detail says so to people.
	Reason string `json:"reason"`
	Detail string `json:"detail"`
}

// Backtest says what a hook would have got.
type Backtest struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	// Scanned is how many events were looked at, Matched how many of them the hook would have got, and Missed how many not,
	// by reason.
	Scanned int            `json:"scanned"`
	Matched int            `json:"matched"`
	Missed  map[string]int `json:"missed"`
	// Failure is the newest event that the filter could not be evaluated for; nil where there is none.
	Failure *BacktestSample `json:"failure,omitempty"`
	// Truncated says that there were more events than were looked at.
	Truncated bool             `json:"truncated"`
	Samples   []BacktestSample `json:"samples"`
	Misses    []BacktestSample `json:"misses"`
}

// Backtest asks what a hook would have got of the last day's events, before it is saved.
func (c *Client) Backtest(ctx context.Context, f BacktestFields) (Backtest, error) {
	var b Backtest
	err := c.do(ctx, request{method: http.MethodPost, path: hooksPath + "backtest/", body: f}, &b)
	return b, err
}
