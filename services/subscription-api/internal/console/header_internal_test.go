package console

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// FuzzHeaderText parses UTF-8 text as people type it into the form. Whatever is accepted can be shown and typed
// again.
func FuzzHeaderText(f *testing.F) {
	for _, text := range []string{"X-A: b", "X-A: b\r\n\nX-B:c: d", `{"X-A": "b"}`, `{"X-A": 1}`, "{", ":", "X-A", "x-a: 1\nX-A: 2", "X-A:\x00"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		wrong := &webhook.ValidationError{}
		headers := (&hookForm{Headers: text}).headers(wrong)
		if !utf8.ValidString(text) || len(wrong.Fields) > 0 || len(headers) == 0 || webhook.ValidateHeaders(headers) != nil {
			return
		}
		typed, err := json.Marshal(headers)
		require.NoError(t, err)
		require.Equal(t, headers, (&hookForm{Headers: string(typed)}).headers(wrong))
		lines := ""
		for name, value := range headers {
			lines += name + ": " + value + "\n"
		}
		require.Equal(t, headers, (&hookForm{Headers: lines}).headers(wrong))
		require.Empty(t, wrong.Fields)
	})
}
