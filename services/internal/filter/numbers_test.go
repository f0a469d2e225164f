package filter_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
)

func TestNumbersAreExact(t *testing.T) {
	t.Parallel()
	e := &webhook.Event{
		Type: "order.created", Context: json.RawMessage(`{"shop":9007199254740993}`),
		Data: json.RawMessage(`{"id":9007199254740992,"big":18446744073709551615,"huge":1e30,"qty":7,"price":2.50,"two":2.0,"total":100,
			"negative":-9223372036854775808,"lines":[{"id":9007199254740993,"qty":3}],"e3":1e3,"over":18446744073709551616,
			"nested":[[9007199254740993],[1,[2,3]]],"keys":{"9007199254740993":1},"digits":"9007199254740993"}`),
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
		`event.data.total * 1.2 > 100.0`:                        true, // these behave as when all numbers were doubles
		`event.data.total - event.data.price == 97.5`:           true,
		`event.data.qty / 2.0 == 3.5 && event.data.total > 1.0`: true,
		// numbers of different types in one calculation, next to integers that a double cannot hold
		`event.data.qty / 2.0 == 3.5 && event.data.lines[0].id % 2 == 1`:             true,
		`event.data.qty * 1.5 == 10.5 && event.data.lines[0].id != 9007199254740993`: false,
		`event.data.qty * 1.5 == 10.5 && event.data.lines[0].id != event.data.id`:    true,
		`event.data.price + 1 == 3.5 && 1 + event.data.price == 3.5`:                 true,
		`event.data.qty - event.data.price == 4.5`:                                   true,
		// between 2^63 and 2^64
		`event.data.big % 2 == 1`:                                    true,
		`event.data.big / 2 == 9223372036854775807`:                  true,
		`event.data.big - 1 == 18446744073709551614u`:                true,
		`1 - event.data.qty == -6 && event.data.big + -1 > 0`:        true,
		`event.data.qty * 2u == 14u`:                                 true,
		`event.data.big - event.data.big == 0`:                       true,
		`type(event.data.big) == uint && type(event.data.id) == int`: true,
		`event.data.big > 9223372036854775807`:                       true,
		`event.data.big * 1.0 > 1e19`:                                true,
		// the notation decides: with a point or an exponent, or beyond 2^64, it is a double
		`type(event.data.two) == double && type(event.data.e3) == double`: true,
		`event.data.e3 == 1000 && string(event.data.e3) == "1000"`:        true,
		`event.data.e3 / 3 > 333.3`:                                       true,
		`event.data.over == 18446744073709551616.0`:                       true,
		`event.data.over > 18446744073709551615u`:                         false,
		// inside lists and maps
		`event.data.nested == [[9007199254740993], [1, [2, 3]]]`:         true,
		`event.data.nested == [[9007199254740992], [1, [2, 3]]]`:         false,
		`[9007199254740993] in event.data.nested`:                        true,
		`event.data.nested[1][1].exists(x, x == 3)`:                      true,
		`2.0 in event.data.nested[1][1] && 2 in event.data.nested[1][1]`: true,
		`{9007199254740993: true}[event.data.lines[0].id]`:               true,
		`event.data.id in {9007199254740993: 1}`:                         false,
		`event.data.keys[string(event.data.lines[0].id)] == 1`:           true,
		`event.data.lines.map(l, l.id + 1) == [9007199254740994]`:        true,
		`int(event.data.digits) == event.data.id + 1`:                    true,
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
	for expression, want := range map[string]string{
		`event.data.total % 2 == 1`:                            "no such overload",
		`18446744073709551615u + event.data.channel.id > 0u`:   "overflow",
		`event.data.channel.id - 18446744073709551615u < 0`:    "overflow",
		`event.data.channel.id % 0u == 0`:                      "division by zero",
		`event.data.lines == 1 || event.data.lines + 1 == [1]`: "no such overload",
		`9223372036854775807 + event.data.channel.id > 0`:      "overflow",
	} {
		f, err := filter.Compile(expression)
		require.NoError(t, err, expression)
		_, err = f.Match(filter.NewInput(event()))
		require.ErrorContains(t, err, want, expression)
	}
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
