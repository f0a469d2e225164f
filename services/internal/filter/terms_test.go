package filter_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
)

func TestAFilterTellsWhatItSaw(t *testing.T) {
	t.Parallel()
	long := &webhook.Event{Type: "order.created", Data: json.RawMessage(`{"note":"` + strings.Repeat("x", 200) + `"}`)}
	for _, c := range []struct {
		expression string
		event      *webhook.Event
		want       []string
	}{
		{`event.data.total > 200.0 && event.data.currency == "EUR"`, event(), []string{"event.data.total is 125.5", "event.data.currency is \"EUR\""}},
		{`event.data.currency == "GBP" || event.data.currency == "USD"`, event(), []string{`event.data.currency is "EUR"`}},
		{`event.data.missing == 1`, event(), []string{"event.data.missing is (not there)"}},
		{`event.entity.startsWith("package:")`, event(), []string{`event.entity is "order:7"`}},
		{`event.data.channel.id in [7, 9]`, event(), []string{"event.data.channel.id is 12"}},
		{`event.data.lines.exists(l, l.quantity > 5)`, event(), []string{`event.data.lines is [{"quantity":2,"sku":"A-1"},{"quantity":1,"sku":"B-2"}]`}},
		{`has(event.data.total) && event.type == "x"`, event(), []string{`event.type is "order.created"`}},
		{`event.data.note == ""`, long, []string{`event.data.note is "` + strings.Repeat("x", 99) + "…"}},
		{`event.data.total > 1.0`, &webhook.Event{Data: json.RawMessage(`{`)}, nil},
		{`true`, event(), nil},
	} {
		f, err := filter.Compile(c.expression)
		require.NoError(t, err)
		var got []string
		for _, term := range f.Terms(filter.NewInput(c.event)) {
			if term.Expression != "event.data" {
				got = append(got, term.String())
			}
		}
		require.Equal(t, c.want, got, c.expression)
	}
}
