package webhook_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

func TestContentFieldsKeepExactlyWhatIsWanted(t *testing.T) {
	t.Parallel()
	const data = ` { "id" : 1.50 ,"b":{"x":[ 1 ,2],"y":{"z":"é","w":null}}, "a/b":true,"~":0,"list":[{"sku":"a","n":1E2},{"sku":"b"},3],
		"\u00e9\/":"\u0041","":"empty" } `
	tests := map[string]struct{ fields, data, want string }{
		"one member":                          {`["/id"]`, data, `{"id":1.50}`},
		"members in the order of the data":    {`["/b/y/z","/id"]`, data, `{"id":1.50,"b":{"y":{"z":"é"}}}`},
		"a value as it is written":            {`["/b/x"]`, data, `{"b":{"x":[ 1 ,2]}}`},
		"a whole beside a part of it":         {`["/b/y","/b"]`, data, `{"b":{"x":[ 1 ,2],"y":{"z":"é","w":null}}}`},
		"a part beside its whole":             {`["/b","/b/y/z"]`, data, `{"b":{"x":[ 1 ,2],"y":{"z":"é","w":null}}}`},
		"null":                                {`["/b/y/w"]`, data, `{"b":{"y":{"w":null}}}`},
		"escaped names":                       {`["/a~1b","/~0"]`, data, `{"a/b":true,"~":0}`},
		"a name that is written otherwise":    {`["/é~1"]`, data, `{"\u00e9\/":"\u0041"}`},
		"the empty name":                      {`["/"]`, data, `{"":"empty"}`},
		"elements of a list":                  {`["/list/1","/list/0/sku"]`, data, `{"list":[{"sku":"a"},{"sku":"b"}]}`},
		"what is not there":                   {`["/none","/b/none","/list/7"]`, data, `{"b":{},"list":[]}`},
		"what is below a number":              {`["/id/x","/list/2/x"]`, data, `{"list":[]}`},
		"everything":                          {`[""]`, data, data},
		"of a list":                           {`["/1/a"]`, `[{"a":0},{"a":1}]`, `[{"a":1}]`},
		"an index with a zero before it":      {`["/01"]`, `[1,2]`, `[]`},
		"a name that looks like an index":     {`["/0"]`, `{"0":1,"1":2}`, `{"0":1}`},
		"nothing of a number":                 {`["/id"]`, `12`, `null`},
		"a name that is there twice":          {`["/a"]`, `{"a":1,"b":2,"a":3}`, `{"a":1,"a":3}`},
		"of data that is not JSON, all of it": {`["/a"]`, `{`, `{`},
		"all without content fields":          {`null`, data, data},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := webhook.ParseConfig(json.RawMessage(`{"content_fields":` + test.fields + `}`))
			require.NoError(t, err)
			require.Equal(t, test.want, string(c.ContentFields.Keep(json.RawMessage(test.data))))
		})
	}
}

func TestWrongContentFieldsArePointedAt(t *testing.T) {
	t.Parallel()
	for fields, want := range map[string]string{
		`[]`:                "/content_fields",
		`{}`:                "/content_fields",
		`"/a"`:              "/content_fields",
		`["/a",1]`:          "/content_fields",
		`["/a","b"]`:        "/content_fields/1",
		`["/a~"]`:           "/content_fields/0",
		`["/a~2b"]`:         "/content_fields/0",
		`["/a/-"]`:          "/content_fields/0",
		`["/ok",null]`:      "/content_fields/1",
		`["$.order.lines"]`: "/content_fields/0",
	} {
		t.Run(fields, func(t *testing.T) {
			t.Parallel()
			_, err := webhook.ParseConfig(json.RawMessage(`{"content_fields":` + fields + `}`))
			require.Equal(t, []string{want}, pointers(t, err))
		})
	}
}

func FuzzContentFieldsKeepJSON(f *testing.F) {
	f.Add(`["/a/0","/b"]`, `{"a":[1,{"c":2}],"b":"x"}`)
	f.Fuzz(func(t *testing.T, fields, data string) {
		c, err := webhook.ParseConfig(json.RawMessage(`{"content_fields":` + fields + `}`))
		if err != nil || !json.Valid([]byte(data)) {
			return
		}
		require.True(t, json.Valid(c.ContentFields.Keep(json.RawMessage(data))))
	})
}
