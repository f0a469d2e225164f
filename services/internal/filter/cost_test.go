package filter_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
)

// large returns an event with 2,000 numbers, two equal lists of 200,000 numbers and a string of 600 kB.
func large() *webhook.Event {
	items, many := strings.Repeat("7,", 1999)+"7", strings.Repeat("1,", 199_999)+"1"
	return &webhook.Event{Data: json.RawMessage(`{"items":[` + items + `],"a":[[` + many + `]],"b":[[` + many + `]],"s":"` + strings.Repeat("ä", 300_000) + `"}`)}
}

// Each of these once ran for up to 41 s while CEL counted fewer units than the limit, or did not terminate.
func TestNothingCostsMoreThanItSays(t *testing.T) {
	t.Parallel()
	in := filter.NewInput(large())
	for _, expression := range []string{
		`event.data.items.all(i, event.data.a == event.data.b)`,
		`event.data.items.all(i, event.data.b[0] in event.data.a)`,
		`event.data.items.all(i, size(event.data.s) > 0)`,
		`event.data.items.all(i, event.data.s + event.data.s != "")`,
		`event.data.items.all(i, bytes(event.data.s) != b"")`,
		`event.data.items.all(i, string(event.data.s) != "")`,
		`event.data.items.all(i, !(event.data.s in {"a": 1}))`,
		`event.data.items.all(i, event.data.s.matches("(.?){1000}z") == false)`,
		`event.data.s.matches(event.data.s)`,
		`event.data.s.matches("(.?){1000}" + "(.?){1000}")`,
		`[event.data.items]` + strings.Repeat(`.map(x, x + x)`, 40) + `.exists(y, y == y)`,
		`[[1]]` + strings.Repeat(`.map(x, [x, x])`, 40) + `.exists(y, y == y)`,
		`[[1]]` + strings.Repeat(`.map(x, [x, x])`, 40) + `.exists(y, y in [y])`,
		`["a"]` + strings.Repeat(`.map(x, x + x)`, 40) + `.exists(y, y == "")`,
	} {
		f, err := filter.Compile(expression)
		require.NoError(t, err, expression)
		r := f.Evaluate(in)
		require.False(t, r.Matched, expression)
		require.Error(t, r.Err, expression)
	}
}

func TestLoopsOverWhatIsUsualAreNotCostly(t *testing.T) {
	t.Parallel()
	in := filter.NewInput(large())
	for _, expression := range []string{
		`event.data.items.all(i, i > 0)`,
		`event.data.items.map(i, i * 2).filter(i, i > 1).exists(i, i == 14)`,
		`event.data.items == event.data.items && 7 in event.data.items`,
		`event.data.s.contains("ää")`,
	} {
		f, err := filter.Check(expression)
		require.NoError(t, err, expression)
		r := f.Evaluate(in)
		require.NoError(t, r.Err, expression)
		require.True(t, r.Matched, expression)
		require.NotZero(t, r.Cost)
	}
}

func TestReadingAnEventIsCountedOnce(t *testing.T) {
	t.Parallel()
	f, err := filter.Compile(`event.type == "x"`)
	require.NoError(t, err)
	in := filter.NewInput(large())
	first, second := f.Evaluate(in), f.Evaluate(in)
	require.Greater(t, first.Cost, uint64(400_000))
	require.Less(t, second.Cost, uint64(100))
}

func TestACostlyFilterIsNotSaved(t *testing.T) {
	t.Parallel()
	_, err := filter.Check(`event.data.items.all(a, event.data.items.all(b, a + b >= 0))`)
	require.NoError(t, err, "a loop inside of a loop")
	_, err = filter.Check(`event.data.items.all(a, event.data.items.all(b, event.data.items.all(c, a == b && b == c)))`)
	var problem *filter.Error
	require.ErrorAs(t, err, &problem)
	require.Contains(t, problem.Detail, "costs up to 27060603 units")
	require.Contains(t, problem.Detail, "limit is 500000")
}

func TestWhatIsMissingIsNamedWithHowToAskForIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ data, expression, want string }{
		{`{"customer":null}`, `event.data.customer.group != "staff"`, `no such key: group: event.data.customer is null; guard it with has(event.data.customer.group) && …`},
		{`{}`, `event.data.customer.group != "staff"`, `no such key: customer: event.data.customer is absent; guard it with has(event.data.customer) && has(event.data.customer.group) && …`},
		{`{"customer":{}}`, `event.data.customer.group != "staff"`, `no such key: group: event.data.customer.group is absent; guard it with has(event.data.customer.group) && …`},
		{`{"customer":[1]}`, `event.data.customer.group != "staff"`, `event.data.customer is a list; guard it with`},
		{`{"total":null}`, `event.data.total > 5`, `no such overload: _>_: event.data.total is null; guard it with event.data.total != null && …`},
		{`{}`, `has(event.data.a.b)`, `event.data.a is absent; guard it with has(event.data.a) && …`},
		{`{"x":null,"n":"a"}`, `event.data.x == null && event.data.m == 1`, `no such key: m: event.data.m is absent`},
		{`{"lines":[{}]}`, `event.data.lines.all(l, l.sku == "a")`, `no such key: sku`},
		{`{}`, `event.context.user == 1`, `event.context is null; guard it with has(event.context.user) && …`},
	} {
		f, err := filter.Compile(c.expression)
		require.NoError(t, err, c.expression)
		_, err = f.Match(filter.NewInput(&webhook.Event{Data: json.RawMessage(c.data)}))
		require.ErrorContains(t, err, c.want)
		if _, guards, ok := strings.Cut(err.Error(), "guard it with "); ok && strings.HasSuffix(guards, "&& …") && !strings.HasPrefix(c.expression, "has") && !strings.Contains(c.expression, "null") {
			guarded, err := filter.Compile(strings.TrimSuffix(guards, "…") + c.expression)
			require.NoError(t, err)
			_, err = guarded.Match(filter.NewInput(&webhook.Event{Data: json.RawMessage(c.data)}))
			if !strings.Contains(c.data, "[1]") {
				require.NoError(t, err, "the guard that was given")
			}
		}
	}
}
