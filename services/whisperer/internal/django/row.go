// Package django reads the hooks of dj-whisperer, Whisperer's Django predecessor, from a dump and converts them.
package django

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Row is a row of whisperer_webhook.
type Row struct {
	// PK is the primary key as text: a number, or a UUID.
	PK string
	// User is the id of the Django user who owns the hook.
	User             string
	Name             string
	TargetURL        string
	EventType        string
	NotificationType string
	IsActive         bool
	SecretKey        string
	APIKey           string
	// Callback is the dotted path of a Python function.
	Callback                              string
	RetryCountdownConfig, Headers, Config json.RawMessage
	CreatedDate, ModifiedDate             time.Time
	// Unknown are columns that have a value but no counterpart.
	Unknown []string
}

// timeLayouts are those of Django's JSON and of PostgreSQL's COPY.
func timeLayouts() []string {
	return []string{
		time.RFC3339Nano, "2006-01-02 15:04:05.999999999-07", "2006-01-02 15:04:05.999999999-07:00", "2006-01-02T15:04:05.999999999",
		"2006-01-02 15:04:05.999999999",
	}
}

// newRow converts a row's columns. Each value is JSON; null and absent values mean nothing. The error names the
// column.
func newRow(pk string, columns map[string]json.RawMessage) (Row, error) {
	r := Row{PK: pk}
	f := fields{columns: columns}
	f.text("user", &r.User)
	f.text("user_id", &r.User)
	f.text("name", &r.Name)
	f.text("target_url", &r.TargetURL)
	f.text("event_type", &r.EventType)
	f.text("notification_type", &r.NotificationType)
	f.text("secret_key", &r.SecretKey)
	f.text("api_key", &r.APIKey)
	f.text("callback", &r.Callback)
	f.flag("is_active", &r.IsActive)
	f.json("retry_countdown_config", &r.RetryCountdownConfig)
	f.json("additional_headers", &r.Headers)
	f.json("config", &r.Config)
	f.time("created_date", &r.CreatedDate)
	f.time("modified_date", &r.ModifiedDate)
	if f.err != nil {
		return Row{}, fmt.Errorf("row %s: %w", pk, f.err)
	}
	for name, value := range columns {
		if !slices.Contains(f.known, name) && !isNull(value) && name != "id" {
			r.Unknown = append(r.Unknown, name)
		}
	}
	slices.Sort(r.Unknown)
	return r, nil
}

// fields reads columns by name and keeps the first error.
type fields struct {
	columns map[string]json.RawMessage
	known   []string
	err     error
}

func (f *fields) take(name string) (json.RawMessage, bool) {
	f.known = append(f.known, name)
	raw, there := f.columns[name]
	return raw, there && !isNull(raw) && f.err == nil
}

// text reads a string, or a number in its notation.
func (f *fields) text(name string, to *string) {
	raw, ok := f.take(name)
	if !ok {
		return
	}
	if raw[0] != '"' {
		*to = string(raw)
		return
	}
	if err := json.Unmarshal(raw, to); err != nil {
		f.err = fmt.Errorf("%s is not text", name)
	}
}

// flag reads true and false, or COPY's t and f.
func (f *fields) flag(name string, to *bool) {
	raw, ok := f.take(name)
	switch text := strings.Trim(string(raw), `"`); {
	case !ok:
	case text == "true" || text == "t" || text == "1":
		*to = true
	case text == "false" || text == "f" || text == "0":
		*to = false
	default:
		f.err = fmt.Errorf("%s is neither true nor false", name)
	}
}

// json reads a JSON document. COPY and some versions of Django encode it as a string, which is decoded first.
func (f *fields) json(name string, to *json.RawMessage) {
	raw, ok := f.take(name)
	if !ok {
		return
	}
	if raw[0] == '"' {
		var inner string
		if json.Unmarshal(raw, &inner) != nil || !json.Valid([]byte(inner)) {
			f.err = fmt.Errorf("%s is not JSON", name)
			return
		}
		raw = json.RawMessage(inner)
	}
	if !isNull(raw) {
		*to = raw
	}
}

func (f *fields) time(name string, to *time.Time) {
	raw, ok := f.take(name)
	if !ok {
		return
	}
	text := strings.Trim(string(raw), `"`)
	for _, layout := range timeLayouts() {
		if t, err := time.Parse(layout, text); err == nil {
			*to = t.UTC()
			return
		}
	}
	f.err = fmt.Errorf("%s is not a time", name)
}

func isNull(raw json.RawMessage) bool { return len(raw) == 0 || string(raw) == "null" }
