package filter_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
)

func TestConditionsJudgeAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		condition, body string
		truncated       bool
		want            bool
		problem         string
	}{
		{`response.status == 200`, ``, false, true, ""},
		{`response.body.ok`, `{"ok":true}`, false, true, ""},
		{`response.body.ok == true && size(response.body.errors) == 0`, `{"ok":true,"errors":[1]}`, false, false, ""},
		{`response.body == "OK"`, `OK`, false, true, ""},
		{`response.body.contains("ERROR") == false`, `<html>ERROR</html>`, false, false, ""},
		{`response.body.startsWith("{")`, `{"ok":true,`, true, true, ""},
		{`response.body.startsWith("{\"ok\"")`, `{"ok":true}`, true, true, ""}, // truncated, so it is not parsed as JSON
		{`response.body.ok`, `OK`, false, false, "evaluate success condition"},
		{`response.body.ok`, ``, false, false, "evaluate success condition"},
		{`response.body`, `{"ok":true}`, false, false, "does not give true or false"},
		{`response.body.all(a, response.body.all(b, response.body.all(c, a == b)))`, `[` + strings.Repeat("1,", 500) + `1]`, false, false, "it costs more than 100000 units"},
		{`response.body.contains("\uFFFD")`, "\xff", false, true, ""},
		{`response.body.ok`, "\ufeff" + `{"ok":true}`, false, true, ""},
		{`response.body == "OK"`, "\ufeffOK", false, true, ""},
	} {
		config, err := webhook.ParseConfig(json.RawMessage(`{"success":{"condition":` + quote(c.condition) + `}}`))
		require.NoError(t, err)
		condition, err := filter.NewCondition(&webhook.Hook{Config: config})
		require.NoError(t, err, c.condition)
		holds, cost, err := condition.Holds(200, []byte(c.body), c.truncated)
		require.NotZero(t, cost)
		require.Equal(t, c.want, holds, c.condition)
		if c.problem == "" {
			require.NoError(t, err, c.condition)
		} else {
			require.ErrorContains(t, err, c.problem)
		}
	}
}
