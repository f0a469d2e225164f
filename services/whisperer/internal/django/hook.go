package django

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// HookID returns the hook's id: the row's own if that is a UUID, or else one derived from the tenant and the number,
// so that every import yields the same id.
func HookID(tenant, pk string) uuid.UUID {
	if id, err := uuid.Parse(pk); err == nil {
		return id
	}
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://pypi.org/project/dj-whisperer#"+tenant+"/"+pk))
}

// Hook converts a row to a hook, with notes on what will be different. The body has the given format, unless the
// config names one. The error is a *webhook.ValidationError that lists everything that is wrong by the hook's own
// rules; rules that need a look-up are the caller's.
func (r *Row) Hook(tenant string, format webhook.Format) (h webhook.Hook, notes []string, err error) {
	h = webhook.Hook{
		ID: HookID(tenant, r.PK), Tenant: tenant, Name: r.Name, EventTypes: webhook.CanonicalEventTypes([]string{r.EventType}),
		TargetURL: r.TargetURL, NotificationType: webhook.NotificationREST, APIKey: r.APIKey, Status: webhook.Active,
		CreatedAt: r.CreatedDate, ModifiedAt: r.ModifiedDate,
	}
	invalid := &webhook.ValidationError{}
	if !r.IsActive {
		// Not paused, because deliveries for a paused hook would accumulate.
		h.Status, h.DisabledReason = webhook.Disabled, "it was not active in Django"
		notes = append(notes, "disabled, since it was not active")
	}
	if r.NotificationType != "" {
		h.NotificationType = r.NotificationType
	}
	if r.SecretKey != "" {
		h.Secrets = []webhook.Secret{{Value: r.SecretKey}}
		if strings.HasPrefix(r.SecretKey, "whsec_") {
			notes = append(notes, "its secret begins with whsec_, so what follows is read as base64 from now on")
		}
	}
	if !isNull(r.RetryCountdownConfig) && !emptyObject(r.RetryCountdownConfig) {
		h.RetryConfig = r.RetryCountdownConfig
	}
	if !isNull(r.Headers) && json.Unmarshal(r.Headers, &h.Headers) != nil {
		invalid.Add("/additional_headers", "must be an object of strings")
	}
	for name, value := range h.Headers {
		if strings.EqualFold(name, "Content-Type") && strings.HasPrefix(strings.ToLower(value), "application/json") {
			delete(h.Headers, name)
			notes = append(notes, "header "+name+" is left out: it is sent anyway")
		}
	}
	var callbackNote string
	if h.Callback, callbackNote, err = callback(tenant, r.Callback); err != nil {
		invalid.Add("/callback", "%s", err)
	} else if callbackNote != "" {
		notes = append(notes, callbackNote)
	}
	config, err := withFormat(r.Config, format)
	if err == nil {
		h.Config, err = webhook.ParseConfig(config)
	}
	invalid.Collect("/config", err)
	for _, column := range r.Unknown {
		notes = append(notes, "column "+column+" has no counterpart and is left out")
	}
	h.Trim()
	invalid.Collect("", h.Validate())
	if len(invalid.Fields) > 0 {
		return h, notes, invalid
	}
	return h, notes, nil
}

var pythonPath = regexp.MustCompile(`^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$`)

// callback converts the path of a Python function into the subject to which that function's program can subscribe.
func callback(tenant, path string) (*webhook.Callback, string, error) {
	if path == "" {
		return nil, "", nil
	}
	if !pythonPath.MatchString(path) {
		return nil, "", fmt.Errorf("is not the dotted path of a function")
	}
	c := webhook.CallbackOf(tenant, path)
	return c, "calls no function: outcomes are published to " + c.Subject, nil
}

// withFormat adds the format to a config without one.
func withFormat(raw json.RawMessage, format webhook.Format) (json.RawMessage, error) {
	if format == webhook.FormatOMS { // the default
		return raw, nil
	}
	keys := map[string]json.RawMessage{}
	if !isNull(raw) {
		if err := json.Unmarshal(raw, &keys); err != nil {
			return nil, errors.New("must be an object")
		}
	}
	if _, there := keys["format"]; there {
		return raw, nil
	}
	quoted, err := json.Marshal(format)
	if err != nil {
		return nil, fmt.Errorf("encode format: %w", err)
	}
	keys["format"] = quoted
	out, err := json.Marshal(keys)
	if err != nil {
		return nil, fmt.Errorf("encode config: %w", err)
	}
	return out, nil
}

func emptyObject(raw json.RawMessage) bool {
	var keys map[string]json.RawMessage
	return json.Unmarshal(raw, &keys) == nil && len(keys) == 0
}
