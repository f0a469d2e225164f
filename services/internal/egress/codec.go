package egress

import (
	"bufio"
	"net/http"
	"strconv"
)

const (
	// atOnce is how many bytes of a body are written together with the headers: as much as both kernels buffer even
	// if the receiver reads nothing. The rest of a longer body is written while we wait for the answer, because the
	// receiver may answer before it has read everything, or instead of doing so.
	atOnce = 32 << 10
	// taken is the size in bytes up to which the receiver's machine surely has the whole request when it answers.
	taken = 4 << 10
	// maxDesk is the size in bytes of the largest buffer that is kept for the next request.
	maxDesk = 64 << 10
)

// codec holds the buffers to write a request and to read its answer.
type codec struct {
	out []byte
	in  *bufio.Reader
}

func newCodec() *codec { return &codec{in: bufio.NewReaderSize(nil, bufferSize)} }

// compose fills d.out with the head of a request and the beginning of its body, and returns the rest of the body. The
// header has been checked.
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

// clear releases what the last request left behind.
func (d *codec) clear() {
	d.in.Reset(nil)
	if cap(d.out) > maxDesk {
		d.out = nil
	}
}
