package httpapi

import (
	"fmt"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// optionals are the members of bodies by the types of the fields that they fill.
var optionals = map[reflect.Type]reflect.Type{
	reflect.TypeFor[bool]():                    reflect.TypeFor[optional[bool]](),
	reflect.TypeFor[int]():                     reflect.TypeFor[optional[int]](),
	reflect.TypeFor[string]():                  reflect.TypeFor[optional[string]](),
	reflect.TypeFor[time.Time]():               reflect.TypeFor[optional[time.Time]](),
	reflect.TypeFor[*uuid.UUID]():              reflect.TypeFor[optional[oneID]](),
	reflect.TypeFor[[]uuid.UUID]():             reflect.TypeFor[optional[idList]](),
	reflect.TypeFor[[]string]():                reflect.TypeFor[optional[stringList]](),
	reflect.TypeFor[[]webhook.DeliveryState](): reflect.TypeFor[optional[stateList]](),
	reflect.TypeFor[webhook.LabelSelector]():   reflect.TypeFor[optional[stringMap]](),
}

// stateList is a list of states of deliveries.
type stateList []webhook.DeliveryState

// UnmarshalJSON takes a list of strings.
func (l *stateList) UnmarshalJSON(raw []byte) error {
	var names stringList
	err := names.UnmarshalJSON(raw)
	*l = states(names)
	return err
}

func (l *stateList) expects() string { return "a list of strings" }

// joined is a struct of optionals: those of In, and one for each field of the plain struct With.
func joined[In, With any]() reflect.Type {
	fields := reflect.VisibleFields(reflect.TypeFor[In]())
	for _, f := range reflect.VisibleFields(reflect.TypeFor[With]()) {
		fields = append(fields, reflect.StructField{
			Name: f.Name, Type: optionals[f.Type], Tag: reflect.StructTag(fmt.Sprintf(`json:%q doc:%q`, f.Tag.Get("json"), f.Tag.Get("doc"))),
		})
	}
	return reflect.StructOf(fields)
}

// bodyWith is the schema of a body with the members of In and With, listed by the name in the document.
func bodyWith[In, With any](s *server, name string) *huma.Schema {
	return s.api.OpenAPI().Components.Schemas.Schema(joined[In, With](), true, name)
}

// decodeWith is decodeBody for a body with the members of In and With.
func decodeWith[In, With any](body []byte) (in In, with With, err error) {
	sent := reflect.New(joined[In, With]())
	if err := decodeBody(body, sent.Interface()); err != nil {
		return in, with, err
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[In]()) {
		reflect.ValueOf(&in).Elem().FieldByIndex(f.Index).Set(sent.Elem().FieldByName(f.Name))
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[With]()) {
		into, value := reflect.ValueOf(&with).Elem().FieldByIndex(f.Index), sent.Elem().FieldByName(f.Name).FieldByName("Value")
		switch {
		case value.IsZero():
		case into.Kind() == reflect.Pointer:
			into.Set(reflect.New(into.Type().Elem()))
			into.Elem().Set(value.Convert(into.Type().Elem()))
		default:
			into.Set(value.Convert(into.Type()))
		}
	}
	return in, with, nil
}
