package fuzz_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// bad returns values of a field that the documentation forbids, even if the document's schema does not.
func (c *chance) bad(op, name string) (any, bool) {
	switch op + "." + name {
	case "publish-events.event_type":
		return pick[any](c, "", " ", "a b", "a..b", "*", "order.>", strings.Repeat("a", 129), "a\nb", 1, object{}, []any{"order.created"}), true
	case "pause-hooks.target_url", "resume-hooks.target_url", "replay-hooks.target_url": // a text that hooks may or may not have
		return pick[any](c, 1, true, []any{}, object{}), true
	case "pause-hooks.status", "resume-hooks.status", "replay-hooks.status":
		return pick[any](c, "on", 1, object{}), true
	case "retry-deliveries.states":
		return pick[any](c, []any{"x"}, []any{nil}, []any{"parked"}, "dead", 1), true
	// Even if the type is declared later.
	case "backtest-hook.event_type", "pause-hooks.event_type", "resume-hooks.event_type", "replay-hooks.event_type", "set-retention.event_type":
		return pick[any](c, " ", "a b", "a..b", ".a", strings.Repeat("a", 129), "a\nb", 1, object{}, []any{1}), true
	case "replay-hook.event_types", "replay-hooks.event_types", "retry-deliveries.event_types":
		return pick[any](c, []any{""}, []any{"a b"}, []any{nil}, c.manyTypes(), "x y", 1, object{}), true
	}
	switch name {
	case "target_url":
		return pick[any](c, "", "x", "ftp://127.0.0.1/", "//127.0.0.1/", "http://", "http:///a", "http://a b/", "http://user:pw@127.0.0.1/", "http://10.0.0.1/", "http://169.254.169.254/",
			"http://[::1]/", "http://0x7f000001/", "http://2130706433/", "http://127.0.0.1:99999/", "http://192.168.0.1/", "javascript:alert(1)",
			"file:///etc/passwd", c.receiver+"/#f", c.receiver+"/\x01", c.receiver+"/"+strings.Repeat("a", 2100), "gopher://127.0.0.1/", "http://[fe80::1%25eth0]/", 1, true, []any{}, object{}), true
	case "event_type":
		return pick[any](c, "", " ", "a b", "a..b", ".a", "a.", "package.creatd", "A.B", strings.Repeat("a", 129), "a\nb", 1, object{}, []any{1}, []any{}), true
	case "notification_type":
		return pick[any](c, "", "soap", 1), true
	case "secret_key":
		return pick[any](c, "whsec_", "whsec_!!", strings.Repeat("s", 1025), "a\x00b", "a\nb", 1, []any{}), true
	case "api_key":
		return pick[any](c, "a\r\nX-B: c", strings.Repeat("k", 1025), 1, object{}), true
	case "additional_headers":
		return pick[any](c, object{"Host": "x"}, object{"Content-Length": "1"}, object{"webhook-id": "1"}, object{"A\r\nB": "x"}, object{"A": "x\r\nB: y"}, object{"": "x"}, object{"A": nil},
			object{"A": 1}, object{"A": "1", "a": "2"}, object{"Transfer-Encoding": "chunked"}, []any{}, "A: b", object{"A": strings.Repeat("a", 100_000)}), true
	case "callback":
		return pick[any](c, object{"url": ""}, object{"url": "http://10.0.0.1/"}, object{"url": "file:///"}, object{"subject": "oms.acme.order.created"}, object{"subject": ">"},
			object{"subject": "whisperer.callback.someone.else"}, object{"url": c.receiver, "on": []any{"never"}}, object{"url": c.receiver, "to": 1}, object{"url": 1}, "a path?", []any{}), true
	case "retry_countdown_config":
		return pick[any](c, object{"choice": "never"}, object{"choice": "fixed"}, object{"choice": "fixed", "kwargs": object{"seconds": -1}},
			object{"choice": "fixed", "kwargs": object{"seconds": json.Number("1e400")}}, object{"choice": "fixed", "kwargs": object{"seconds": json.Number("99999999999999999999")}},
			object{"choice": "linear", "kwargs": object{"base": "sixty"}}, object{"choice": "exponential", "kwargs": object{"base": -2}}, object{"choice": "random", "kwargs": object{"min_value": 90, "max_value": 30}},
			object{"choice": "schedule", "kwargs": object{"seconds": []any{}}}, object{"choice": "schedule", "kwargs": object{"seconds": []any{1, 0}}}, object{"choice": "fixed", "kwargs": object{"seconds": 1, "x": 1}},
			object{"choice": "fixed", "kwargs": object{"seconds": 1}, "jitter": 2}, object{"choice": "fixed", "kwargs": object{"seconds": 1}, "max_retries": 1_000_000}, "fixed", []any{}, 1), true
	case "config":
		return pick[any](c, object{"format": "xml"}, object{"method": "GET"}, object{"timeout": 0}, object{"timeout": 31}, object{"timeout": 1.5}, object{"timeout": "five"}, object{"concurrency": 0},
			object{"concurrency": 1001}, object{"stop_on": []any{200}}, object{"stop_on": "404"}, object{"api_key_header": "Host"}, object{"api_key_header": "a b"}, object{"filter": "event."}, object{"filter": "1"},
			object{"filter": 1}, object{"filter": strings.Repeat("(", 2000)}, object{"auth": object{"auth_type": "kerberos"}}, object{"auth": object{}}, object{"auth": 1}, object{"rate_limit": object{"limit": 0, "period": 1}},
			object{"rate_limit": object{"limit": 1}}, object{"rate_limit": 5}, object{"ordering": "random"}, object{"maintenance": []any{object{"start": "25:00", "end": "01:00"}}},
			object{"maintenance": []any{object{"start": "01:00", "end": "02:00", "timezone": "Mars/Base"}}}, object{"own": strings.Repeat("a", 70_000)}, "x", []any{}, 1), true
	case "status":
		return pick[any](c, "", "disabled", "on", 1), true
	case "role":
		return pick[any](c, "", "root", "ADMIN", 1, nil), true
	case "expires_date", "from", "to":
		return pick[any](c, "yesterday", "2026-13-01T00:00:00Z", "10000-01-01T00:00:00Z", 1, object{}), true
	case "rate":
		return pick[any](c, 0, -1, 10_001, 1.5, "1", json.Number("1e400"), json.Number("9223372036854775808")), true
	case "states":
		return pick[any](c, []any{"cancelled"}, []any{"x"}, []any{nil}, "dead", 1), true
	case "event_types":
		return pick[any](c, []any{}, []any{""}, []any{"a b"}, []any{nil}, c.manyTypes(), "x y", 1, object{}), true
	case "is_active": // the words and numbers of form fields are accepted
		return pick[any](c, "maybe", 2, 0.5, []any{}, object{}), true
	case "force", "dry_run", "include_missing", "sign_as_hook":
		return pick[any](c, "true", 1, 0, "", []any{}), true
	case "event_id":
		return pick[any](c, "", strings.Repeat("e", 256), "a\nb", "\x7f", 1, object{}), true
	case "event_time":
		return pick[any](c, "now", "2026-02-30T00:00:00Z", "-0001-01-01T00:00:00Z", 1), true
	case "entity":
		return pick[any](c, strings.Repeat("e", 257), 1, object{}), true
	case "current_context", "config_filter", "schema":
		return pick[any](c, 1, "x", []any{}, true), true
	}
	return nil, false
}

// manyTypes returns more types than a hook may have.
func (c *chance) manyTypes() []any {
	list := make([]any, 1000)
	for i := range list {
		list[i] = fmt.Sprintf("type_%d", i)
	}
	return list
}

// odd returns a value that has crashed programs elsewhere.
func (c *chance) odd() any {
	return pick[any](c, nil, "", " ", "\u00a0", "\ufeff", "\ufffd", "a\u0301\u0301\u0301", "\U0010ffff", "😀", "\u202e", "null", "NaN", "true", "0", "__proto__", "\x1b[2J", "%00", "%n%s",
		"' OR 1=1 --", "<script>alert(1)</script>", "../../../etc/passwd", "$(id)", "`id`", "{{7*7}}", "*", ">", "\t", strings.Repeat("a", 70_000), 0, -1, 1<<31, 1<<53, json.Number("9223372036854775807"),
		json.Number("9223372036854775808"), json.Number("-9223372036854775809"), json.Number("1e400"), json.Number("-1e400"), json.Number("1E-400"), json.Number("0.1"), json.Number("-0"), json.Number("1e200000"),
		json.Number(strings.Repeat("9", 5000)), true, false, []any{}, object{}, []any{nil}, object{"": ""}, c.json(3), slices.Repeat([]any{1}, 5000))
}

// spoilBody changes one thing in a body that is an object.
func (c *chance) spoilBody(r *request, body object) {
	names := slices.Sorted(maps.Keys(body))
	name := "added"
	if len(names) > 0 {
		name = pick(c, names...)
	}
	_, known := r.op.properties()
	if len(known) > 0 && c.oneIn(2) {
		name = pick(c, known...)
	}
	switch c.IntN(5) {
	case 0:
		delete(body, name)
		r.maybe("body", "without "+name)
	case 1:
		body[pick(c, "target_ulr", "__proto__", "", "a/b~c", strings.Repeat("k", 300), "ID", "Name")] = 1
		r.refuse("body", "with an unknown field")
	case 2:
		body[name] = c.odd()
		r.maybe("body", "odd "+name)
	default:
		value, ok := c.bad(r.op.id, name)
		if !ok {
			value = c.odd()
			r.maybe("body", "odd "+name)
		} else {
			r.refuse("body", "bad "+name)
		}
		body[name] = value
	}
}

// judge decides by the document's schema whether a body may be accepted at all.
func (r *request) judge() {
	if r.op.body == nil || r.expect == refused {
		return
	}
	value, err := parse(r.body)
	if err != nil {
		return // spoilBytes has decided already
	}
	if r.op.body.VisitJSON(value) == nil {
		return
	}
	if r.op.body.VisitJSON(canonical(value)) == nil { // the document does not list other accepted spellings
		r.maybe("body", "spelt in another way")
		return
	}
	r.refuse("body", "against its schema")
}

// canonical normalizes spellings that are accepted for the predecessor's sake: words in any case, and form fields'
// words for booleans.
func canonical(value any) any {
	fields, ok := value.(map[string]any)
	if !ok {
		return value
	}
	fields = maps.Clone(fields)
	for name, v := range fields {
		switch text, isText := v.(string); {
		case name == "is_active" && v != nil:
			fields[name] = true
		case isText && slices.Contains([]string{"schema_check", "status", "notification_type", "role"}, name):
			fields[name] = strings.ToLower(text)
		case name == "hook":
			fields[name] = canonical(v)
		}
	}
	return fields
}

// parse parses JSON for the schema library, which fails on numbers beyond float64.
func parse(raw []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	var shrink func(v any) any
	shrink = func(v any) any {
		switch v := v.(type) {
		case json.Number:
			if _, err := v.Float64(); err != nil {
				return json.Number("1e300")
			}
		case []any:
			for i := range v {
				v[i] = shrink(v[i])
			}
		case map[string]any:
			for name := range v {
				v[name] = shrink(v[name])
			}
		}
		return v
	}
	return shrink(value), nil
}

// spoilBytes damages the text of a body. If the result is not JSON, it must be refused.
func (c *chance) spoilBytes(r *request) {
	raw := bytes.Clone(r.body)
	how := pick(c, "cut", "flip", "insert", "twice", "mark", "deep", "unclosed", "NUL", "not UTF-8", "surrogate", "empty", "key twice", "no JSON", "random")
	at := 0
	if len(raw) > 0 {
		at = c.IntN(len(raw))
	}
	switch how {
	case "cut":
		raw = raw[:at]
	case "flip":
		if len(raw) > 0 {
			raw[at] ^= byte(1 << c.IntN(8))
		}
	case "insert":
		raw = slices.Insert(raw, at, pick(c, []byte("\\"), []byte("\""), []byte("}"), []byte("1"), []byte{0xff}, []byte{0})...)
	case "twice":
		raw = append(raw, raw...)
	case "mark":
		raw = append([]byte("\xef\xbb\xbf"), raw...)
	case "deep":
		n := pick(c, 63, 64, 65, 1000, 100_000)
		raw = []byte(`{"config":` + strings.Repeat(`[`, n) + strings.Repeat(`]`, n) + `}`)
	case "unclosed":
		raw = []byte(strings.Repeat(pick(c, "[", `{"a":`, `"`), 1+c.IntN(50_000)))
	case "NUL":
		raw = []byte(`{"name":"a\u0000b"}`)
	case "not UTF-8":
		raw = []byte("{\"name\":\"\xc3\x28\"}")
	case "surrogate":
		raw = []byte(`{"name":"\ud800"}`)
	case "empty":
		raw = []byte(pick(c, " ", "\n", "\x00"))
	case "key twice":
		raw = []byte(`{"name":"a","name":"b"}`)
	case "no JSON":
		raw = []byte(pick(c, "a=b&c=d", "<a/>", "NaN", "Infinity", "'a'", "{'a':1}", "[1,]", "{,}", "01", "+1", ".5", "1.", "tru", "--", "/* */ {}", "{}{}"))
	default:
		raw = make([]byte, c.IntN(2000))
		for i := range raw {
			raw[i] = byte(c.Uint32())
		}
	}
	r.body = raw
	r.maybe("bytes", how)
	if len(bytes.TrimSpace(raw)) > 0 && !json.Valid(raw) || slices.Contains([]string{"NUL", "surrogate", "not UTF-8", "key twice", "mark"}, how) {
		r.refuse("bytes", how)
	}
}

// spoilQuery adds, repeats or damages parameters.
func (c *chance) spoilQuery(r *request) {
	known := r.op.parameters("query")
	if len(known) == 0 || c.oneIn(4) {
		r.query = pick(c, "surely_unknown=1", "a", "=", "token=x", "%00=1", "__proto__=1", strings.Repeat("a=1&", 200)+"a=1")
		r.refuse("query", "unknown")
		return
	}
	p := pick(c, known...)
	schema := p.Schema.Value
	value := pick(c, "\x00", "\xff\xfe", "-1", "0", "1e9", "9223372036854775808", " ", "a b", "' OR 1=1 --", "💥", "../..", "*", ">", ",", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-13-45T99:99:99Z",
		"2026-01-01T00:00:00+99:99", "True", "yes", strings.Repeat("v", 5000), "00000000-0000-0000-0000-000000000000", "{}", "[]", "dead,dead", "eyJhIjoxfQ", "%", "\\")
	r.query = url.QueryEscape(p.Name) + "=" + url.QueryEscape(value)
	if r.op.id == relayOp && p.Name != "seconds" {
		r.query += "&seconds=1"
	}
	r.maybe("query", p.Name+" odd")
	_, notInt := strconv.ParseInt(value, 10, 64)
	switch {
	case c.oneIn(8):
		r.query += "&" + r.query
		r.refuse("query", p.Name+" twice")
	case c.oneIn(8):
		r.query = url.QueryEscape(p.Name) + "=%zz"
		r.refuse("query", "bad escape")
	case strings.Contains(value, "\x00") || !utf8.ValidString(value):
		r.refuse("query", p.Name+" is no text")
	case schema.Type.Is("integer") && notInt != nil, len(schema.Enum) > 0, schema.Type.Is("boolean") && value != "True" && value != "yes" && value != "0":
		r.refuse("query", p.Name+" is none")
	case schema.Format == "uuid" && len(value) != 36:
		r.refuse("query", p.Name+" is no id")
	case schema.Format == "date-time" && !strings.HasPrefix(value, "0001") && !strings.HasPrefix(value, "9999"):
		r.refuse("query", p.Name+" is no time")
	}
}

// spoilPath refers to an object that does not exist.
func (c *chance) spoilPath(r *request) {
	if !r.op.named() {
		r.path = strings.TrimSuffix(r.path, "/") + pick(c, "//", "/../", "/%2e%2e/", "/%00/", "/%ff/", ";a=b", "/.", "/\\", "%2f", "/x/y/z/")
		r.maybe("path", "odd")
		return
	}
	id := pick(c, "x", "0", "-1", "%00", "%ff", "%2e%2e", "..", ".", "%20", "%2f", "018f5b5e000070008000000000000000", "%7B018f5b5e-0000-7000-8000-000000000000%7D", "00000000-0000-0000-0000-000000000000",
		"ffffffff-ffff-ffff-ffff-ffffffffffff", "018F5B5E-0000-7000-8000-00000000000G", "'%20OR%201=1", strings.Repeat("a", 3000), "%F0%9F%92%A5", "*", "%25", "a%0d%0ab")
	r.path = fill(r.op.path, id)
	if kindOf(r.op) == eventType { // some of these are valid names
		r.maybe("path", "another name")
		return
	}
	r.refuse("path", "no such id")
}

// fill puts an escaped id into a path.
func fill(path, id string) string {
	before, rest, ok := strings.Cut(path, "{")
	_, after, _ := strings.Cut(rest, "}")
	if !ok {
		return path
	}
	return before + id + after
}

// spoilHeaders sends headers that are wrong, odd, or too many.
func (c *chance) spoilHeaders(r *request) {
	writes := r.op.body != nil && len(r.body) > 0
	switch how := c.IntN(10); {
	case how == 0 && writes:
		kind := pick(c, "", "text/plain", "application/xml", "application/json; charset=utf-16", "multipart/form-data; boundary=a", "application/x-www-form-urlencoded", ";;", "application/json, text/html", "*/*")
		r.set("Content-Type", kind)
		r.refuse("header", "content type "+kind)
	case how == 1 && writes:
		r.set("Content-Encoding", pick(c, "gzip", "br", "deflate, gzip", "zstd"))
		r.refuse("header", "content encoding")
	case how == 2:
		r.set("Authorization", pick(c, "", "Token", "Token nope", "Basic dTpw", "Bearer a.b.c", "Token "+strings.Repeat("x", 5000), "Token \xff\xfe", "Digest x", "Token token"))
		r.refuse("header", "authorization")
	case how == 3:
		r.headers = append(r.headers, field{"Authorization", "Token other"})
		r.refuse("header", "two authorizations")
	case how == 4:
		r.set("X-Whisperer-Tenant", pick(c, "not a name", "no-such-tenant", "..", "*", strings.Repeat("t", 64), "\xff"))
		r.refuse("header", "tenant")
	case how == 5:
		r.set("X-Padding", strings.Repeat("p", pick(c, 1000, 8000, 30_000, 300_000)))
		r.maybe("header", "long")
	case how == 6:
		for i := range pick(c, 50, 150, 3000) {
			r.headers = append(r.headers, field{fmt.Sprintf("X-%d", i), "1"})
		}
		r.maybe("header", "many")
	case how == 7:
		r.set("Expect", "100-continue")
		r.maybe("header", "expects to be asked for the body")
	default:
		r.set(pick(c, "If-Match", "Idempotency-Key", "traceparent", "Accept", "Range", "Cookie", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-HTTP-Method-Override", "Origin", "If-None-Match",
			"If-Modified-Since", "Accept-Encoding", "X-Request-Id", "Upgrade", "Via", "TE"),
			pick(c, "", "*", "\"", "\"1\"", "W/\"1\"", "\"1\",\"2\"", "\"99999999999999999999\"", "\xff\xfe", "é", strings.Repeat("k", 2000), "bytes=0-0", "00-00000000000000000000000000000000-0000000000000000-00",
				"DELETE", "h2c", "a\tb", "${jndi:ldap://x}", "' OR 1=1 --"))
		r.maybe("header", "odd")
	}
}

// spoilMethod uses a method that no operation has.
func (c *chance) spoilMethod(r *request) {
	r.method = pick(c, "HEAD", "OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "POST", "GET", "BREW", "get", "PROPFIND", "X-A")
	r.maybe("method", r.method)
}
