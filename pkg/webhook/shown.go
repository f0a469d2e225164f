package webhook

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"slices"
	"strings"
)

// MaxShown bounds what is shown of a body that came compressed, in bytes.
const MaxShown = 64 << 10

// maxCodings is how many codings a body may have, one around the other.
const maxCodings = 3

// ShownBody is a response body as people are shown it.
type ShownBody struct {
	Bytes []byte
	// Received is how many bytes are kept of what came.
	Received int
	// Decoded says that the receiver sent it compressed. What is kept in the ledger are the bytes that came.
	Decoded bool
	// Truncated says that there was more of it than this.
	Truncated bool
}

// shown returns the response body with its Content-Encoding undone where that is gzip or deflate (RFC 9110 section 8.4.1), as far
// as what is kept of it goes. What cannot be read is shown as it came.
func (a *Attempt) shown() ShownBody {
	shown := ShownBody{Bytes: a.ResponseBody, Truncated: a.Truncated, Received: len(a.ResponseBody)}
	codings := a.codings()
	if len(a.ResponseBody) == 0 || len(codings) == 0 || len(codings) > maxCodings {
		return shown
	}
	body, cut := a.ResponseBody, a.Truncated
	for _, coding := range slices.Backward(codings) {
		decoded, more := decode(coding, body)
		if len(decoded) == 0 {
			return shown
		}
		body, cut = decoded, cut || more
	}
	shown.Bytes, shown.Decoded, shown.Truncated = body, true, cut
	return shown
}

// codings are those of the response body, in the order in which they were applied.
func (a *Attempt) codings() []string {
	var list []string
	for _, h := range a.ResponseHeaders {
		if !strings.EqualFold(h.Name, "Content-Encoding") {
			continue
		}
		for coding := range strings.SplitSeq(h.Value, ",") {
			if coding = strings.ToLower(strings.TrimSpace(coding)); coding != "" && coding != "identity" {
				list = append(list, coding)
			}
		}
	}
	return list
}

// decode undoes one coding up to MaxShown bytes; more says that this is not all. There is nothing where it cannot be undone.
func decode(coding string, body []byte) (decoded []byte, more bool) {
	var r io.Reader
	var err error
	switch coding {
	case "gzip", "x-gzip":
		r, err = gzip.NewReader(bytes.NewReader(body))
	case "deflate":
		if r, err = zlib.NewReader(bytes.NewReader(body)); err != nil { // as some send it, without zlib's header
			r, err = flate.NewReader(bytes.NewReader(body)), nil
		}
	default:
		return nil, false
	}
	if err != nil {
		return nil, false
	}
	decoded, err = io.ReadAll(io.LimitReader(r, MaxShown+1))
	more = err != nil || len(decoded) > MaxShown
	return decoded[:min(len(decoded), MaxShown)], more
}
