package store

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// layout is the format that copyOut.time writes.
const layout = "2006-01-02 15:04:05.000000000Z"

func TestTimesAreWrittenAsTheLibraryWritesThem(t *testing.T) {
	t.Parallel()
	first, last := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC)
	times := []time.Time{first, last, time.Unix(0, 0), time.Date(2024, 2, 29, 23, 0, 0, 7, time.FixedZone("", -3600))}
	for range 1000 {
		times = append(times, time.Unix(first.Unix()+rand.Int64N(last.Unix()-first.Unix()), rand.Int64N(int64(time.Second))))
	}
	for _, at := range times {
		c := copyOut{}
		c.time(at)
		require.Equal(t, at.UTC().Format(layout), string(c.buf))
	}
}

func TestTextsAreEscaped(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "", "a": "a", "\\": `\\`, "a\tb\nc\rd\\e": `a\tb\nc\rd\\e`, "\n\n": `\n\n`, `\N`: `\\N`, "ü\n日本": `ü\n日本`,
		"a\x00b": "a\uFFFDb", "a\xffb\n": "a\uFFFDb\\n",
	} {
		require.Equal(t, want, string(appendText(nil, text)), "%q", text)
	}
}

// One operation formats one column; for comparison, with the standard library.
func BenchmarkCopyTime(b *testing.B) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 123_456_789, time.UTC)
	c := copyOut{}
	b.Run("time", func(b *testing.B) {
		for b.Loop() {
			c.buf, c.begun = c.buf[:0], false
			c.time(at)
		}
	})
	b.Run("library", func(b *testing.B) {
		for b.Loop() {
			c.buf = at.AppendFormat(c.buf[:0], layout)
		}
	})
}

// One operation writes the headers of one request.
func BenchmarkCopyText(b *testing.B) {
	text := strings.Repeat("Webhook-Signature: v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=\n", 8)
	var buf []byte
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		buf = appendText(buf[:0], text)
	}
}
