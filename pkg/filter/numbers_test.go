package filter_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/filter"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestNumbersAreExact(t *testing.T) {
	t.Parallel()
	e := &webhook.Event{
		Type: "order.created", Context: json.RawMessage(`{"shop":9007199254740993}`),
		Data: json.RawMessage(`{"id":9007199254740992,"big":18446744073709551615,"huge":1e30,"qty":7,"price":2.50,"two":2.0,"total":100,
			"negative":-9223372036854775808,"lines":[{"id":9007199254740993,"qty":3}]}`),
	}
	for expression, want := range map[string]bool{
		`event.data.id == 9007199254740993`:                     false,
		`event.data.id == 9007199254740992`:                     true,
		`event.data.id != 9007199254740993`:                     true,
		`event.data.id < 9007199254740993`:                      true,
		`event.data.id in [9007199254740993]`:                   false,
		`string(event.data.id) == "9007199254740992"`:           true,
		`string(event.data.big) == "18446744073709551615"`:      true,
		`event.data.big == 18446744073709551615u`:               true,
		`event.data.big > 1`:                                    true,
		`event.data.negative == -9223372036854775808`:           true,
		`event.data.lines[0].id == 9007199254740993`:            true,
		`event.data.lines.exists(l, l.id == 9007199254740992)`:  false,
		`event.context.shop == 9007199254740993`:                true,
		`event.data.qty / 2 == 3`:                               true,
		`event.data.qty % 2 == 1`:                               true,
		`event.data.qty + 1 == 8`:                               true,
		`event.data.qty * event.data.lines[0].qty == 21`:        true,
		`event.data.qty > 1.5`:                                  true,
		`event.data.qty == 7.0`:                                 true,
		`event.data.two == 2`:                                   true,
		`event.data.two == 2.0`:                                 true,
		`event.data.price > 2`:                                  true,
		`event.data.price == 2.5`:                               true,
		`event.data.huge > 1000`:                                true,
		`type(event.data.qty) == int`:                           true,
		`event.data.total * 1.2 > 100.0`:                        true, // as it was when all numbers were doubles
		`event.data.total - event.data.price == 97.5`:           true,
		`event.data.qty / 2.0 == 3.5 && event.data.total > 1.0`: true,
	} {
		f, err := filter.Compile(expression)
		require.NoError(t, err, expression)
		got, err := f.Match(filter.NewInput(e))
		require.NoError(t, err, expression)
		require.Equal(t, want, got, expression)
	}
}

func TestWhatHasNoOperatorIsStillAnError(t *testing.T) {
	t.Parallel()
	f, err := filter.Compile(`event.data.currency + 1 == 2`)
	require.NoError(t, err)
	_, err = f.Match(filter.NewInput(event()))
	require.ErrorContains(t, err, "no such overload")
}

func BenchmarkMatch(b *testing.B) {
	f, err := filter.Compile(`event.data.total > 100.0 && event.data.currency == "EUR" && event.data.channel.id in [7, 12]`)
	require.NoError(b, err)
	e := event()
	b.ReportAllocs()
	for b.Loop() {
		if ok, err := f.Match(filter.NewInput(e)); err != nil || !ok {
			b.Fatal(ok, err)
		}
	}
}
