package console

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// option is one choice of a list.
type option struct{ Value, Label string }

// hookForm has the form's values as typed text.
type hookForm struct {
	Name      string
	TargetURL string
	// Types are the selected known types. Others are patterns and other types, one per line.
	Types  []string
	Others string

	// SecretMode is generate, own, keep or none.
	SecretMode, Secret string
	// APIKeyMode is keep, own or none.
	APIKeyMode, APIKey string
	Auth               authForm
	TLS                tlsForm
	Headers            string
	// Keys are the typed keys of the config, by name. RatePeriod and Condition are the second parts of rate_limit and
	// success, and Own has the integrator's own keys.
	Keys                       map[string]string
	RatePeriod, Condition, Own string
	// Fields are those that only have a description, by name.
	Fields map[string]string

	// CallbackMode is none, url or subject.
	CallbackMode, CallbackURL, CallbackSubject string
	CallbackOn                                 []string

	// Start is the initial status of a new hook.
	Start string

	Choice                                               string
	Seconds, Schedule, LinearBase, LinearLimit           string
	ExponentialBase, ExponentialFactor, ExponentialLimit string
	MinValue, MaxValue, MaxRetries, Jitter, Deadline     string
	// RetryJSON is the retry_countdown_config itself, if the choice is json.
	RetryJSON string
}

// readHookForm reads a submitted form.
func readHookForm(f url.Values) hookForm {
	get := func(name string) string { return strings.TrimSpace(strings.ReplaceAll(f.Get(name), "\r\n", "\n")) }
	form := hookForm{
		Name: get("name"), TargetURL: get("target_url"), Types: f["event_type"], Others: get("event_types"),
		SecretMode: get("secret_mode"), Secret: f.Get("secret_key"), APIKeyMode: get("api_key_mode"), APIKey: f.Get("api_key"),
		Auth: readAuthForm(f), TLS: readTLSForm(f), Keys: map[string]string{}, Fields: map[string]string{}, Headers: get("headers"),
		CallbackMode: get("callback_mode"), CallbackURL: get("callback_url"), CallbackSubject: get("callback_subject"), CallbackOn: f["callback_on"],
		Choice: get("choice"), Seconds: get("seconds"), Schedule: get("schedule"), LinearBase: get("linear_base"), LinearLimit: get("linear_limit"),
		ExponentialBase: get("exponential_base"), ExponentialFactor: get("exponential_factor"), ExponentialLimit: get("exponential_limit"),
		MinValue: get("min_value"), MaxValue: get("max_value"), MaxRetries: get("max_retries"), Jitter: get("jitter"), Deadline: get("deadline"),
		RatePeriod: get("rate_period"), Condition: get("success_condition"), Own: get("config"), Start: get("status"), RetryJSON: get("retry_json"),
	}
	for _, k := range typedKeys() {
		form.Keys[k.Name] = get(k.Name)
	}
	for _, field := range otherFields() {
		form.Fields[field.Name] = get(field.Name)
	}
	return form
}

// newHookForm returns the form of a new hook, with recommended settings.
func newHookForm() hookForm {
	return hookForm{SecretMode: "generate", APIKeyMode: "none", Auth: authForm{Mode: "none"}, TLS: tlsForm{Mode: "none"}, CallbackMode: "none", Choice: "default", Start: "active"}
}

// formOf returns the form of a stored hook, without its secrets.
func formOf(h *webhook.Hook, known []string) hookForm {
	f := newHookForm()
	f.Name, f.TargetURL, f.SecretMode = h.Name, h.TargetURL, "none"
	var others []string
	for _, t := range h.EventTypes {
		if slices.Contains(known, t) {
			f.Types = append(f.Types, t)
		} else {
			others = append(others, t)
		}
	}
	f.Others = strings.Join(others, "\n")
	if len(h.Secrets) > 0 {
		f.SecretMode = "keep"
	}
	if h.APIKey != "" {
		f.APIKeyMode = "keep"
	}
	if h.Config.Auth != nil {
		f.Auth = authForm{Mode: "keep", Fields: map[string]string{"username": h.Config.Auth.Username}}
	}
	if h.Config.TLS != nil {
		f.TLS = tlsForm{Mode: "keep"}
	}
	f.Headers = linesOf(h.Headers)
	if h.Callback != nil {
		f.CallbackMode, f.CallbackURL, f.CallbackSubject, f.CallbackOn = "url", h.Callback.URL, h.Callback.Subject, h.Callback.On
		if h.Callback.Subject != "" {
			f.CallbackMode = "subject"
		}
	}
	f.Fields = map[string]string{}
	for _, field := range otherFields() {
		f.Fields[field.Name] = typedField(&field, field.Text(h))
	}
	f.showRetries(h.RetryConfig)
	f.showConfig(h.Config.Raw)
	return f
}

func linesOf(values map[string]string) string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		lines = append(lines, name+": "+values[name])
	}
	return strings.Join(lines, "\n")
}

// showRetries sets the fields of a retry_countdown_config.
func (f *hookForm) showRetries(raw json.RawMessage) {
	var in struct {
		Choice     string                     `json:"choice"`
		Kwargs     map[string]json.RawMessage `json:"kwargs"`
		MaxRetries json.RawMessage            `json:"max_retries"`
		Jitter     json.RawMessage            `json:"jitter"`
		Deadline   json.RawMessage            `json:"deadline"`
	}
	if len(raw) == 0 || json.Unmarshal(raw, &in) != nil || in.Choice == "" {
		return
	}
	f.Choice, f.MaxRetries, f.Jitter, f.Deadline = in.Choice, text(in.MaxRetries), text(in.Jitter), text(in.Deadline)
	f.MinValue, f.MaxValue = text(in.Kwargs["min_value"]), text(in.Kwargs["max_value"])
	switch webhook.Choice(in.Choice) {
	case webhook.Fixed:
		f.Seconds = text(in.Kwargs["seconds"])
	case webhook.Schedule:
		f.Schedule = listText(in.Kwargs["seconds"])
	case webhook.Linear:
		f.LinearBase, f.LinearLimit = text(in.Kwargs["base"]), text(in.Kwargs["limit"])
	case webhook.Exponential:
		f.ExponentialBase, f.ExponentialFactor = text(in.Kwargs["base"]), text(in.Kwargs["factor"])
		f.ExponentialLimit = text(in.Kwargs["limit"])
	case webhook.Random:
	}
}

// showConfig splits a config into keys with fields and the others.
func (f *hookForm) showConfig(raw json.RawMessage) {
	var keys map[string]json.RawMessage
	if json.Unmarshal(raw, &keys) != nil {
		return
	}
	var rate struct{ Limit, Period json.RawMessage }
	_ = json.Unmarshal(keys["rate_limit"], &rate) // none
	var success struct{ Statuses, Condition json.RawMessage }
	_ = json.Unmarshal(keys["success"], &success) // none
	f.Keys = map[string]string{}
	for _, k := range typedKeys() {
		f.Keys[k.Name] = typedKey(&k, keys[k.Name])
		delete(keys, k.Name)
	}
	f.Keys["rate_limit"], f.RatePeriod = text(rate.Limit), text(rate.Period)
	f.Keys["success"], f.Condition = listText(success.Statuses), text(success.Condition)
	if len(keys) > 0 {
		f.Own = pretty(encode(keys))
	}
}

// text formats a JSON string or number for an input.
func text(raw json.RawMessage) string {
	var s string
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return ""
	case json.Unmarshal(raw, &s) == nil:
		return s
	}
	return string(raw)
}

func listText(raw json.RawMessage) string {
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) != nil {
		return text(raw)
	}
	parts := make([]string, len(items))
	for i, item := range items {
		parts[i] = text(item)
	}
	return strings.Join(parts, ", ")
}

// retries returns the form's retry_countdown_config; nil for the default.
func (f *hookForm) retries() json.RawMessage {
	kwargs := object{}
	switch webhook.Choice(f.Choice) {
	case webhook.Fixed:
		kwargs.put("seconds", seconds(f.Seconds))
	case webhook.Linear:
		kwargs.put("base", seconds(f.LinearBase))
		kwargs.put("limit", seconds(f.LinearLimit))
	case webhook.Exponential:
		kwargs.put("base", number(f.ExponentialBase))
		kwargs.put("factor", number(f.ExponentialFactor))
		kwargs.put("limit", seconds(f.ExponentialLimit))
	case webhook.Random:
		kwargs.put("min_value", seconds(f.MinValue))
		kwargs.put("max_value", seconds(f.MaxValue))
	case webhook.Schedule:
		kwargs.put("seconds", list(f.Schedule, seconds))
	default:
		switch f.Choice {
		case "default", "":
			return nil
		case "json":
			return orQuoted(f.RetryJSON)
		}
	}
	config := object{}
	config.put("choice", quoted(f.Choice))
	config.put("kwargs", kwargs.raw())
	config.put("max_retries", number(f.MaxRetries))
	config.put("jitter", number(f.Jitter))
	config.put("deadline", seconds(f.Deadline))
	return config.raw()
}

// config returns the form's config object, or nil if the integrator's own keys cannot be parsed, which it adds to
// wrong.
func (f *hookForm) config(wrong *webhook.ValidationError) json.RawMessage {
	config := object{}
	if f.Own != "" {
		if err := strictObject(f.Own, &config); err != nil {
			wrong.Collect("/config", err)
			return nil
		}
	}
	parsed, _ := webhook.ParseConfig(config.raw()) // the domain checks it later
	switch _, hasAuth := config["auth"]; {
	case hasAuth || parsed.Auth != nil:
		wrong.Add("/config", "auth has fields of its own, further up")
		return nil
	case config["tls"] != nil:
		wrong.Add("/config", "tls has fields of its own, further up")
		return nil
	}
	for _, k := range typedKeys() {
		config.put(k.Name, keyOf(&k, f.Keys[k.Name], wrong))
	}
	if f.Keys["rate_limit"] != "" || f.RatePeriod != "" {
		rate := object{}
		rate.put("limit", number(f.Keys["rate_limit"]))
		rate.put("period", seconds(f.RatePeriod))
		config.put("rate_limit", rate.raw())
	}
	if f.Keys["success"] != "" || f.Condition != "" {
		success := object{}
		if f.Keys["success"] != "" {
			success.put("statuses", list(f.Keys["success"], number))
		}
		success.put("condition", quoted(f.Condition))
		config.put("success", success.raw())
	}
	config.put("auth", f.Auth.value())
	config.put("tls", f.TLS.value())
	return config.raw()
}

// object is a JSON object under construction.
type object map[string]json.RawMessage

// put sets a member unless the value is empty.
func (o object) put(name string, value json.RawMessage) {
	if len(value) > 0 {
		o[name] = value
	}
}

func (o object) raw() json.RawMessage { return encode(map[string]json.RawMessage(o)) }

// encode encodes a value, or returns null if that is impossible; the domain then reports null as invalid.
func encode(value any) json.RawMessage {
	raw, err := json.Marshal(value)
	if err != nil {
		return json.RawMessage("null")
	}
	return raw
}

func quoted(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	return encode(s)
}

// orQuoted returns JSON unchanged, and anything else as a string, which the domain then rejects.
func orQuoted(s string) json.RawMessage {
	if json.Valid([]byte(s)) {
		return json.RawMessage(s)
	}
	return quoted(s)
}

// number returns a number unchanged.
func number(s string) json.RawMessage {
	var n json.Number
	if json.Unmarshal([]byte(s), &n) == nil && s[0] != '"' {
		return json.RawMessage(s)
	}
	return quoted(s)
}

// seconds accepts a number of seconds, or a duration such as 5m or 1h30m.
func seconds(s string) json.RawMessage {
	compact := strings.ReplaceAll(strings.ReplaceAll(s, " ", ""), "min", "m")
	if days, ok := strings.CutSuffix(compact, "d"); ok {
		if n, err := strconv.Atoi(days); err == nil && n < 1000 {
			return json.RawMessage(strconv.Itoa(n * 86_400))
		}
	}
	d, err := time.ParseDuration(compact)
	if err == nil && d%time.Second == 0 && strings.ContainsAny(compact, "hms") {
		return json.RawMessage(strconv.Itoa(int(d / time.Second)))
	}
	return number(s)
}

func list(s string, item func(string) json.RawMessage) json.RawMessage {
	items := []json.RawMessage{}
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ',' || r == ';' || r == '\n' || r == ' ' }) {
		items = append(items, item(word))
	}
	return encode(items)
}
