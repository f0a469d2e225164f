package catalogue_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
)

func TestAllHoldsTheDocumentedTypesInOrder(t *testing.T) {
	t.Parallel()
	documented := strings.Fields(`
		package.created package.status.transitioned package.status.packed package.status.cancelled
		package.status.shipped package.status.packed_for_refund package.shipment.awb_number
		shipment.created shipment.status.updated shipment.cancelled
		transfer.status.created transfer.status.transitioned transfer.status.in_transit transfer.status.transferred
		transfer.status.cancelled transfer.status.ready_to_shipment
		stock_location.created stock_location.updated
		order.created order.updated order.status.updated order.cancelled`)
	require.Len(t, documented, 22)

	var names, files []string
	for _, known := range catalogue.All() {
		names = append(names, known.Name)
	}
	require.Equal(t, documented, names)

	entries, err := os.ReadDir("types")
	require.NoError(t, err)
	for _, entry := range entries {
		files = append(files, strings.TrimSuffix(entry.Name(), ".json"))
	}
	require.ElementsMatch(t, documented, files, "every file in types/ is listed, and every listed type has a file")
}

func TestAllGivesEachCallerItsOwnSlice(t *testing.T) {
	t.Parallel()
	catalogue.All()[0].Name = "changed"
	require.Equal(t, "package.created", catalogue.All()[0].Name)
}

func TestFindKnowsDottedNamesOnly(t *testing.T) {
	t.Parallel()
	for _, want := range catalogue.All() {
		got, ok := catalogue.Find(want.Name)
		require.True(t, ok)
		require.Equal(t, want, got)
	}
	for _, name := range []string{"", "package", "package-created", "Package.Created", "package.>"} {
		_, ok := catalogue.Find(name)
		require.False(t, ok, name)
	}
}

func TestEveryTypeIsDescribedInOneSentence(t *testing.T) {
	t.Parallel()
	for _, known := range catalogue.All() {
		require.Regexp(t, `^[A-Z][^.\n]{20,140}\.$`, known.Description, known.Name)
	}
}

func TestEveryExampleIsARealisticEvent(t *testing.T) {
	t.Parallel()
	for _, known := range catalogue.All() {
		require.GreaterOrEqual(t, len(known.Example), 300, known.Name)
		require.LessOrEqual(t, len(known.Example), 3<<10, known.Name)

		var data struct {
			ID             int
			Status         string
			PreviousStatus *string `json:"previous_status"`
			NewStatus      string  `json:"new_status"`
		}
		require.NoError(t, json.Unmarshal(known.Example, &data))
		thing, _, _ := strings.Cut(known.Name, ".")
		require.Equal(t, thing+":"+strconv.Itoa(data.ID), known.Entity, "the entity is the thing in data")
		if strings.Contains(known.Name, ".status.") || strings.HasSuffix(known.Name, ".cancelled") {
			require.Equal(t, data.Status, data.NewStatus, known.Name)
			require.Equal(t, known.Name == "transfer.status.created", data.PreviousStatus == nil, known.Name)
		}

		var context map[string]any
		require.NoError(t, json.Unmarshal(known.Context, &context))
		require.Contains(t, context, "source", known.Name)
	}
}

func TestEverySchemaAcceptsItsExample(t *testing.T) {
	t.Parallel()
	for _, known := range catalogue.All() {
		require.NoError(t, compile(t, known).Validate(parse(t, known.Example)), known.Name)
	}
}

func TestEverySchemaRefusesAnExampleWithoutARequiredField(t *testing.T) {
	t.Parallel()
	for _, known := range catalogue.All() {
		t.Run(known.Name, func(t *testing.T) {
			t.Parallel()
			compiled := compile(t, known)
			example := parse(t, known.Example)
			removed := 0
			eachField(t, compiled, example, func(object map[string]any, field string, required bool) {
				value := object[field]
				delete(object, field)
				err := compiled.Validate(example)
				object[field] = value
				if required {
					removed++
					require.Error(t, err, "without %s", field)
				}
			})
			require.Greater(t, removed, 10)
		})
	}
}

func TestEverySchemaRefusesAnotherStatusThanItsOwn(t *testing.T) {
	t.Parallel()
	for _, known := range catalogue.All() {
		example := parse(t, known.Example).(map[string]any)
		if _, ok := example["new_status"]; !ok {
			continue
		}
		example["new_status"] = "lost"
		require.Error(t, compile(t, known).Validate(example), known.Name)
	}
}

// compile also proves that a schema is valid and self-contained, because the compiler has no loader.
func compile(t *testing.T, known catalogue.Type) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	c.UseLoader(jsonschema.SchemeURLLoader{})
	address := "mem:///" + known.Name
	require.NoError(t, c.AddResource(address, parse(t, known.Schema)))
	compiled, err := c.Compile(address)
	require.NoError(t, err)
	require.Equal(t, 2020, compiled.DraftVersion)
	return compiled
}

func parse(t *testing.T, document []byte) any {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(document))
	require.NoError(t, err)
	return value
}

// eachField visits every field of value and of what it contains. It fails on a field that the schema does not name.
func eachField(t *testing.T, s *jsonschema.Schema, value any, visit func(map[string]any, string, bool)) {
	t.Helper()
	properties, required, items := shape(s)
	switch value := value.(type) {
	case []any:
		require.NotNil(t, items)
		for _, item := range value {
			eachField(t, items, item, visit)
		}
	case map[string]any:
		for _, field := range slices.Sorted(maps.Keys(value)) {
			require.Contains(t, properties, field)
			visit(value, field, slices.Contains(required, field))
			eachField(t, properties[field], value[field], visit)
		}
	}
}

// shape returns what a schema and the shared definition that it refers to say together.
func shape(s *jsonschema.Schema) (properties map[string]*jsonschema.Schema, required []string, items *jsonschema.Schema) {
	properties = map[string]*jsonschema.Schema{}
	for ; s != nil; s = s.Ref {
		maps.Copy(properties, s.Properties)
		required = append(required, s.Required...)
		if s.Items2020 != nil {
			items = s.Items2020
		}
	}
	return properties, required, items
}
