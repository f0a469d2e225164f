package egress

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Header holds a request's header fields in the order in which they are sent. It is a slice because a map, as in
// net/http, costs more than writing all fields.
type Header []webhook.Header

// HeaderOf converts a header of net/http, sorted by name.
func HeaderOf(h http.Header) Header {
	out := make(Header, 0, len(h)+1)
	for name, values := range h {
		for _, v := range values {
			out = append(out, webhook.Header{Name: name, Value: v})
		}
	}
	out.Sort()
	return out
}

// Set replaces the field with this name, in any spelling, or adds it.
func (h *Header) Set(name, value string) {
	for i := range *h {
		if sameName((*h)[i].Name, name) {
			(*h)[i].Value = value
			return
		}
	}
	*h = append(*h, webhook.Header{Name: name, Value: value})
}

// Has reports whether there is a field with this name, in any spelling.
func (h Header) Has(name string) bool {
	_, ok := h.find(name)
	return ok
}

// sameName compares two names as HTTP does. The lengths come first because most different names differ in them.
func sameName(a, b string) bool { return len(a) == len(b) && (a == b || strings.EqualFold(a, b)) }

// Sort orders the fields by name and keeps the order of fields with the same name.
func (h Header) Sort() {
	slices.SortStableFunc(h, func(a, b webhook.Header) int { return strings.Compare(a.Name, b.Name) })
}

// find returns the value of the first field with this name.
func (h Header) find(name string) (value string, ok bool) {
	for i := range h {
		if sameName(h[i].Name, name) {
			return h[i].Value, true
		}
	}
	return "", false
}

// ofHTTP converts the header for net/http's HTTP/2, which spells all names in lower case.
func (h Header) ofHTTP() http.Header {
	out, values := make(http.Header, len(h)), make([]string, len(h))
	for i := range h {
		values[i] = textproto.TrimString(h[i].Value) // RFC 9113 section 8.2.1
		if name := http.CanonicalHeaderKey(h[i].Name); out[name] == nil {
			out[name] = values[i : i+1 : i+1]
		} else {
			out[name] = append(out[name], values[i])
		}
	}
	return out
}

// appendLines writes all fields except those that the codec writes itself.
func (h Header) appendLines(out []byte) []byte {
	for i := range h {
		if name := h[i].Name; !sameName(name, "User-Agent") && !slices.Contains(framingHeaders, name) {
			out = append(append(out, name...), ": "...)
			out = append(append(out, textproto.TrimString(h[i].Value)...), "\r\n"...)
		}
	}
	return out
}

// connectionHeaders would change how the request is sent, or make net/http resend it silently.
var connectionHeaders = []string{
	"Connection", "Expect", "Idempotency-Key", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"X-Idempotency-Key",
}

// framingHeaders are derived from the request. A field spelt exactly like this is left out; other spellings are
// refused.
var framingHeaders = []string{"Content-Length", "Host"}

// check refuses a header that must not be sent. Its errors are *failures.
func (h Header) check() error {
	for i := range h {
		name := h[i].Name
		same := func(other string) bool { return sameName(name, other) }
		if slices.ContainsFunc(connectionHeaders, same) || slices.ContainsFunc(framingHeaders, same) && !slices.Contains(framingHeaders, name) {
			return &failure{class: webhook.ClassRequest, text: "the request has a header that belongs to the connection"}
		}
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(h[i].Value) {
			return &failure{class: webhook.ClassRequest, text: "the request has a header that HTTP does not allow"}
		}
	}
	return nil
}
