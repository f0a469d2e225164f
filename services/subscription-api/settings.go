package subscriptionapi

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/console"
)

// settings are the configuration as the console shows it: passwords and keys are left out.
func (c Config) settings() []console.Setting {
	return append(shown(reflect.ValueOf(c.Shared)), shown(reflect.ValueOf(c))...)
}

// shown are the settings that a struct has itself.
func shown(value reflect.Value) []console.Setting {
	var list []console.Setting
	for i := range value.NumField() {
		name, _, _ := strings.Cut(value.Type().Field(i).Tag.Get("env"), ",")
		if name == "" {
			continue
		}
		text := fmt.Sprint(value.Field(i).Interface())
		switch {
		case secretName(name) && text != "":
			text = "hidden"
		case strings.HasSuffix(name, "_URL") && text != "":
			text = withoutPasswords(text)
		}
		list = append(list, console.Setting{Name: "WHISPERER_" + name, Value: text})
	}
	return list
}

// secretName reports whether a variable of that name holds what nobody may read.
func secretName(name string) bool {
	return slices.ContainsFunc([]string{"KEY", "SECRET", "PASSWORD", "TOKEN", "CREDENTIAL"}, func(word string) bool { return strings.Contains(name, word) })
}

// withoutPasswords keeps the scheme, host and path of URLs that are separated by commas.
func withoutPasswords(urls string) string {
	var list []string
	for one := range strings.SplitSeq(urls, ",") {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.Scheme == "" || u.Opaque != "" {
			list = append(list, "hidden")
			continue
		}
		list = append(list, u.Scheme+"://"+u.Host+u.Path)
	}
	return strings.Join(list, ",")
}
