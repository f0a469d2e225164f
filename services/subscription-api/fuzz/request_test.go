package fuzz_test

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// expectation is what must happen to a request.
type expectation int

const (
	// anything that the document allows.
	anything expectation = iota
	// accepted: the request is valid, and its object exists.
	accepted
	// refused: the request violates the document.
	refused
)

// evil is one thing that is wrong, or odd, with a request.
type evil struct {
	// where is body, bytes, path, query, header or method.
	where, what string
}

// field is a header field exactly as it is sent.
type field struct{ name, value string }

// request is a request to send.
type request struct {
	op      *operation
	method  string
	path    string
	query   string
	headers []field
	body    []byte
	// chunked sends the body in chunks.
	chunked bool
	expect  expectation
	evils   []evil
	// kept is the kind of id in the response, if it is one to remember.
	kept kind
	// used is the id in the path.
	used string
}

func (r *request) wrong(where, what string) { r.evils = append(r.evils, evil{where, what}) }

func (r *request) refuse(where, what string) {
	r.wrong(where, what)
	r.expect = refused
}

// maybe records something that may or may not be wrong, so that any documented response is right.
func (r *request) maybe(where, what string) {
	r.wrong(where, what)
	if r.expect == accepted {
		r.expect = anything
	}
}

func (r *request) set(name, value string) {
	for i := range r.headers {
		if strings.EqualFold(r.headers[i].name, name) {
			r.headers[i].value = value
			return
		}
	}
	r.headers = append(r.headers, field{name, value})
}

func (r *request) target() string {
	if r.query == "" {
		return r.path
	}
	return r.path + "?" + r.query
}

// bytes encodes the request as HTTP/1.1.
func (r *request) bytes(host string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", r.method, r.target(), host)
	for _, h := range r.headers {
		b.WriteString(h.name + ": " + h.value + "\r\n")
	}
	switch {
	case r.chunked:
		b.WriteString("Transfer-Encoding: chunked\r\n\r\n")
		if len(r.body) > 0 {
			fmt.Fprintf(&b, "%x\r\n%s\r\n", len(r.body), r.body)
		}
		b.WriteString("0\r\n\r\n")
	default:
		b.WriteString("Content-Length: " + strconv.Itoa(len(r.body)) + "\r\n\r\n")
		b.Write(r.body)
	}
	return b.Bytes()
}

// curl returns a command line that sends the request. A long body is written to a file.
func (r *request) curl(host string) string {
	line := "curl -sS -i --globoff --path-as-is -X " + quote([]byte(r.method)) + " " + quote([]byte("http://"+host+r.target()))
	for _, h := range r.headers {
		line += " -H " + quote([]byte(h.name+": "+h.value))
	}
	if r.chunked {
		line += " -H 'Transfer-Encoding: chunked'"
	}
	switch {
	case len(r.body) > 4096 || bytes.IndexByte(r.body, 0) >= 0: // a shell's string ends at NUL
		file, err := os.CreateTemp("", "whisperer-fuzz-*.body")
		if err != nil {
			return line + " # the body could not be written: " + err.Error()
		}
		defer file.Close()
		_, _ = file.Write(r.body)
		line += " --data-binary @" + file.Name()
	case len(r.body) > 0:
		line += " --data-binary " + quote(r.body)
	}
	return line
}

// quote quotes bytes for bash.
func quote(raw []byte) string {
	plain := true
	for _, c := range raw {
		plain = plain && c >= ' ' && c < 0x7f && c != '\'' && c != '\\'
	}
	if plain {
		return "'" + string(raw) + "'"
	}
	var b strings.Builder
	b.WriteString("$'")
	for _, c := range raw {
		switch {
		case c == '\'' || c == '\\':
			b.WriteString(`\` + string(rune(c)))
		case c >= ' ' && c < 0x7f:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, `\x%02x`, c)
		}
	}
	b.WriteString("'")
	return b.String()
}
