package deliveryworker

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

func TestTheDocumentedCallbackHasAllFields(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/receiving.md")
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(page), "```json callback\n")
	require.True(t, found)
	text, _, _ := strings.Cut(rest, "```")
	var documented outcome
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	require.NoError(t, d.Decode(&documented))
	for _, part := range []reflect.Value{reflect.ValueOf(documented), reflect.ValueOf(*documented.Response)} {
		for i := range part.NumField() {
			name, _, _ := strings.Cut(part.Type().Field(i).Tag.Get("json"), ",")
			require.Contains(t, string(page), name)
			require.True(t, !part.Field(i).IsZero() || name == "truncated" || name == "body_base64", name)
		}
	}
}

func TestACallbackHidesWhatTheURLHides(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte("no s3cret"))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	fact := &whispererv1.AttemptFact{Url: "http://example.com/?key=s3cret", Status: 500, Error: "s3cret", ResponseHeaders: "Content-Encoding: gzip\nX-Key: s3cret", ResponseBody: b.Bytes()}
	problem, r := answerOf(webhook.ParseMask("key"), fact)
	require.Equal(t, "***", problem)
	require.Equal(t, &response{Status: 500, Headers: map[string]string{"X-Key": "***"}, Body: "no ***"}, r)
	fact.Url = "http://example.com/"
	_, r = answerOf(webhook.ParseMask("key"), fact)
	require.Equal(t, b.Bytes(), r.BodyBase64, "as it came")
	require.Equal(t, "gzip", r.Headers["Content-Encoding"])
}
