package envelope_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// TestHeadersOfABinaryCloudEventAreDecoded has the examples of section 3.1.3.2 of the HTTP binding, and odd ones.
func TestHeadersOfABinaryCloudEventAreDecoded(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]string{
		"plain":                           "plain",
		"Euro%20%E2%82%AC%20%F0%9F%98%80": "Euro € 😀",
		"%25":                             "%",
		"%2525":                           "%25",
		"100%":                            "100%",
		"%zz%4":                           "%zz%4",
		`"a b"`:                           "a b",
		`"a\"b\\%22"`:                     `a"b\"`,
		`"`:                               `"`,
		`"a`:                              `"a`,
		`"\"`:                             `\`,
	} {
		e, err := envelope.Decode(published(`{}`, "Content-Type", "application/json", "ce-specversion", "1.0", "ce-id", "e", "ce-source", "/",
			"ce-type", "package.created", "ce-note", header))
		require.NoError(t, err)
		var attributes map[string]string
		require.NoError(t, json.Unmarshal(e.CloudEvent, &attributes))
		require.Equal(t, want, attributes["note"])
	}
}

func TestWhatIsNoTextInACloudEventIsRejected(t *testing.T) {
	t.Parallel()
	for _, in := range []envelope.Published{
		published(`{"specversion":"1.0","id":"e","source":"/\u0000","type":"package.created","data":1}`, "Content-Type", "application/cloudevents+json"),
		published(`1`, "Content-Type", "application/json", "ce-specversion", "1.0", "ce-id", "e", "ce-source", "/%00", "ce-type", "package.created"),
		published(`1`, "Content-Type", "application/json", "ce-specversion", "1.0", "ce-id", "e", "ce-source", "/\x80", "ce-type", "package.created"),
		published(`1`, "Content-Type", "application/json", "ce-specversion", "1.0", "ce-id", "e", "ce-source", "/", "ce-type", "package.created", "ce-x", "%80"),
	} {
		_, err := envelope.Decode(in)
		var rejected *envelope.RejectedError
		require.ErrorAs(t, err, &rejected)
		require.Equal(t, envelope.BadField, rejected.Reason)
	}
	require.NoError(t, webhook.ValidateSource("https://example.com/é"))
}
