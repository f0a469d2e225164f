package daemon

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Prefix begins the names of all environment variables that configure Whisperer.
const Prefix = "WHISPERER_"

// LoadConfig reads a configuration of type T from an environment such as os.Environ returns. T is a struct with env,
// envDefault and desc tags (github.com/caarlos0/env/v11). The names get Prefix.
//
// If all values could be parsed, and T or *T has a method Validate() error, LoadConfig calls it. The error joins all
// problems, one per line, each naming its variable.
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

// nameVariables replaces the names of struct fields in an error of env by those of the environment variables.
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

// namesOf returns the name of the variable that sets a field. If nested structs have fields of the same name, it
// returns the variables of all of them.
func namesOf(variables []Variable, field string) string {
	var names []string
	for _, v := range variables {
		if v.field == field {
			names = append(names, v.Name)
		}
	}
	return strings.Join(names, " or ")
}

// Variable describes one environment variable of a configuration.
type Variable struct {
	// Name is the full name, with Prefix.
	Name string
	// Default is the value of an unset variable, as it would be written in the environment.
	Default string
	// Description is the desc tag: a sentence for the documentation.
	Description string
	// Required says that the program does not start without the variable.
	Required bool

	field string
}

// Describe lists the variables of a configuration type in the order of its fields, for the documentation.
func Describe[T any]() []Variable {
	return describe(reflect.TypeFor[T](), Prefix)
}

func describe(t reflect.Type, prefix string) []Variable {
	var variables []Variable
	for _, field := range reflect.VisibleFields(t) {
		if len(field.Index) > 1 || !field.IsExported() {
			continue // promoted fields are listed with the embedded struct
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
