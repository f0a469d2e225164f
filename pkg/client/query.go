package client

import (
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"time"
)

// queryOf writes the fields of a filter that are not zero, by the names in their query tags.
func queryOf(filter any) url.Values {
	q := url.Values{}
	v := reflect.ValueOf(filter)
	for _, field := range reflect.VisibleFields(v.Type()) {
		name, tagged := field.Tag.Lookup("query")
		if !tagged {
			continue
		}
		if text := parameter(v.FieldByIndex(field.Index)); text != "" {
			q.Set(name, text)
		}
	}
	return q
}

// parameter writes a value of a query; empty for zero.
func parameter(value reflect.Value) string {
	switch v := value.Interface().(type) {
	case time.Time:
		if v.IsZero() {
			return ""
		}
		return v.UTC().Format(time.RFC3339Nano)
	case []string:
		return strings.Join(v, ",")
	default:
		if value.IsZero() {
			return ""
		}
		return fmt.Sprint(v)
	}
}
