package webhook_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func encoded(t *testing.T, coding string, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch coding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "zlib":
		w = zlib.NewWriter(&b)
	case "flate":
		var err error
		w, err = flate.NewWriter(&b, flate.DefaultCompression)
		require.NoError(t, err)
	}
	_, err := w.Write(body)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.Bytes()
}

func TestACompressedAnswerIsShownDecoded(t *testing.T) {
	t.Parallel()
	text := []byte(`{"error":"no such parcel"}`)
	bomb := encoded(t, "gzip", bytes.Repeat([]byte("x"), 10<<20))
	for name, c := range map[string]struct {
		header    []string
		body      []byte
		truncated bool
		want      webhook.ShownBody
	}{
		"no coding":            {nil, text, false, webhook.ShownBody{Bytes: text}},
		"identity":             {[]string{"identity"}, text, false, webhook.ShownBody{Bytes: text}},
		"gzip":                 {[]string{"gzip"}, encoded(t, "gzip", text), false, webhook.ShownBody{Bytes: text, Decoded: true}},
		"GZip":                 {[]string{" GZip "}, encoded(t, "gzip", text), false, webhook.ShownBody{Bytes: text, Decoded: true}},
		"x-gzip":               {[]string{"x-gzip"}, encoded(t, "gzip", text), false, webhook.ShownBody{Bytes: text, Decoded: true}},
		"deflate":              {[]string{"deflate"}, encoded(t, "zlib", text), false, webhook.ShownBody{Bytes: text, Decoded: true}},
		"deflate without zlib": {[]string{"deflate"}, encoded(t, "flate", text), false, webhook.ShownBody{Bytes: text, Decoded: true}},
		"two":                  {[]string{"deflate, gzip"}, encoded(t, "gzip", encoded(t, "zlib", text)), false, webhook.ShownBody{Bytes: text, Decoded: true}},
		"two lines":            {[]string{"deflate", "gzip"}, encoded(t, "gzip", encoded(t, "zlib", text)), false, webhook.ShownBody{Bytes: text, Decoded: true}},
		"brotli":               {[]string{"br"}, []byte{1, 2, 3}, false, webhook.ShownBody{Bytes: []byte{1, 2, 3}}},
		"not what it says":     {[]string{"gzip"}, text, false, webhook.ShownBody{Bytes: text}},
		"too many":             {[]string{"gzip, gzip, gzip, gzip"}, bomb, false, webhook.ShownBody{Bytes: bomb}},
		"none":                 {[]string{"gzip"}, nil, false, webhook.ShownBody{}},
		"a bomb":               {[]string{"gzip"}, bomb, false, webhook.ShownBody{Bytes: []byte(strings.Repeat("x", webhook.MaxShown)), Decoded: true, Truncated: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := webhook.Attempt{ResponseBody: c.body, Truncated: c.truncated}
			for _, value := range c.header {
				a.ResponseHeaders = append(a.ResponseHeaders, webhook.Header{Name: "Content-Encoding", Value: value})
			}
			c.want.Received = len(c.body)
			require.Equal(t, c.want, webhook.Mask{}.Attempt(a).Body)
		})
	}
	t.Run("cut off", func(t *testing.T) {
		t.Parallel()
		long := bytes.Repeat([]byte("0123456789abcdef parcels "), 400)
		body := encoded(t, "gzip", long)
		a := webhook.Attempt{ResponseBody: body[:len(body)-20], Truncated: true, ResponseHeaders: []webhook.Header{{Name: "content-encoding", Value: "gzip"}}}
		got := webhook.Mask{}.Attempt(a).Body
		require.True(t, got.Decoded && got.Truncated)
		require.NotEmpty(t, got.Bytes)
		require.True(t, bytes.HasPrefix(long, got.Bytes))
	})
}

// FuzzShown decodes arbitrary bodies that claim to be compressed. It must not panic, nor return more than may be
// shown.
func FuzzShown(f *testing.F) {
	f.Add("gzip", []byte("\x1f\x8b\x08"), false)
	f.Add("deflate, x-gzip,identity", []byte("x\x9c\x03\x00"), true)
	f.Add("deflate,deflate,deflate", []byte{}, false)
	f.Fuzz(func(t *testing.T, coding string, body []byte, cut bool) {
		a := webhook.Attempt{ResponseBody: body, Truncated: cut, ResponseHeaders: []webhook.Header{{Name: "Content-Encoding", Value: coding}}}
		shown := webhook.Mask{}.Attempt(a).Body
		require.Equal(t, len(body), shown.Received)
		if !shown.Decoded {
			require.Equal(t, body, shown.Bytes)
			return
		}
		require.True(t, len(shown.Bytes) > 0 && len(shown.Bytes) <= webhook.MaxShown)
		require.True(t, shown.Truncated || !cut, "what was cut is shown as cut")
	})
}
