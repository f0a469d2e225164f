package filter_test

import (
	"encoding/json"
	"testing"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
)

// mostCost is above the cost of any filter that is stopped: the limit, the step that exceeded it, which reads at most
// an event of one megabyte, and parsing that event.
const mostCost = filter.MaxCost + 2_000_000

// FuzzFilter compiles any text and evaluates it for any event. It must neither panic nor hang, and its cost must be
// bounded.
func FuzzFilter(f *testing.F) {
	f.Add(`event.data.total > 100.0 && event.data.currency == "EUR"`, `{"total":125.5,"currency":"EUR"}`)
	f.Add(`event.data.lines.exists(l, l.sku == "B-2")`, `{"lines":[{"sku":"B-2"}]}`)
	f.Add(`event.data.id + 1u == 18446744073709551615u`, `{"id":18446744073709551614}`)
	f.Fuzz(func(t *testing.T, expression, data string) {
		if len(data) > 1<<20 {
			return
		}
		compiled, err := filter.Compile(expression)
		if err != nil {
			return
		}
		if compiled.String() != expression {
			t.Fatal("another expression")
		}
		in := filter.NewInput(&webhook.Event{Type: "order.created", Entity: "order:1", Data: json.RawMessage(data), Context: json.RawMessage(`{"user":{"id":3}}`)})
		first := compiled.Evaluate(in)
		if first.Cost == 0 || first.Cost > mostCost {
			t.Fatalf("cost %d", first.Cost)
		}
		if first.Err != nil && (first.Matched || first.Err.Error() == "") {
			t.Fatal("matches with an error, or does not say which")
		}
		if again := compiled.Evaluate(in); again.Matched != first.Matched || (again.Err == nil) != (first.Err == nil) {
			t.Fatalf("%v, then %v", first, again)
		}
		for _, term := range compiled.Terms(in) {
			if len(term.Value) > 200 {
				t.Fatalf("term of %d bytes", len(term.Value))
			}
		}
	})
}
