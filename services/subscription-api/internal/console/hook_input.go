package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
)

// complaints are what is wrong with a form, by the name of the place where that is shown.
type complaints map[string][]string

// any reports whether there is any.
func (c complaints) any() bool { return len(c) > 0 }

func (c complaints) add(slot, detail string) {
	if text := sentence(detail); !slices.Contains(c[slot], text) {
		c[slot] = append(c[slot], text)
	}
}

// collect adds what an error says, each field at its place.
func (c complaints) collect(prefix string, err error) {
	var invalid *webhook.ValidationError
	switch {
	case err == nil:
	case errors.As(err, &invalid):
		for _, f := range invalid.Fields {
			slot, rest := slotOf(prefix + f.Pointer)
			if rest != "" {
				c.add(slot, strings.TrimPrefix(rest, "/")+": "+f.Detail)
			} else {
				c.add(slot, f.Detail)
			}
		}
	default:
		slot, _ := slotOf(prefix)
		c.add(slot, err.Error())
	}
}

// slots are the places of the form that show what is wrong, by what they show.
func slots() map[string]string {
	return map[string]string{
		"/name": "name", "/event_types": "event_types", "/target_url": "target_url", "/secret_key": "secret_key",
		"/api_key": "api_key", "/config/auth": "auth", "/additional_headers": "headers", "/callback": "callback",
		"/retry_countdown_config": "retry", "/retry_countdown_config/kwargs": "retry", "/config": "config",
		"/config/format": "format", "/config/method": "method", "/config/timeout": "timeout", "/config/concurrency": "concurrency",
		"/config/rate_limit": "rate_limit", "/config/ordering": "ordering", "/config/stop_on": "stop_on",
		"/config/api_key_header": "api_key_header", "/config/maintenance": "maintenance", "/config/filter": "filter", "/config/tls": "tls", "/config/content_fields": "content_fields",
		"/config/start_from": "start_from",
	}
}

// slotOf finds the place for a pointer: that of the longest beginning which has one. rest is what is left.
func slotOf(pointer string) (slot, rest string) {
	known := slots()
	for at := len(pointer); at > 0; at = strings.LastIndexByte(pointer[:at], '/') {
		if slot, ok := known[pointer[:at]]; ok {
			return slot, pointer[at:]
		}
	}
	return "form", pointer
}

// sentence makes one of a rule's text.
func sentence(detail string) string {
	first, _, _ := strings.Cut(detail, " ")
	switch first {
	case "is", "must", "has", "does", "adds", "names", "nests", "cannot":
		detail = "This " + detail
	default:
		if r := []rune(detail); len(r) > 0 && !strings.HasSuffix(first, ":") {
			r[0] = unicode.ToUpper(r[0])
			detail = string(r)
		}
	}
	return strings.TrimSuffix(detail, ".") + "."
}

// knowledge is what has to be asked before a form can be judged.
type knowledge struct {
	types []string
	urls  urlChecker
	// filters are those of the tenant's hooks, where a hook is about to be saved.
	filters map[uuid.UUID]string
}

// apply writes the form to a hook: a new one, or a stored one whose secrets stay unless the form says otherwise.
// It returns the secret that was made, which has to be shown once.
func (f *hookForm) apply(h *webhook.Hook, know knowledge, wrong complaints) (madeSecret string) {
	stored := *h
	before := h.EventTypes
	h.Name, h.NotificationType = f.Name, webhook.NotificationREST
	words := slices.Concat(f.Types, strings.FieldsFunc(f.Others, func(r rune) bool { return unicode.IsSpace(r) || r == ',' }))
	h.EventTypes = webhook.CanonicalEventTypes(words)
	for _, t := range h.EventTypes {
		if webhook.ValidateEventType(t) == nil && !slices.Contains(know.types, t) && !slices.Contains(before, t) {
			near := strings.Join(catalogue.Nearest(t, know.types, 3), ", ")
			wrong.add("event_types", fmt.Sprintf("%q is not a known event type; the nearest are %s", t, near))
		}
	}
	h.TargetURL = f.TargetURL
	canonical, err := know.urls.CheckURL(f.TargetURL)
	switch {
	case f.TargetURL == "":
		wrong.add("target_url", "is required")
	case err != nil:
		wrong.collect("/target_url", err)
	default:
		h.TargetURL = canonical
	}
	madeSecret = f.applySecrets(h, wrong)
	h.Headers = f.headers(wrong)
	h.Callback = f.callback(know, wrong)
	if retries := f.retries(); !webhook.SameJSON(retries, h.RetryConfig) {
		h.RetryConfig = retries
	}
	f.applyConfig(h, know, wrong)
	h.Trim()
	f.judge(h, wrong)
	f.judgeSecrets(&stored, h, wrong)
	return madeSecret
}

// judgeSecrets complains about secrets that have to be entered again. The form has all headers.
func (f *hookForm) judgeSecrets(stored, h *webhook.Hook, wrong complaints) {
	if stored.Version == 0 {
		return
	}
	sent := slices.Contains([]string{webhook.AuthBasic, webhook.AuthToken, webhook.AuthOAuth2}, f.Auth.Mode)
	kept := webhook.Kept{APIKey: f.APIKeyMode != "own", Auth: !sent, TLS: f.TLS.Mode != "own"}
	wrong.collect("", webhook.CheckKept(stored, h, kept))
	if h.Config.Auth != nil && !kept.Auth {
		wrong.collect("", h.Config.Auth.CheckChanged())
	}
}

// judge adds what the domain finds wrong, unless a place complains already.
func (f *hookForm) judge(h *webhook.Hook, wrong complaints) {
	found := complaints{}
	found.collect("", h.Validate())
	for slot, details := range found {
		if len(wrong[slot]) == 0 {
			wrong[slot] = details
		}
	}
}

func (f *hookForm) applySecrets(h *webhook.Hook, wrong complaints) (made string) {
	switch f.SecretMode {
	case "generate":
		made = signature.GenerateSecret()
		h.Secrets = []webhook.Secret{{Value: made}}
	case "own":
		if f.Secret == "" {
			wrong.add("secret_key", "is required")
		} else if _, err := signature.ParseKey(f.Secret); err != nil {
			wrong.add("secret_key", err.Error())
		}
		h.Secrets = []webhook.Secret{{Value: f.Secret}}
	case "none":
		h.Secrets = nil
	}
	switch f.APIKeyMode {
	case "own":
		if f.APIKey == "" {
			wrong.add("api_key", "is required")
		}
		h.APIKey = f.APIKey
	case "none":
		h.APIKey = ""
	}
	return made
}

// headers reads the headers: one a line, or the JSON object that the API takes.
func (f *hookForm) headers(wrong complaints) map[string]string {
	var headers map[string]string
	if text := strings.TrimSpace(f.Headers); strings.HasPrefix(text, "{") {
		if err := json.Unmarshal([]byte(text), &headers); err != nil {
			wrong.add("headers", `is no JSON object of strings: write {"Name": "value"}, or one header a line, as Name: value`)
		}
		return headers
	}
	for line := range strings.SplitSeq(f.Headers, "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			wrong.add("headers", fmt.Sprintf("%q has no colon: write one header a line, as Name: value", strings.TrimSpace(line)))
			continue
		}
		if headers == nil {
			headers = map[string]string{}
		}
		name = strings.TrimSpace(name)
		if _, twice := headers[name]; twice {
			wrong.add("headers", name+": is there twice")
		}
		headers[name] = strings.TrimSpace(value)
	}
	return headers
}

func (f *hookForm) callback(know knowledge, wrong complaints) *webhook.Callback {
	switch f.CallbackMode {
	case "url":
		if f.CallbackURL == "" {
			wrong.add("callback", "The URL is required")
		} else if _, err := know.urls.CheckURL(f.CallbackURL); err != nil {
			wrong.add("callback", "url: "+err.Error())
		}
		return &webhook.Callback{URL: f.CallbackURL, On: f.CallbackOn}
	case "subject":
		if f.CallbackSubject == "" {
			wrong.add("callback", "The subject is required")
		}
		return &webhook.Callback{Subject: f.CallbackSubject, On: f.CallbackOn}
	}
	return nil
}

// applyConfig keeps the stored text where the form means the same, and the stored auth and tls where the form says so.
func (f *hookForm) applyConfig(h *webhook.Hook, know knowledge, wrong complaints) {
	config, err := f.config()
	if err != nil {
		wrong.collect("/config", err)
		return
	}
	raw := config.raw()
	if webhook.SameJSON(raw, h.Config.Raw) {
		raw = h.Config.Raw
	}
	parsed, err := webhook.ParseConfig(raw)
	wrong.collect("/config", err)
	_, hasAuth := config["auth"]
	if hasAuth || parsed.Auth != nil {
		wrong.add("config", "auth has fields of its own, further up")
		return
	}
	if _, hasTLS := config["tls"]; hasTLS {
		wrong.add("config", "tls has fields of its own, further up")
		return
	}
	if f.Filter != "" && f.Filter != h.Config.Filter {
		delete(know.filters, h.ID)
		if err := filter.CheckBeside(f.Filter, slices.Collect(maps.Values(know.filters))); err != nil {
			wrong.collect("/config/filter", err)
		}
	}
	parsed.Auth, parsed.TLS = h.Config.Auth, h.Config.TLS
	wrong.collect("/config", f.Auth.apply(&parsed))
	wrong.collect("/config", f.TLS.apply(&parsed))
	for pointer, target := range map[string]string{"/config/auth/url": f.Auth.URL, "/config/auth/token_url": f.Auth.TokenURL} {
		if target != "" && f.Auth.calls(pointer) {
			_, err := know.urls.CheckURL(target)
			wrong.collect(pointer, err)
		}
	}
	h.Config = parsed
}

// strictObject reads an object; each error is a sentence for people.
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
