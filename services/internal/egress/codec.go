package egress

import (
	"bufio"
	"net/http"
	"strconv"
)

const (
	// atOnce is how much of a body is written together with the headers, in bytes: what the two kernels take without the
	// receiver reading any of it. The rest of a longer body is written while the answer is awaited, which may come before
	// the receiver has read all, or instead.
	atOnce = 32 << 10
	// taken is how large a request is, in bytes, that the receiver's machine has taken as a whole when it answers.
	taken = 4 << 10
	// maxDesk is how large a buffer is kept for the next request, in bytes.
	maxDesk = 64 << 10
)

// codec is what a request is written and its answer read with.
type codec struct {
	out []byte
	in  *bufio.Reader
}

func newCodec() *codec { return &codec{in: bufio.NewReaderSize(nil, bufferSize)} }

// compose writes the head of a request, and as much of its body as is written with it. It returns what is left of the
// body. The header has been checked.
func (d *codec) compose(r Request) (left []byte) {
	out := append(append(d.out[:0], r.Method...), r.Target.line...)
	if agent, _ := r.Header.find("User-Agent"); agent != "" {
		out = append(append(append(out, "User-Agent: "...), agent...), "\r\n"...)
	}
	if len(r.Body) > 0 || r.Method != http.MethodGet { // RFC 9110 section 8.6
		out = append(strconv.AppendInt(append(out, "Content-Length: "...), int64(len(r.Body)), 10), "\r\n"...)
	}
	out = append(r.Header.appendLines(out), "\r\n"...)
	first := min(len(r.Body), atOnce)
	d.out = append(out, r.Body[:first]...)
	return r.Body[first:]
}

// clear lets go of what a request has left behind.
func (d *codec) clear() {
	d.in.Reset(nil)
	if cap(d.out) > maxDesk {
		d.out = nil
	}
}
