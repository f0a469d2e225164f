package filter_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
)

func event() *webhook.Event {
	return &webhook.Event{
		Type: "order.created", Entity: "order:7", Context: json.RawMessage(`{"user":{"id":3}}`),
		Data: json.RawMessage(`{"total":125.5,"currency":"EUR","lines":[{"sku":"A-1","quantity":2},{"sku":"B-2","quantity":1}],"channel":{"id":12}}`),
	}
}

func TestFiltersSeeTheEvent(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]bool{
		`event.type == "order.created"`:                             true,
		`event.entity.startsWith("order:")`:                         true,
		`event.data.total > 100.0 && event.data.currency == "EUR"`:  true,
		`event.data.total > 125`:                                    true,
		`event.data.lines.exists(l, l.sku == "B-2")`:                true,
		`event.data.lines.all(l, l.quantity > 1)`:                   false,
		`event.data.channel.id in [7, 12]`:                          true,
		`event.context.user.id == 3`:                                true,
		`has(event.data.coupon) && event.data.coupon == "X"`:        false,
		`size(event.data.lines) == 2 || event.data.nothing == true`: true,
	} {
		f, err := filter.Compile(expression)
		require.NoError(t, err, expression)
		got, err := f.Match(filter.NewInput(event()))
		require.NoError(t, err, expression)
		require.Equal(t, want, got, expression)
	}
}

func TestWhatIsWrongIsToldOnSavingWithItsPlace(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]string{
		`event.tpye == "x"`:                   "line 1, column",
		`event.type == 3`:                     "line 1, column 12",
		"event.type == \"a\" &&\n  (":         "line 2, column",
		`event.data.total`:                    "",
		`event.type`:                          "must give true or false",
		`1 + 1`:                               "must give true or false",
		``:                                    "line 1",
		strings.Repeat("(", 300):              "",
		`"` + strings.Repeat("x", 5000) + `"`: "longer than",
	} {
		_, err := filter.Compile(expression)
		if want == "" {
			continue
		}
		var problem *filter.Error
		require.ErrorAs(t, err, &problem, expression)
		require.Contains(t, problem.Error(), want, expression)
	}
}

func TestWhatCannotBeEvaluatedDoesNotMatchAndSaysWhy(t *testing.T) {
	t.Parallel()
	f, err := filter.Compile(`event.data.coupon.code == "X"`)
	require.NoError(t, err)
	matched, err := f.Match(filter.NewInput(event()))
	require.False(t, matched)
	require.ErrorContains(t, err, "no such key")
}

func TestACostlyFilterIsStopped(t *testing.T) {
	t.Parallel()
	items := make([]int, 3000)
	data, err := json.Marshal(map[string]any{"items": items})
	require.NoError(t, err)
	f, err := filter.Compile(`event.data.items.all(a, event.data.items.all(b, event.data.items.all(c, a == b && b == c)))`)
	require.NoError(t, err)
	matched, err := f.Match(filter.NewInput(&webhook.Event{Data: data}))
	require.False(t, matched)
	require.ErrorContains(t, err, "cost")
}
