package httpapi

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/api"
)

func TestTheAnswerToPublishersIsWhatTheDocumentSays(t *testing.T) {
	t.Parallel()
	odd := api.PublishedEvent{EventID: "a\"\\\u00e9\u2028 <&>\x7f", SchemaProblems: []api.FieldProblem{{Pointer: "/data/a", Detail: `is "x"`}}}
	for _, b := range []api.Published{
		{EventID: "1", Results: []api.PublishedEvent{{EventID: "1"}}},
		{EventID: odd.EventID, Results: []api.PublishedEvent{odd}},
		{Results: []api.PublishedEvent{{EventID: "1"}, odd, {EventID: "3"}}},
		{Results: []api.PublishedEvent{}},
	} {
		want, err := json.Marshal(b)
		require.NoError(t, err)
		require.JSONEq(t, string(want), string(appendPublished(nil, &b)))
	}
}
