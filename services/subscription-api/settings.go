package subscriptionapi

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/whisperer-oms/whisperer/services/subscription-api/internal/console"
)

// settings returns the configuration as the console shows it, without passwords and keys.
func (c Config) settings() []console.Setting {
	return append(shown(reflect.ValueOf(c.Shared)), shown(reflect.ValueOf(c))...)
}

// shown returns the settings that a struct contains directly.
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

// secretName reports whether a variable of that name contains a secret.
func secretName(name string) bool {
	return slices.ContainsFunc([]string{"KEY", "SECRET", "PASSWORD", "TOKEN", "CREDENTIAL"}, func(word string) bool { return strings.Contains(name, word) })
}

// withoutPasswords reduces comma-separated URLs to scheme, host and path.
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
