package webhook_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestTheSameJSONIsWrittenInManyWays(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{`{"a":1,"b":[1,2]}`, ` { "b": [1.0, 2e0], "a": 10e-1 } `, true},
		{`{"a":9007199254740993}`, `{"a":9007199254740992}`, false},
		{`"\u0061"`, `"a"`, true},
		{`[1,2]`, `[2,1]`, false},
		{`[1]`, `[1,1]`, false},
		{`{"a":1}`, `{"a":1,"b":null}`, false},
		{`{"a":null}`, `{"b":null}`, false},
		{`1`, `"1"`, false},
		{``, `null`, true},
		{``, `{}`, false},
		{`{`, `{`, true},
	} {
		require.Equal(t, test.same, webhook.SameJSON(json.RawMessage(test.a), json.RawMessage(test.b)), "%s %s", test.a, test.b)
		require.Equal(t, test.same, webhook.SameJSON(json.RawMessage(test.b), json.RawMessage(test.a)), "%s %s", test.b, test.a)
	}
}
