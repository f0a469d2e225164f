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

// MaxShown bounds the bytes shown of a body that came compressed.
const MaxShown = 64 << 10

// maxCodings is the maximum number of nested codings of a body.
const maxCodings = 3

// ShownBody is a response body as it is shown to people.
type ShownBody struct {
	Bytes []byte
	// Received is how many of the received bytes are stored.
	Received int
	// Decoded says that the receiver sent it compressed. The ledger stores the bytes as received.
	Decoded bool
	// Truncated says that there was more.
	Truncated bool
}

// DecodeBody decodes a response body whose Content-Encoding is gzip or deflate (RFC 9110 section 8.4.1), as far as
// the stored part allows; truncated says that the stored part is incomplete. A body that cannot be decoded is
// returned unchanged.
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

// codingsOf returns the codings of a response body, in the order in which they were applied.
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

// decode undoes one coding, up to MaxShown bytes; more says that there was more. It returns nothing if that is
// impossible.
func decode(coding string, body []byte) (decoded []byte, more bool) {
	var r io.Reader
	var err error
	switch coding {
	case "gzip", "x-gzip":
		r, err = gzip.NewReader(bytes.NewReader(body))
	case "deflate":
		if r, err = zlib.NewReader(bytes.NewReader(body)); err != nil { // some receivers send it without zlib's header
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
