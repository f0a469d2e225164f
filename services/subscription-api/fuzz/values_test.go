package fuzz_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// chance generates random values.
type chance struct {
	*rand.Rand

	// receiver is the prefix of the URLs that hooks may have.
	receiver string
	// unique differs for every request of a run.
	unique string
}

// oneIn is true once in n times.
func (c *chance) oneIn(n int) bool { return c.IntN(n) == 0 }

func pick[T any](c *chance, list ...T) T { return list[c.IntN(len(list))] }

// some returns a few elements of the list, at least one.
func some[T any](c *chance, list ...T) []T {
	n, chosen := 1+c.IntN(len(list)), []T(nil)
	for _, i := range c.Perm(len(list))[:n] {
		chosen = append(chosen, list[i])
	}
	return chosen
}

type object = map[string]any

// text returns text as people write it, of up to most bytes.
func (c *chance) text(most int) string {
	s := pick(c, "a", "Orders to SAP", "Größe <b>&amp;</b> \"x\" 'y'", "日本語 🙂", "../../etc/passwd", "'; DROP TABLE hooks; --", "${jndi:ldap://x}", "{{7*7}}",
		"%s%n%x", "a\u202eb", "null", "-1", strings.Repeat("n", most), strings.Repeat("é", most/2))
	for len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}

func (c *chance) eventType() string {
	return pick(c, "package.created", "order.created", "package-status-packed", "package.status.packed", "transfer.status.in_transit", "order.status.updated")
}

func (c *chance) pattern() string {
	return pick(c, c.eventType(), "*", ">", "package.>", "*.status.*", "order.*")
}

func (c *chance) time() string {
	t := time.Now().Add(-time.Duration(1+c.IntN(600)) * time.Hour)
	return pick(c, t.UTC().Format(time.RFC3339), t.UTC().Format(time.RFC3339Nano), t.In(time.FixedZone("", 5*3600+1800)).Format(time.RFC3339))
}

// good returns a valid value of a field or parameter of an operation, or false if the schema alone determines it.
func (c *chance) good(op, name string) (any, bool) {
	switch op + "." + name {
	case "create-tenant.name":
		return pick(c, "acme", "t-"+c.unique, "a_b-1", strings.Repeat("t", 63)), true
	case "declare-event-type.name":
		return pick(c, "kiosk.opened", "kiosk."+strings.ReplaceAll(c.unique, "-", "_"), "a", strings.Repeat("k", 128)), true
	case "pause-hooks.status", "resume-hooks.status", "replay-hooks.status":
		return pick(c, "active", "paused", "disabled"), true
	case "pause-hooks.labels", "resume-hooks.labels", "replay-hooks.labels", "retry-deliveries.labels":
		return pick(c, object{}, object{"partner": "acme"}, object{"partner": ""}), true
	case "retry-deliveries.states":
		return some(c, "dead", "waiting", "cancelled"), true
	case "put-back-set-aside.all", "pause-hooks.all", "resume-hooks.all", "replay-hooks.all", "rotate-signing-keys.revoke":
		return true, true
	case "rotate-signing-keys.algorithm":
		return pick(c, "ecdsa-p256-sha256", "ed25519"), true
	case "set-retention.event_type":
		return c.pattern(), true
	case "set-retention.days":
		return pick[any](c, nil, 1, 7, 3650), true
	case "erase.events":
		return []any{"e-" + c.unique, "other"}, true
	case "replay-hook.states", "replay-hooks.states":
		return some(c, "dead", "delivered", "waiting", "parked"), true
	case "replay-hook.event_types", "replay-hooks.event_types", "retry-deliveries.event_types", "create-hook.event_types", "replace-hook.event_types", "change-hook.event_types":
		return some(c, "package.created", "order.>", "*.status.*", "shipment-created", "*"), true
	case "publish-events.event_type":
		return pick(c, c.eventType(), "my.own.type"), true
	case "list-hooks.status":
		return pick(c, "active", "paused", "disabled"), true
	case "test-hook.event_type", "test-unsaved-hook.event_type":
		return c.eventType(), true
	case "test-unsaved-hook.hook":
		return object{"event_type": c.pattern(), "target_url": c.receiver + "/?" + c.unique, "secret_key": "secret", "config": c.config()}, true
	case "list-deliveries.status", "list-hook-deliveries.status", "export-deliveries.status", "export-attempts.status":
		return pick(c, 0, 200, 404, 599), true
	case "list-hooks.target_url", "list-hooks.search":
		return pick(c, c.receiver+"/a", "a", "ü%_\\"), true
	}
	switch name {
	case "name":
		return c.text(255), true
	case "description":
		return c.text(1000), true
	case "schema_check":
		return "off", true
	case "target_url":
		return c.receiver + pick(c, "/", "/a?b=c&d=%20", "/ü/") + pick(c, "?", "?x=") + c.unique, true
	case "event_type":
		return c.pattern(), true
	case "notification_type":
		return "rest", true
	case "secret_key":
		return pick[any](c, "secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", strings.Repeat("s", 256), "pässword"), true
	case "api_key":
		return pick[any](c, nil, "key", strings.Repeat("k", 256)), true
	case "additional_headers":
		return pick[any](c, nil, object{}, object{"X-Shop": "12", "X-Authorization": "Bearer x"}, object{"x-a": ""}), true
	case "callback":
		return pick[any](c, nil, object{"url": c.receiver + "/callback"}, object{"url": c.receiver + "/callback", "on": []string{"delivered", "dead"}}), true
	case "retry_countdown_config":
		return c.retries(), true
	case "config":
		return c.config(), true
	case "status":
		return pick[any](c, "active", "paused"), true
	case "role":
		return pick(c, "viewer", "editor", "admin"), true
	case "expires_date":
		return pick[any](c, nil, time.Now().Add(time.Duration(1+c.IntN(1000))*time.Hour).UTC().Format(time.RFC3339)), true
	case "from", "created_date__gte", "created_date__gt":
		return c.time(), true
	case "data_contains":
		return pick(c, `{"a":1}`, `{"package":{"awb":"1Z5"}}`, `[null,1.50]`, `"ü%_\\"`, "12345678901234567890123", "null", "{}"), true
	case "data_path":
		return pick(c, "$", "$.a", "$.lines[*] ? (@.quantity > 3)", `$.** ? (@ like_regex "^1Z")`, "strict $.a.b", `$."ü" ? (exists (@.a))`), true
	case "data_text":
		return c.text(200), true
	case "rate":
		return pick(c, 1, 2, 100, 10_000), true
	case "reason":
		return c.text(500), true
	case "event_id":
		return pick[any](c, nil, "e-"+c.unique, strings.Repeat("e", 100)+c.unique), true
	case "event_time":
		return pick[any](c, nil, c.time()), true
	case "entity":
		return pick(c, "", "order:61", "package:"+strings.Repeat("9", 20)), true
	case "current_context", "config_filter", "schema":
		return pick[any](c, nil, object{}, object{"channel_id": 12, "a": []any{1, nil, object{}}}), true
	case "data", "example":
		return c.json(3), true
	}
	return nil, false
}

// optional says which fields a valid body should omit: they contradict others, or the caller cannot set them.
func optional(op, name string) bool {
	switch op + "." + name {
	case "erase.entity", "erase.path", "erase.to", "test-hook.hook", "replay-delivery.sign_as_hook", "create-token.tenant", "replay-hook.to", "replay-hooks.to", "retry-deliveries.to", "create-hook.event_types", "replace-hook.event_types", "change-hook.event_types",
		"create-hook.is_active", "replace-hook.is_active", "change-hook.is_active":
		return false
	}
	return true
}

func (c *chance) retries() any {
	kinds := []object{
		{"choice": "fixed", "kwargs": object{"seconds": 60}},
		{"choice": "linear", "kwargs": object{"base": 60, "limit": 600}},
		{"choice": "exponential", "kwargs": object{"base": 2, "factor": 1, "limit": 3600}},
		{"choice": "random", "kwargs": object{"min_value": 30, "max_value": 90}},
		{"choice": "schedule", "kwargs": object{"seconds": []int{5, 300, 1800}}},
	}
	r := pick(c, kinds...)
	if c.oneIn(3) {
		r["max_retries"] = 1 + c.IntN(3)
	}
	if c.oneIn(3) {
		r["jitter"] = pick(c, 0, 0.2, 1.0)
	}
	if c.oneIn(3) {
		r["deadline"] = pick(c, 1, 3600, 691_200)
	}
	return pick[any](c, nil, r, r, r)
}

func (c *chance) config() any {
	all := object{
		"format": pick(c, "oms", "whisperer", "standard", "cloudevents", "raw"), "method": pick(c, "POST", "PUT", "PATCH"),
		"timeout": pick(c, 1, 15, 30), "concurrency": pick(c, 1, 32, 1000), "stop_on": []int{400, 404, 422}, "api_key_header": "X-Shop-Key",
		"filter": pick(c, "", `event.type == "order.created"`, `event.data.total > 10.0 && event.entity.startsWith("order:")`),
		"auth":   object{"auth_type": "basic", "username": "u", "password": "p"}, "rate_limit": object{"limit": 10, "period": 60},
		"ordering": pick(c, "none", "entity", "hook"), "channel_id": 12, "their own": c.json(2),
		"signature":   pick(c, object{"preset": "rfc9421"}, object{"preset": "rfc9421", "algorithm": "ed25519"}),
		"maintenance": []object{{"start": "22:00", "end": "02:00", "days": []string{"sat", "sun"}, "timezone": "Europe/Berlin"}},
	}
	config := object{}
	for name, value := range all {
		if c.oneIn(4) {
			config[name] = value
		}
	}
	return pick[any](c, nil, config, config, config)
}

// json returns any JSON value with the given maximum depth.
func (c *chance) json(depth int) any {
	if depth > 0 && c.oneIn(2) {
		if c.oneIn(2) {
			return []any{c.json(depth - 1), c.json(depth - 1)}
		}
		return object{"a": c.json(depth - 1), c.text(40): c.json(depth - 1)}
	}
	return pick[any](c, nil, true, 0, -1, 1.5, json.Number("12345678901234567890123"), json.Number("1.50"), json.Number("-0"), json.Number("1e300"), "", c.text(200))
}

// parameter returns a valid value of a parameter, as it is written in a query or header.
func (c *chance) parameter(op, name, kind, format string, enum []any) string {
	switch name {
	case "limit":
		return pick(c, "1", "2", "50", "250", "251", "2147483647")
	case "cursor", "If-Match", "traceparent":
		return ""
	case "Idempotency-Key":
		return "key-" + c.unique
	case "state":
		return strings.Join(some(c, "waiting", "parked", "delivered", "dead", "cancelled"), ",")
	}
	if v, ok := c.good(op, name); ok && v != nil {
		return fmt.Sprint(v)
	}
	switch {
	case len(enum) > 0:
		return fmt.Sprint(pick(c, enum...))
	case kind == "integer":
		return strconv.Itoa(pick(c, 0, 200, 404, http.StatusInternalServerError))
	case kind == "boolean":
		return pick(c, "true", "false")
	case format == "uuid":
		return pick(c, "018f5b5e-0000-7000-8000-000000000000", "00000000-0000-4000-8000-000000000001")
	case format == "date-time":
		return c.time()
	case name == "event", name == "uuid", name == "object_id", name == "search":
		return c.text(100)
	default: // any text may be invalid here, so only spoiled requests have the parameter
		return ""
	}
}
