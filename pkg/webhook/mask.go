package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Mask hides secrets in URLs: user names and passwords, and the values of query parameters whose names contain
// certain words. Some receivers want their key in the target URL; a reader of the hook must not get it from there,
// nor from an answer that repeats it. The zero Mask hides nothing.
type Mask struct {
	pattern string
	params  *regexp.Regexp
}

// MaskedUserinfo matches what stands before user name and password, and both, in a URL that has them, in any case.
// PostgreSQL and Go interpret it alike.
const MaskedUserinfo = `^([a-z][a-z0-9+.-]*://)[^/?#]*@`

var userinfo = regexp.MustCompile(`(?i)` + MaskedUserinfo)

// ParseMask parses a comma-separated list of words.
func ParseMask(list string) Mask {
	var words []string
	for word := range strings.SplitSeq(list, ",") {
		if word = strings.TrimSpace(word); word != "" {
			words = append(words, wordPattern(word))
		}
	}
	if len(words) == 0 {
		return Mask{}
	}
	// If the value of a parameter is itself a URL, its parameters count too, as do parameters separated by
	// semicolons.
	m := Mask{pattern: `([?&;#][^=&;#]*(?:` + strings.Join(words, "|") + `)[^=&;#]*=)[^&#]+`}
	m.params = regexp.MustCompile(`(?i)` + m.pattern)
	return m
}

// wordPattern returns a pattern for a word as it may occur in a query: each character plain or percent-encoded.
func wordPattern(word string) string {
	var b strings.Builder
	for _, r := range word {
		forms := []string{regexp.QuoteMeta(string(r))}
		if r == ' ' {
			forms = append(forms, `\+`)
		}
		for _, variant := range []rune{unicode.ToLower(r), unicode.ToUpper(r)} {
			var encoded strings.Builder
			for _, c := range []byte(string(variant)) {
				fmt.Fprintf(&encoded, "%%%02x", c)
			}
			forms = append(forms, encoded.String())
		}
		b.WriteString("(?:" + strings.Join(forms, "|") + ")")
	}
	return b.String()
}

// Pattern matches, in any case, what stands before a secret value in a URL, and the value. It is empty if nothing is
// hidden. PostgreSQL and Go interpret it alike.
func (m Mask) Pattern() string { return m.pattern }

// URL returns the URL with *** in place of its secrets, or unchanged if it has none.
func (m Mask) URL(target string) string {
	if m.params == nil {
		return target
	}
	target = userinfo.ReplaceAllString(target, "${1}"+hidden+"@")
	return m.params.ReplaceAllString(target, "${1}"+hidden)
}

// Hook returns the hook with masked URLs.
func (m Mask) Hook(h Hook) Hook {
	h.TargetURL = m.URL(h.TargetURL)
	if h.Callback != nil {
		callback := *h.Callback
		callback.URL = m.URL(callback.URL)
		h.Callback = &callback
	}
	if h.Config.Auth != nil {
		auth := *h.Config.Auth
		auth.URL, auth.TokenURL = m.URL(auth.URL), m.URL(auth.TokenURL)
		h.Config.Auth = &auth
	}
	return h
}

// ShownAttempt is an attempt as it is shown to people. Its ResponseBody is empty; Body takes its place.
type ShownAttempt struct {
	Attempt

	Body ShownBody
	// Masked says that the URL contains a secret, which is hidden wherever the attempt repeats it.
	Masked bool
}

// Attempt returns the attempt as it is shown: with a masked URL, with *** wherever else a masked value occurs, and
// with its body decoded.
func (m Mask) Attempt(a Attempt) ShownAttempt {
	s := ShownAttempt{Attempt: a, Body: DecodeBody(a.ResponseBody, a.Truncated, a.ResponseHeaders)}
	s.ResponseBody = nil
	secrets := m.secrets(a.URL)
	s.URL = m.URL(a.URL)
	if len(secrets) == 0 {
		return s
	}
	s.Masked = true
	s.Error = hide(a.Error, secrets)
	s.RequestHeaders, s.ResponseHeaders = maskHeaders(a.RequestHeaders, secrets), maskHeaders(a.ResponseHeaders, secrets)
	if len(codingsOf(a.ResponseHeaders)) > 0 && !s.Body.Decoded { // an undecoded body may contain anything
		s.Body.Bytes, s.Body.Truncated = nil, s.Body.Truncated || len(s.Body.Bytes) > 0
		return s
	}
	s.Body.Bytes = []byte(hide(string(s.Body.Bytes), secrets))
	if s.Body.Truncated {
		s.Body.Bytes = cutBegun(s.Body.Bytes, secrets)
	}
	return s
}

func hide(text string, secrets []string) string {
	for _, secret := range secrets {
		text = strings.ReplaceAll(text, secret, hidden)
	}
	return text
}

// cutBegun removes the beginning of a secret from the end of a truncated body.
func cutBegun(body []byte, secrets []string) []byte {
	for _, secret := range secrets {
		for n := len(secret) - 1; n >= leastSecret; n-- {
			if rest, ok := bytes.CutSuffix(body, []byte(secret[:n])); ok {
				return rest
			}
		}
	}
	return body
}

func maskHeaders(headers []Header, secrets []string) []Header {
	headers = slices.Clone(headers)
	for i := range headers {
		headers[i].Name, headers[i].Value = hide(headers[i].Name, secrets), hide(headers[i].Value, secrets)
	}
	return headers
}

// leastSecret is the minimum length in bytes of a value that is hidden where it is repeated: shorter ones occur in
// any text.
const leastSecret = 4

// secrets returns the masked values of a URL in every form in which an answer may repeat them, the longest first.
func (m Mask) secrets(target string) []string {
	if m.params == nil {
		return nil
	}
	var values []string
	if found := userinfo.FindString(target); found != "" {
		_, both, _ := strings.Cut(strings.TrimSuffix(found, "@"), "://")
		name, password, _ := strings.Cut(both, ":")
		values = append(values, both, name, password)
	}
	for _, found := range m.params.FindAllStringSubmatch(target, -1) {
		values = append(values, found[0][len(found[1]):])
	}
	var secrets []string
	for _, value := range values {
		for _, form := range forms(value) {
			if len(form) >= leastSecret && !slices.Contains(secrets, form) {
				secrets = append(secrets, form)
			}
		}
	}
	slices.SortStableFunc(secrets, func(a, b string) int { return len(b) - len(a) })
	return secrets
}

// forms returns a value of a query as it was written, decoded, and as URLs, HTML and JSON encode the decoded value.
func forms(value string) []string {
	meant, err := url.QueryUnescape(value)
	if err != nil {
		meant = value
	}
	list := []string{value, meant, url.QueryEscape(meant), url.PathEscape(meant), html.EscapeString(meant)}
	if plain, err := url.PathUnescape(value); err == nil { // + does not mean a space here
		list = append(list, plain)
	}
	var text bytes.Buffer
	for _, escapeHTML := range []bool{true, false} {
		text.Reset()
		e := json.NewEncoder(&text)
		e.SetEscapeHTML(escapeHTML)
		_ = e.Encode(meant) //nolint:errchkjson // a string, into memory
		quoted := strings.TrimSuffix(strings.TrimPrefix(text.String(), `"`), "\"\n")
		list = append(list, quoted, strings.ReplaceAll(quoted, "/", `\/`))
	}
	return list
}
