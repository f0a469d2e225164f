package daemon

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Prefix begins the name of every environment variable that configures Whisperer.
const Prefix = "WHISPERER_"

// LoadConfig reads a configuration of type T, a struct with env, envDefault and desc tags
// (github.com/caarlos0/env/v11), out of an environment such as os.Environ returns. Names get Prefix.
//
// When all values could be read, and T or *T has a method Validate() error, that judges the whole. The error joins all
// problems, one a line, each naming its variable.
func LoadConfig[T any](environ []string) (T, error) {
	config, err := env.ParseAsWithOptions[T](env.Options{Prefix: Prefix, Environment: env.ToMap(environ)})
	if err != nil {
		return config, fmt.Errorf("read configuration:\n%w", nameVariables[T](err))
	}
	type validator interface{ Validate() error }
	for _, value := range []any{config, &config} {
		if v, ok := value.(validator); ok {
			if err := v.Validate(); err != nil {
				return config, fmt.Errorf("check configuration:\n%w", err)
			}
			break
		}
	}
	return config, nil
}

// nameVariables says in the terms of the environment what env says in those of the struct.
func nameVariables[T any](err error) error {
	var all env.AggregateError
	if !errors.As(err, &all) {
		return err
	}
	variables := Describe[T]()
	problems := make([]error, 0, len(all.Errors))
	for _, problem := range all.Errors {
		var (
			missing    env.VarIsNotSetError
			empty      env.EmptyVarError
			unreadable env.ParseError
		)
		switch {
		case errors.As(problem, &missing):
			problem = fmt.Errorf("%s is required", missing.Key)
		case errors.As(problem, &empty):
			problem = fmt.Errorf("%s must not be empty", empty.Key)
		case errors.As(problem, &unreadable):
			problem = fmt.Errorf("%s: %w", namesOf(variables, unreadable.Name), unreadable.Err)
		}
		problems = append(problems, problem)
	}
	return errors.Join(problems...)
}

// namesOf returns the name of the variable that sets a field; of all of them where nested structs have fields of one name.
func namesOf(variables []Variable, field string) string {
	var names []string
	for _, v := range variables {
		if v.field == field {
			names = append(names, v.Name)
		}
	}
	return strings.Join(names, " or ")
}

// Variable is one environment variable of a configuration.
type Variable struct {
	// Name is the full name, with Prefix.
	Name string
	// Default is the value it has when it is not set, as it would be written in the environment.
	Default string
	// Description is the desc tag: a sentence for the manual.
	Description string
	// Required says that the program does not start without it.
	Required bool

	field string
}

// Describe lists the variables of a configuration type in the order of its fields, for the manual.
func Describe[T any]() []Variable {
	return describe(reflect.TypeFor[T](), Prefix)
}

func describe(t reflect.Type, prefix string) []Variable {
	var variables []Variable
	for _, field := range reflect.VisibleFields(t) {
		if len(field.Index) > 1 || !field.IsExported() {
			continue // a promoted field is listed with the struct that it is promoted from
		}
		tag, tagged := field.Tag.Lookup("env")
		if !tagged {
			if field.Type.Kind() == reflect.Struct {
				variables = append(variables, describe(field.Type, prefix+field.Tag.Get("envPrefix"))...)
			}
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		if name == "" || name == "-" {
			continue
		}
		variables = append(variables, Variable{
			Name:        prefix + name,
			Default:     field.Tag.Get("envDefault"),
			Description: field.Tag.Get("desc"),
			Required:    strings.Contains(","+options+",", ",required,") || strings.Contains(","+options+",", ",notEmpty,"),
			field:       field.Name,
		})
	}
	return variables
}
