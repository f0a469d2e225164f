package cli

import (
	"bytes"
	"encoding/json"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// hookFlags are the fields of a hook that both create and update take.
type hookFlags struct {
	File      string   `help:"Take fields from a JSON file as the API has them (- for standard input); flags win over it." placeholder:"FILE"`
	EventType []string `help:"Event type or pattern; may be repeated." short:"e" placeholder:"TYPE"`
	TargetURL *string  `help:"Where to deliver." short:"t" placeholder:"URL"`
	Name      *string  `help:"To tell hooks apart." placeholder:"TEXT"`
	Secret    *string  `help:"Sign with this secret; empty for no signatures." xor:"secret" placeholder:"TEXT"`
	APIKey    *string  `help:"Send this as X-API-Key; empty for none." placeholder:"TEXT"`
	Header    []string `help:"Send this header too, as 'Name: value'; may be repeated." sep:"none" placeholder:"HEADER"`
	Callback  *string  `help:"What to do with outcomes: JSON, @FILE or -; null for nothing." placeholder:"JSON"`
	Retry     *string  `help:"Retry schedule: JSON, @FILE or -; null for the default." placeholder:"JSON"`
	Config    *string  `help:"Config object: JSON, @FILE or -." placeholder:"JSON"`
}

func (c *hookFlags) fields(a *app) (client.HookFields, error) {
	f := client.HookFields{}
	if err := c.fromFile(a, &f); err != nil {
		return f, err
	}
	if len(c.EventType) > 0 {
		f.EventType, f.EventTypes = client.Field[string]{}, client.Set(c.EventType)
	}
	for _, text := range []struct {
		flag  *string
		field *client.Field[string]
	}{{c.TargetURL, &f.TargetURL}, {c.Name, &f.Name}, {c.Secret, &f.SecretKey}, {c.APIKey, &f.APIKey}} {
		switch {
		case text.flag == nil:
		case *text.flag == "" && text.field != &f.TargetURL && text.field != &f.Name:
			*text.field = client.Null[string]()
		default:
			*text.field = client.Set(*text.flag)
		}
	}
	if len(c.Header) > 0 {
		headers := map[string]string{}
		for _, line := range c.Header {
			name, value, ok := strings.Cut(line, ":")
			if !ok {
				return f, usage("--header: %q is not 'Name: value'", line)
			}
			headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
		f.AdditionalHeaders = client.Set(headers)
	}
	return f, c.jsonFields(a, &f)
}

func (c *hookFlags) jsonFields(a *app, f *client.HookFields) error {
	if c.Retry != nil {
		raw, err := a.readJSON("retry", *c.Retry)
		if err != nil {
			return err
		}
		f.RetryCountdownConfig = client.Set(raw)
	}
	if c.Config != nil {
		raw, err := a.readJSON("config", *c.Config)
		if err != nil {
			return err
		}
		f.Config = client.Set(raw)
	}
	if c.Callback != nil {
		raw, err := a.readJSON("callback", *c.Callback)
		if err != nil {
			return err
		}
		f.Callback = client.Field[webhook.Callback]{}
		if err := json.Unmarshal(raw, &f.Callback); err != nil {
			return usage("--callback: is not an object with url or subject, and on")
		}
	}
	return nil
}

// fromFile reads --file, refusing what is no field by name.
func (c *hookFlags) fromFile(a *app, f *client.HookFields) error {
	if c.File == "" {
		return nil
	}
	source := "@" + c.File
	if c.File == "-" {
		source = "-"
	}
	raw, err := a.readJSON("file", source)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(f); err != nil {
		return usage("--file: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// sorted walks a map in the order of its keys.
func sorted[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if !yield(key, m[key]) {
				return
			}
		}
	}
}
