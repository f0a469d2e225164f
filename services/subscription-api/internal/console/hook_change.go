package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// hookFieldIDs maps pointers to the ids of the form's fields.
func hookFieldIDs() map[string]string {
	ids := map[string]string{
		"/name": "name", "/event_types": "event_types", "/target_url": "target_url", "/secret_key": "secret_key",
		"/api_key": "api_key", "/additional_headers": "headers", "/callback": "callback",
		"/retry_countdown_config": "retry", "/retry_countdown_config/kwargs": "retry", "/config": "config",
	}
	for _, k := range webhook.Keys() {
		ids["/config/"+k.Name] = k.Name
	}
	for _, f := range otherFields() {
		ids["/"+f.Name] = f.Name
	}
	ids["/config/success/statuses"], ids["/config/success/condition"] = "success", "success_condition"
	return ids
}

// change converts the form: all fields, with secrets kept unless the form says otherwise. It returns a generated
// secret, which must be shown once.
func (f *hookForm) change() (c *usecase.HookChange, madeSecret string) {
	c = &usecase.HookChange{
		EventTypes: usecase.Some(f.eventTypes()), TargetURL: usecase.Some(f.TargetURL),
		KeepAuth: f.Auth.kept(), KeepTLS: f.TLS.kept(),
	}
	if f.TargetURL == "" {
		c.TargetURL = usecase.Null[string]()
	}
	madeSecret = f.secrets(c)
	c.Settings = map[string]json.RawMessage{
		"name": encode(f.Name), "retry_countdown_config": f.retries(), "additional_headers": encode(f.headers(&c.Unreadable)),
		"callback": encode(f.callback(&c.Unreadable)),
	}
	for _, field := range otherFields() {
		c.Settings[field.Name] = fieldOf(&field, f.Fields[field.Name], &c.Unreadable)
	}
	if config := f.config(&c.Unreadable); config != nil {
		c.Config = usecase.Some(config)
	}
	return c, madeSecret
}

// eventTypes returns the selected and the typed event types.
func (f *hookForm) eventTypes() []string {
	return slices.Concat(f.Types, strings.FieldsFunc(f.Others, func(r rune) bool { return unicode.IsSpace(r) || r == ',' }))
}

func (f *hookForm) secrets(c *usecase.HookChange) (made string) {
	switch f.SecretMode {
	case "generate":
		made = signature.GenerateSecret()
		c.SecretKey = usecase.Some(made)
	case "own":
		if c.SecretKey = usecase.Some(f.Secret); f.Secret == "" {
			c.Unreadable.Add("/secret_key", "is required")
		}
	case "none":
		c.SecretKey = usecase.Null[string]()
	}
	switch f.APIKeyMode {
	case "own":
		if c.APIKey = usecase.Some(f.APIKey); f.APIKey == "" {
			c.Unreadable.Add("/api_key", "is required")
		}
	case "none":
		c.APIKey = usecase.Null[string]()
	}
	return made
}

// headers parses the headers: one per line, or the API's JSON object.
func (f *hookForm) headers(wrong *webhook.ValidationError) map[string]string {
	return namedLines(f.Headers, "/additional_headers", wrong)
}

// namedLines parses names and values, one pair per line or as a JSON object.
func namedLines(lines, pointer string, wrong *webhook.ValidationError) map[string]string {
	return linePairs().read(lines, pointer, wrong)
}

// notation is a notation for names and values, in addition to a JSON object.
type notation struct {
	split func(text string) []string
	// separator stands between a name and its value. lacks is the error if it is missing; write and writeObject
	// describe the notations.
	separator, lacks, write, writeObject string
}

func linePairs() notation {
	return notation{
		split: func(text string) []string { return strings.Split(text, "\n") }, separator: ":", lacks: "has no colon",
		write:       "write one header a line, as Name: value",
		writeObject: `write {"Name": "value"}, or one header a line, as Name: value`,
	}
}

// read returns the values by name, or nil if there are none. Errors are added to wrong.
func (n notation) read(typed, pointer string, wrong *webhook.ValidationError) map[string]string {
	var named map[string]string
	if typed = strings.TrimSpace(typed); strings.HasPrefix(typed, "{") {
		if err := json.Unmarshal([]byte(typed), &named); err != nil {
			wrong.Add(pointer, "is no JSON object of strings: %s", n.writeObject)
		}
		return named
	}
	for _, part := range n.split(typed) {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, n.separator)
		if !ok {
			wrong.Add(pointer, "%q %s: %s", part, n.lacks, n.write)
			continue
		}
		if named == nil {
			named = map[string]string{}
		}
		name = strings.TrimSpace(name)
		if _, twice := named[name]; twice {
			wrong.Add(pointer, "%s: is there twice", name)
		}
		named[name] = strings.TrimSpace(value)
	}
	return named
}

func (f *hookForm) callback(wrong *webhook.ValidationError) *webhook.Callback {
	callback := webhook.Callback{On: f.CallbackOn}
	switch f.CallbackMode {
	case "url":
		if callback.URL = f.CallbackURL; f.CallbackURL == "" {
			wrong.Add("/callback", "The URL is required")
		}
	case "subject":
		if callback.Subject = f.CallbackSubject; f.CallbackSubject == "" {
			wrong.Add("/callback", "The subject is required")
		}
	default:
		return nil
	}
	return callback.Normal()
}

// strictObject parses an object; errors are sentences for people.
func strictObject(s string, into *object) error {
	d := json.NewDecoder(bytes.NewReader([]byte(s)))
	err := d.Decode(into)
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("is not JSON, in line %d: %s", 1+strings.Count(s[:min(int(syntax.Offset), len(s))], "\n"), strings.TrimPrefix(syntax.Error(), "json: "))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("is not JSON: it ends too early")
	case err != nil || *into == nil:
		return errors.New(`must be a JSON object, such as {"channel_id": 12}`)
	case d.More():
		return errors.New("has something after the object's end")
	}
	return nil
}
