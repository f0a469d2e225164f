package filter_test

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
)

// Each recipe of docs/transforms.md has an expression, an event's data and the result, which must match to the digit.
func TestRecipesMakeWhatTheySay(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../../docs/transforms.md")
	require.NoError(t, err)
	blocks := map[string][]string{}
	var names []string
	for _, m := range regexp.MustCompile("(?s)```(?:cel|json) (\\w+)\n(.*?)```").FindAllSubmatch(page, -1) {
		name := string(m[1])
		if blocks[name] == nil {
			names = append(names, name)
		}
		blocks[name] = append(blocks[name], string(m[2]))
	}
	require.Equal(t, []string{"slack", "teams", "carrier", "erp", "rename", "lines"}, names)
	for name, b := range blocks {
		require.Len(t, b, 3, name)
		x := webhook.Expression{Kind: webhook.TransformExpression, Text: b[0]}
		require.NoError(t, filter.CheckBeside(x, nil), name)
		config, err := json.Marshal(map[string]string{"company": "C7", "transform": b[0]})
		require.NoError(t, err)
		h := &webhook.Hook{}
		h.Config, err = webhook.ParseConfig(config)
		require.NoError(t, err)
		transform, err := filter.NewTransform(h)
		require.NoError(t, err)
		made, err := transform.Make(&webhook.Event{Data: json.RawMessage(b[1])})
		require.NoError(t, err, name)
		var want bytes.Buffer
		require.NoError(t, json.Compact(&want, []byte(b[2])))
		require.Equal(t, want.String(), string(made.Data), name)
	}
}
