package httpapi

import (
	"encoding/json"
	"reflect"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/api"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/usecase"
)

// optionals maps the types of fields in package api to the optionals with which bodies are decoded.
var optionals = map[reflect.Type]reflect.Type{
	reflect.TypeFor[bool]():                    reflect.TypeFor[optional[bool]](),
	reflect.TypeFor[*bool]():                   reflect.TypeFor[optional[bool]](),
	reflect.TypeFor[int]():                     reflect.TypeFor[optional[int]](),
	reflect.TypeFor[*int]():                    reflect.TypeFor[optional[int]](),
	reflect.TypeFor[string]():                  reflect.TypeFor[optional[string]](),
	reflect.TypeFor[webhook.HookStatus]():      reflect.TypeFor[optional[string]](),
	reflect.TypeFor[time.Time]():               reflect.TypeFor[optional[time.Time]](),
	reflect.TypeFor[*time.Time]():              reflect.TypeFor[optional[time.Time]](),
	reflect.TypeFor[*uuid.UUID]():              reflect.TypeFor[optional[oneID]](),
	reflect.TypeFor[[]uuid.UUID]():             reflect.TypeFor[optional[idList]](),
	reflect.TypeFor[[]string]():                reflect.TypeFor[optional[stringList]](),
	reflect.TypeFor[[]webhook.DeliveryState](): reflect.TypeFor[optional[stateList]](),
	reflect.TypeFor[webhook.LabelSelector]():   reflect.TypeFor[optional[stringMap]](),
	reflect.TypeFor[json.RawMessage]():         reflect.TypeFor[optional[rawJSON]](),
	reflect.TypeFor[*api.HookFields]():         reflect.TypeFor[optional[hookObject]](),
}

// wires does the same for fields with the tag wire.
var wires = map[string]reflect.Type{
	"object": reflect.TypeFor[optional[object]](),
	"text":   reflect.TypeFor[optional[string]](),
	"types":  reflect.TypeFor[optional[typeList]](),
}

// stateList is a list of delivery states.
type stateList []webhook.DeliveryState

// UnmarshalJSON accepts a list of strings.
func (l *stateList) UnmarshalJSON(raw []byte) error {
	var names stringList
	err := names.UnmarshalJSON(raw)
	*l = make(stateList, len(names))
	for i, name := range names {
		(*l)[i] = webhook.DeliveryState(name)
	}
	return err
}

func (l *stateList) expects() string { return "a list of strings" }

// optionalsOf returns a struct type with one optional for each field of the plain struct T.
func optionalsOf[T any]() reflect.Type {
	var fields []reflect.StructField
	for _, f := range plainFields[T]() {
		member, ok := wires[f.Tag.Get("wire")]
		if !ok {
			member = optionals[f.Type]
		}
		fields = append(fields, reflect.StructField{Name: f.Name, Type: member, Tag: f.Tag})
	}
	return reflect.StructOf(fields)
}

// plainFields returns the fields of a struct, including those of embedded structs.
func plainFields[T any]() []reflect.StructField {
	return slices.DeleteFunc(reflect.VisibleFields(reflect.TypeFor[T]()), func(f reflect.StructField) bool { return f.Anonymous })
}

// bodyAs returns the schema of a body with the fields of T, under the given name in the document.
func bodyAs[T any](s *server, name string) *huma.Schema {
	return s.api.OpenAPI().Components.Schemas.Schema(optionalsOf[T](), true, name)
}

// sent maps the address of each field of the body to what was sent for it.
type sent map[any]reflect.Value

// decodeAs is decodeBody for a body with the fields of T. The second result says what was sent. An empty body has no
// fields.
func decodeAs[T any](body []byte) (*T, sent, error) {
	in, as := new(T), reflect.New(optionalsOf[T]()).Elem()
	if len(body) > 0 {
		if err := decodeBody(body, as.Addr().Interface()); err != nil {
			return nil, nil, err
		}
	}
	s := sent{}
	for i, f := range plainFields[T]() {
		into, value := reflect.ValueOf(in).Elem().FieldByIndex(f.Index), as.Field(i).FieldByName("Value")
		s[into.Addr().Interface()] = as.Field(i)
		switch to := into.Type(); {
		case value.IsZero():
		case value.CanConvert(to):
			into.Set(value.Convert(to))
		case to.Kind() == reflect.Pointer && value.CanConvert(to.Elem()):
			into.Set(reflect.New(to.Elem()))
			into.Elem().Set(value.Convert(to.Elem()))
		}
	}
	return in, s, nil
}

// sentFor returns a field, and whether it was sent.
func sentFor[T any](s sent, field *T) usecase.Optional[T] {
	as := s[field]
	return usecase.Optional[T]{Set: as.FieldByName("Set").Bool(), Null: as.FieldByName("Null").Bool(), Value: *field}
}

// sentAs returns a field as it was decoded, which was as a T.
func sentAs[T any](s sent, field any) optional[T] {
	as, _ := reflect.TypeAssert[optional[T]](s[field])
	return as
}

// sentAt is sentFor for the value that a field points to.
func sentAt[T any](s sent, field **T) usecase.Optional[T] {
	as := sentFor(s, field)
	o := usecase.Optional[T]{Set: as.Set, Null: as.Null}
	if as.Value != nil {
		o.Value = *as.Value
	}
	return o
}
