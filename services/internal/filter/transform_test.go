package filter_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/filter"
)

func shape(t *testing.T, expression, data string) (string, error) {
	t.Helper()
	config, err := webhook.ParseConfig(json.RawMessage(`{"channel":12,"rate":1.50,"transform":` + quote(expression) + `}`))
	require.NoError(t, err)
	transform, err := filter.NewTransform(&webhook.Hook{Config: config})
	require.NoError(t, err, expression)
	made, err := transform.Make(&webhook.Event{
		ID: "e-1", Type: "order.created", Entity: "order:7", Time: time.Date(2026, 1, 31, 11, 30, 0, 0, time.UTC), Data: json.RawMessage(data),
	})
	require.NotZero(t, made.Cost)
	return string(made.Data), err
}

func quote(s string) string {
	text, _ := json.Marshal(s) //nolint:errchkjson // a text always can be written
	return string(text)
}

func TestNumbersThatArePassedOnKeepTheirDigits(t *testing.T) {
	t.Parallel()
	const data = `{"total":19.90,"big":123456789012345678901234567890,"exp":1e2,"zero":-0,"same":19.9,"int":7,"lines":[{"price":1.10,"n":2},{"price":2.0,"n":1}],"none":null}`
	for expression, want := range map[string]string{
		`event.data.total`: `19.90`,
		`{"a": event.data.total, "b": event.data.same}`: `{"a":19.90,"b":19.9}`,
		`event.data.big`:                                     `123456789012345678901234567890`,
		`event.data.exp`:                                     `1e2`,
		`event.data.zero`:                                    `-0`,
		`event.data.lines`:                                   `[{"n":2,"price":1.10},{"n":1,"price":2.0}]`,
		`event.data.lines.map(l, l.price)`:                   `[1.10,2.0]`,
		`event.data.lines.filter(l, l.price > 1.5)`:          `[{"n":1,"price":2.0}]`,
		`event.data.lines[1].price`:                          `2.0`,
		`event.data.total > 10 ? event.data.total : 0`:       `19.90`,
		`event.data["total"]`:                                `19.90`,
		`[event.data.total] + [event.data.exp]`:              `[19.90,1e2]`,
		`string(event.data.total)`:                           `"19.90"`,
		`"EUR " + string(event.data.total)`:                  `"EUR 19.90"`,
		`event.data.total + 1`:                               `20.9`,
		`-event.data.total`:                                  `-19.9`,
		`event.data.total == event.data.same`:                `true`,
		`event.data.same == event.data.total`:                `true`,
		`[event.data.same] == [event.data.total]`:            `true`,
		`event.data.total in [19.9]`:                         `true`,
		`19.9 in [event.data.total]`:                         `true`,
		`{"a": [19.9]} == {"a": [event.data.total]}`:         `true`,
		`event.data.lines.exists(l, l.price == 1.1)`:         `true`,
		`[1.1, 2.0] == event.data.lines.map(l, l.price)`:     `true`,
		`[event.data.lines.map(l, l.price)] != [[1.1, 2.0]]`: `false`,
		`type(event.data.total) == double`:                   `true`,
		`int(event.data.total)`:                              `19`,
		`dyn(event.data.total)`:                              `19.90`,
		`hook.config.rate`:                                   `1.50`,
		`json.encode({"t": event.data.total})`:               `"{\"t\":19.90}"`,
		`json.decode("{\"t\": 19.90}").t`:                    `19.90`,
		`decimal(event.data.total)`:                          `"19.90"`,
		`decimal(event.data.total, 1)`:                       `"19.9"`,
		`decimal("19.95", 1)`:                                `"20.0"`,
		`decimal("-19.95", 1)`:                               `"-20.0"`,
		`decimal("0.005", 2)`:                                `"0.01"`,
		`decimal(7, 2)`:                                      `"7.00"`,
		`decimal(event.data.exp)`:                            `"100"`,
		`number(decimal(event.data.total, 3))`:               `19.900`,
		`[number("1e3"), number("-0"), number("1.50"), number("007"), number(json.decode("1E400"))]`: `[1e3,-0,1.50,7,1E400]`,
		`decimal.add(event.data.total, "0.10")`:                                                      `"20.00"`,
		`decimal.subtract("0.1", "0.3")`:                                                             `"-0.2"`,
		`decimal.multiply(event.data.total, 3)`:                                                      `"59.70"`,
		`number(decimal.multiply(event.data.lines[0].price, event.data.lines[0].n))`:                 `2.20`,
		`event.data.none`: `null`,
		`{"n": null, "b": true, "t": timestamp("2026-01-31T12:00:00Z"), "d": duration("90s")}`: `{"b":true,"d":"1m30s","n":null,"t":"2026-01-31T12:00:00Z"}`,
		`1u`:                  `1`,
		`{1: "a", true: "b"}`: `{"1":"a","true":"b"}`,
	} {
		got, err := shape(t, expression, data)
		require.NoError(t, err, expression)
		require.Equal(t, want, got, expression)
	}
}

func TestTransformsHaveHelpers(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]string{
		`event.id + event.type + event.entity`:                             `"e-1order.createdorder:7"`,
		`event.time`:                                                       `"2026-01-31T11:30:00Z"`,
		`hook.config.channel`:                                              `12`,
		`"  äB ".trim()`:                                                   `"äB"`,
		`"äB".lowerAscii() + "äb".upperAscii()`:                            `"äbäB"`,
		`"a-b-c".replace("-", "/")`:                                        `"a/b/c"`,
		`"a,b".split(",")`:                                                 `["a","b"]`,
		`["a", 1, 1.5].join("|")`:                                          `"a|1|1.5"`,
		`[event.data.n].join("")`:                                          `"19.90"`,
		`"häuser".indexOf("user") == 2 && "x".indexOf("y") == -1`:          `true`,
		`"häuser".first(3) + "x".first(3)`:                                 `"häux"`,
		`"häuser".substring(1) + "häuser".substring(1, 2)`:                 `"äuserä"`,
		`base64.encode("a") + base64.encode(b"a")`:                         `"YQ==YQ=="`,
		`string(base64.decode("YQ=="))`:                                    `"a"`,
		`base64.decode("YQ")`:                                              `"YQ=="`,
		`xml.escape("<a & b>")`:                                            `"&lt;a &amp; b&gt;"`,
		`time.inZone(event.time, "Europe/Berlin")`:                         `"2026-01-31T12:30:00+01:00"`,
		`time.inZone("2026-07-31T11:30:00Z", "America/New_York")`:          `"2026-07-31T07:30:00-04:00"`,
		`time.format(event.time, "%d.%m.%Y %H:%M %Z %%", "Europe/Berlin")`: `"31.01.2026 12:30 CET %"`,
		`time.format(event.time, "%s", "UTC")`:                             `"1769859000"`,
		`event.data.keys.map(k, {"name": k})`:                              `[{"name":"a"}]`,
		`"<&>"`:                                                            `"<&>"`,
	} {
		got, err := shape(t, expression, `{"keys":["a"],"n":19.90}`)
		require.NoError(t, err, expression)
		require.Equal(t, want, got, expression)
	}
}

func TestWhatATransformCannotMakeIsSaidInWords(t *testing.T) {
	t.Parallel()
	large := `{"s":"` + strings.Repeat("x", 600_000) + `","items":[` + strings.Repeat("7,", 1999) + `7]}`
	for _, c := range []struct{ expression, data, want string }{
		{`event.data.customer.name`, `{}`, "evaluate transform: no such key: customer: event.data.customer is absent; guard it with has(event.data.customer)"},
		{`[event.data.s, event.data.s]`, large, "larger than 1048576 bytes"},
		{`event.data.s.replace("x", "xxxxxxxx")`, large, "a text is longer than 1048576 bytes"},
		{`[event.data.s, event.data.s].join("")`, large, "it costs more than 100000 units"},
		{`[[1]]` + strings.Repeat(`.map(x, [x, x])`, 40), `{}`, "larger than"},
		{`event.data.items.map(a, event.data.items.map(b, a + b))`, large, "it costs more than 100000 units"},
		{`event.data.items.map(a, event.data.s.split(""))`, large, "it costs more than 100000 units"},
		{`event.data.items.map(a, json.encode(event.data.items))`, large, "it costs more than 100000 units"},
		{`1.0 / 0.0`, `{}`, "a number that JSON does not have"},
		{`json.decode("{")`, `{}`, "json.decode: "},
		{`base64.decode("?")`, `{}`, "is not base64"},
		{`decimal("1e999999999")`, `{}`, "is no decimal number"},
		{`decimal(event.data.n)`, `{"n":1e999}`, "is no decimal number"},
		{`decimal("x")`, `{}`, `"x" is no decimal number`},
		{`decimal("1", 1000)`, `{}`, "decimal: from 0 to 100 places"},
		{`decimal("1", -1)`, `{}`, "decimal: from 0 to 100 places"},
		{`number(true)`, `{}`, "is no decimal number"},
		{`"ab".substring(1, 5)`, `{}`, "substring: 1 to 5 is not within the text's 2 characters"},
		{`"ab".substring(-1)`, `{}`, "substring: -1"},
		{`"ab".substring(0, -1)`, `{}`, "substring: 0 to -1 is not within"},
		{`time.inZone("soon", "UTC")`, `{}`, "is no time"},
		{`time.inZone(event.time, "Mars/Olympus")`, `{}`, `there is no time zone "Mars/Olympus"`},
		{`time.inZone(event.time, "Local")`, `{}`, "there is no time zone"},
		{`time.format(event.time, "%Q", "UTC")`, `{}`, "there is no %Q"},
		{`{1: 2, "1": 3}`, `{}`, "its value has the name 1 twice"},
		{`[event.data].join("")`, `{}`, "join: item 0 is no text"},
		{`event.data.x`, `{"x":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}`, "deeper than 100 levels"},
		{`json.decode(event.data.x)`, `{"x":"` + strings.Repeat("[", 500_000) + `"}`, "nests more than 100 levels"},
		{`{event.data.a: 1}`, `{"a":[1]}`, ""},
	} {
		_, err := shape(t, c.expression, c.data)
		require.ErrorContains(t, err, c.want, c.expression)
		require.Less(t, len(err.Error()), 600)
	}
}

func TestATransformThatIsWrongIsToldOnSavingWithItsPlace(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]string{
		`{"a": event.tpye}`:                     "line 1, column 12: undeclared reference",
		"{\n  \"a\": event.type + 1}":           "line 2, column 19: found no matching overload",
		`{"a": 1`:                               "line 1",
		`trim(event.type)`:                      "line 1",
		`type(1)`:                               "which JSON does not have",
		`"` + strings.Repeat("x", 17_000) + `"`: "longer than 16384 bytes",
		`event.data.a.map(a, event.data.a.map(b, event.data.a.map(c, a + b + c)))`: "use fewer loops inside of loops",
	} {
		err := filter.CheckBeside(webhook.Expression{Kind: webhook.TransformExpression, Text: expression}, nil)
		var wrong *filter.Error
		require.ErrorAs(t, err, &wrong, expression)
		require.Contains(t, wrong.Error(), want, expression)
	}
}

func TestHeadersAreMadeOfTheEvent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ expression, want, problem string }{
		{`" " + event.data.route + " "`, "north", ""},
		{`string(event.data.total)`, "19.90", ""},
		{`event.data.total`, "", "its value is no text"},
		{`event.data.lines`, "", "has a control character in its value"},
		{`event.data.nothing`, "", "header X-Route: evaluate header: no such key: nothing"},
		{`event.data.long`, "", "has a value that is too long"},
	} {
		config, err := webhook.ParseConfig(json.RawMessage(`{"headers_from":{"X-Route":` + quote(c.expression) + `}}`))
		require.NoError(t, err)
		transform, err := filter.NewTransform(&webhook.Hook{Config: config})
		require.NoError(t, err)
		made, err := transform.Make(&webhook.Event{Data: json.RawMessage(`{"route":"north","total":19.90,"lines":"a\nb","long":"` + strings.Repeat("x", 5000) + `"}`)})
		if c.problem != "" {
			require.ErrorContains(t, err, c.problem, c.expression)
			continue
		}
		require.NoError(t, err, c.expression)
		require.Equal(t, []webhook.Header{{Name: "X-Route", Value: c.want}}, made.Headers)
		require.Nil(t, made.Data, "the data is what was published")
	}
	many, err := webhook.ParseConfig(json.RawMessage(`{"headers_from":{"X-A":"event.data","X-B":"event.data","X-C":"event.data","X-D":"event.data","X-E":"event.data"}}`))
	require.NoError(t, err)
	large, err := filter.NewTransform(&webhook.Hook{Config: many})
	require.NoError(t, err)
	_, err = large.Make(&webhook.Event{Data: json.RawMessage(`"` + strings.Repeat("x", 4<<10) + `"`)})
	require.ErrorContains(t, err, "the headers are larger than 16384 bytes in all")
	wrong := filter.CheckBeside(webhook.Expression{Kind: webhook.HeaderExpression, Text: `1 + 1`}, nil)
	require.ErrorContains(t, wrong, "must give a text: string(…) makes one")
}

func TestAllExpressionsOfATenantCountTogether(t *testing.T) {
	t.Parallel()
	loops := webhook.Expression{Kind: webhook.TransformExpression, Text: `event.data.a.map(a, event.data.b.map(b, a + b))`}
	require.NoError(t, filter.CheckBeside(loops, nil))
	var others []webhook.Expression
	for range 200 {
		others = append(others, loops)
	}
	require.ErrorContains(t, filter.CheckBeside(loops, others), "together with the other filters and transforms of the tenant")
}

func FuzzTransform(f *testing.F) {
	f.Add(`{"a": event.data.total, "b": decimal(event.data.total, 2)}`, `{"total":125.50}`)
	f.Add(`event.data.lines.map(l, l.sku.replace("-", "")).join(",")`, `{"lines":[{"sku":"B-2"}]}`)
	f.Add(`json.decode(json.encode(event.data))`, `{"a":[1e5,null,true]}`)
	f.Fuzz(func(t *testing.T, expression, data string) {
		if len(data) > 1<<18 || len(expression) > 2000 {
			return
		}
		raw, err := json.Marshal(map[string]string{"transform": expression})
		require.NoError(t, err)
		config, err := webhook.ParseConfig(raw)
		require.NoError(t, err)
		transform, err := filter.NewTransform(&webhook.Hook{Config: config})
		if err != nil || transform == nil {
			return
		}
		made, err := transform.Make(&webhook.Event{Data: json.RawMessage(data)})
		if err == nil && !json.Valid(made.Data) {
			t.Fatalf("%s gives %s", expression, made.Data)
		}
	})
}
