package schema_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/schema"
)

func problems(t *testing.T, err error) []string {
	t.Helper()
	var invalid *webhook.ValidationError
	require.ErrorAs(t, err, &invalid)
	list := make([]string, len(invalid.Fields))
	for i, f := range invalid.Fields {
		list[i] = f.Pointer + " " + f.Detail
	}
	return list
}

const order = `{
	"type": "object", "required": ["id", "lines"], "additionalProperties": false,
	"properties": {
		"id": {"type": "integer", "minimum": 1},
		"email": {"type": "string", "format": "email"},
		"currency": {"enum": ["EUR", "GBP"]},
		"lines": {"type": "array", "items": {"$ref": "#/$defs/line"}}
	},
	"$defs": {"line": {"type": "object", "required": ["sku"], "properties": {"sku": {"type": "string", "pattern": "^[A-Z]+$"}}}}
}`

func TestDataIsCheckedWithPointersAndWithoutItsValues(t *testing.T) {
	t.Parallel()
	s, err := schema.Compile([]byte(order))
	require.NoError(t, err)
	for data, want := range map[string][]string{
		`{"id": 1, "lines": [{"sku": "A"}]}`: nil,
		`[]`:                                 {" is of type array and must be object"},
		`{"lines": []}`:                      {` lacks "id"`},
		`{"id": 0, "lines": [], "secret-name": 1}`: {` must not have "secret-name"`, "/id breaks the rule minimum"},
		`{"id": 1, "lines": [{"sku": "A"}, {"sku": "hidden"}], "email": "hidden", "currency": "hidden"}`: {
			"/currency is not one of the values that the schema allows", "/email is not of the format email",
			"/lines/1/sku does not match the pattern ^[A-Z]+$",
		},
		`{"id": 1e999999, "lines": []}`: {"/id is a number that is too long to be checked"},
		`{"id": `:                       {" is not JSON"},
	} {
		err := s.Check([]byte(data))
		if want == nil {
			require.NoError(t, err, data)
			continue
		}
		require.Equal(t, want, problems(t, err), data)
	}
}

func TestACheckReportsAFewProblemsOfMany(t *testing.T) {
	t.Parallel()
	s, err := schema.Compile([]byte(`{"items": {"type": "integer"}}`))
	require.NoError(t, err)
	require.Len(t, problems(t, s.Check([]byte(`["a"`+strings.Repeat(`,"a"`, 1000)+`]`))), schema.MaxProblems)
}

func TestSchemasThatCannotBeUsedAreRefusedWithAPointer(t *testing.T) {
	t.Parallel()
	doubling := `{"$ref": "#/$defs/a0", "$defs": {`
	for i := range 40 {
		doubling += fmt.Sprintf(`"a%d": {"allOf": [{"$ref": "#/$defs/a%d"}, {"$ref": "#/$defs/a%[2]d"}]},`, i, i+1)
	}
	doubling += `"a40": {"type": "object"}}}`
	for name, c := range map[string]struct{ document, want string }{
		"no object":            {`true`, " must be a JSON Schema: an object"},
		"no JSON":              {`{`, " is not JSON"},
		"an unknown type":      {`{"properties": {"a": {"type": "text"}}}`, "/properties/a/type fits none of the schema's alternatives, or more than one of them"},
		"a keyword misused":    {`{"required": "id"}`, "/required is of type string and must be array"},
		"another document":     {`{"$ref": "https://example.com/s.json"}`, " refers to https://example.com/s.json: schemas cannot refer to other documents"},
		"a file":               {`{"$ref": "file:///etc/passwd"}`, " refers to file:///etc/passwd: schemas cannot refer to other documents"},
		"a missing definition": {`{"$ref": "#/$defs/none"}`, " refers to /$defs/none, which is not there"},
		"a broken pattern":     {`{"properties": {"a": {"pattern": "("}}}`, "/properties/a/pattern is no regular expression, or one that is too complicated"},
		"a large pattern":      {`{"pattern": "(a{1,500}b{1,500}){1,2}"}`, "/pattern is no regular expression, or one that is too complicated"},
		"recursion":            {`{"properties": {"a": {"$ref": "#"}}}`, " refers to itself, and recursive schemas are not supported"},
		"dynamic recursion":    {`{"properties": {"a": {"$dynamicRef": "#"}}}`, "/properties/a refers to itself, and recursive schemas are not supported"},
		"exponential work":     {doubling, " is too complicated: too many of its parts judge the same value"},
		"a monstrous number":   {`{"minimum": 1e999999}`, "/minimum is a number that is too long to be checked"},
		"too large":            {`{"description": "` + strings.Repeat("x", schema.MaxSize) + `"}`, fmt.Sprintf(" is larger than %d bytes", schema.MaxSize)},
		"too deep":             {strings.Repeat(`{"not":`, 300) + `{}` + strings.Repeat(`}`, 300), " nests more than 256 levels, which is too deep to be checked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := schema.Compile([]byte(c.document))
			require.Contains(t, problems(t, err), c.want)
		})
	}
}

func TestDataThatWouldTakeTooMuchWorkIsNotChecked(t *testing.T) {
	t.Parallel()
	wide := `{"items": {"allOf": [` + strings.Repeat(`{"type": "integer"},`, 99) + `{"type": "integer"}]}}`
	s, err := schema.Compile([]byte(wide))
	require.NoError(t, err)
	small, large := `[1`+strings.Repeat(`,1`, 1000)+`]`, `[1`+strings.Repeat(`,1`, 400_000)+`]`
	require.NoError(t, s.Check([]byte(small)))
	require.Equal(t, []string{" is too large to be checked against the schema of its type"}, problems(t, s.Check([]byte(large))))
}

func TestEveryKnownTypesExampleFitsItsSchema(t *testing.T) {
	t.Parallel()
	for _, known := range catalogue.All() {
		s, err := schema.Compile(known.Schema)
		require.NoError(t, err, known.Name)
		require.NoError(t, s.Check(known.Example), known.Name)
		require.NotEmpty(t, problems(t, s.Check([]byte(`{"id": "x"}`))), known.Name)
	}
}

func TestChecksFollowWhatIsStored(t *testing.T) {
	t.Parallel()
	checks := schema.NewChecks(func(name string) json.RawMessage {
		if known, ok := catalogue.Find(name); ok {
			return known.Schema
		}
		return nil
	}, zap.NewNop())
	require.Nil(t, checks.Find("acme", "order.created"))
	require.NoError(t, checks.Find("acme", "order.created").Problems([]byte(`{}`)))

	since := time.Now()
	own := webhook.CheckedType{Tenant: "acme", Name: "parcel.lost", Check: webhook.SchemaReject, Since: since, Schema: []byte(`{"required": ["id"]}`)}
	checks.ReplaceTypes([]webhook.CheckedType{
		{Tenant: "acme", Name: "order.created", Check: webhook.SchemaWarn},
		own,
		{Tenant: "acme", Name: "broken", Check: webhook.SchemaReject, Schema: []byte(`{"type": 1}`)},
		{Tenant: "acme", Name: "without", Check: webhook.SchemaReject},
		{Tenant: "acme", Name: "off", Check: webhook.SchemaOff, Schema: []byte(`{}`)},
	})
	require.False(t, checks.Find("acme", "order.created").Rejects(since.Add(time.Hour)))
	require.Error(t, checks.Find("acme", "order.created").Problems([]byte(`{}`)))
	require.False(t, checks.Find("acme", "parcel.lost").Rejects(since), "not everybody knows of it yet")
	require.True(t, checks.Find("acme", "parcel.lost").Rejects(since.Add(2*time.Second)))
	require.Error(t, checks.Find("acme", "parcel.lost").Problems([]byte(`{}`)))
	for _, none := range []string{"broken", "without", "off", "order.updated"} {
		require.Nil(t, checks.Find("acme", none), none)
	}
	require.Nil(t, checks.Find("other", "parcel.lost"), "another tenant's type of the same name")

	own.Check = webhook.SchemaWarn
	checks.ReplaceTypes([]webhook.CheckedType{own})
	require.False(t, checks.Find("acme", "parcel.lost").Rejects(since.Add(time.Hour)))
	require.Nil(t, checks.Find("acme", "order.created"))
}

func BenchmarkCheck(b *testing.B) {
	known, _ := catalogue.Find("order.created")
	s, err := schema.Compile(known.Schema)
	require.NoError(b, err)
	b.SetBytes(int64(len(known.Example)))
	for b.Loop() {
		require.NoError(b, s.Check(known.Example))
	}
}
