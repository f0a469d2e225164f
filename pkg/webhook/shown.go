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

// DecodeBody returns a response body with its Content-Encoding undone where that is gzip or deflate (RFC 9110 section 8.4.1), as far
// as what is kept of it goes; truncated says that this is not all. What cannot be read is returned as it came.
func DecodeBody(body []byte, truncated bool, headers []Header) ShownBody {
	shown := ShownBody{Bytes: body, Truncated: truncated, Received: len(body)}
	codings := codingsOf(headers)
	if len(body) == 0 || len(codings) == 0 || len(codings) > maxCodings {
		return shown
	}
	cut := truncated
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

// codingsOf are the codings of a response body, in the order in which they were applied.
func codingsOf(headers []Header) []string {
	var list []string
	for _, h := range headers {
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
