package egress

import (
	"bufio"
	"bytes"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

const (
	// atOnce is how much of a body is written together with the headers, in bytes: what the two kernels take without the
	// receiver reading any of it. The rest of a longer body is written while the answer is awaited, which may come before
	// the receiver has read all, or instead.
	atOnce = 32 << 10
	// maxDesk is how large a buffer is kept for the next request, in bytes.
	maxDesk = 64 << 10
)

// desk is what a request is written and its answer read with.
type desk struct {
	out bytes.Buffer
	in  *bufio.Reader
}

func newDesk() *desk { return &desk{in: bufio.NewReaderSize(nil, bufferSize)} }

// writtenApart are headers that compose writes itself, and those that a request cannot have.
var writtenApart = map[string]bool{"Host": true, "User-Agent": true, "Content-Length": true, "Transfer-Encoding": true, "Trailer": true}

// compose writes the head of a request, and as much of its body as is written with it. It returns what is left of the
// body. The header has been checked.
func (d *desk) compose(r Request) (left []byte) {
	d.out.Reset()
	d.out.WriteString(r.Method)
	d.out.WriteString(r.Target.line)
	if agent := r.Header.Get("User-Agent"); agent != "" {
		d.out.WriteString("User-Agent: " + agent + "\r\n")
	}
	if len(r.Body) > 0 || r.Method != http.MethodGet { // RFC 9110 section 8.6
		d.out.WriteString("Content-Length: " + strconv.Itoa(len(r.Body)) + "\r\n")
	}
	_ = r.Header.WriteSubset(&d.out, writtenApart) // in memory
	d.out.WriteString("\r\n")
	first := min(len(r.Body), atOnce)
	d.out.Write(r.Body[:first])
	return r.Body[first:]
}

// clear lets go of what a request has left behind.
func (d *desk) clear() {
	d.in.Reset(nil)
	if d.out.Cap() > maxDesk {
		d.out = bytes.Buffer{}
	}
}

// connectionHeaders would change how the request is sent, or make net/http resend it silently.
var connectionHeaders = []string{
	"Connection", "Expect", "Idempotency-Key", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"X-Idempotency-Key",
}

// framingHeaders are written from the request. They are left out where they are spelt like this, and refused otherwise.
var framingHeaders = []string{"Content-Length", "Host"}

// checkHeader refuses a header that must not be sent. Its errors are *failures.
func checkHeader(h http.Header) error {
	for name, values := range h {
		same := func(other string) bool { return len(name) == len(other) && strings.EqualFold(name, other) }
		if slices.ContainsFunc(connectionHeaders, same) || slices.ContainsFunc(framingHeaders, same) && !slices.Contains(framingHeaders, name) {
			return &failure{class: webhook.ClassRequest, text: "the request has a header that belongs to the connection"}
		}
		valid := httpguts.ValidHeaderFieldName(name)
		for _, v := range values {
			valid = valid && httpguts.ValidHeaderFieldValue(v)
		}
		if !valid {
			return &failure{class: webhook.ClassRequest, text: "the request has a header that HTTP does not allow"}
		}
	}
	return nil
}
