package store

import (
	"strings"

	"github.com/lib/pq"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// maxCommon bounds how many different values of one kind are looked for again.
const maxCommon = 10_000

// interned is what hooks that are loaded together have in common, so that it is in memory once: there are many hooks, and
// few tenants, event types and settings. What is shared is never changed.
type interned struct {
	texts map[string]string
	types map[string]pq.StringArray
	specs map[string]webhook.Hook
}

func newInterned() *interned {
	return &interned{texts: map[string]string{}, types: map[string]pq.StringArray{}, specs: map[string]webhook.Hook{}}
}

// share has the row use what an earlier one has.
func (c *interned) share(r *hookRow) {
	for _, text := range []*string{&r.Tenant, &r.Name, &r.Status, &r.DisabledReason} {
		*text = intern(c.texts, *text, *text)
	}
	r.EventTypes = intern(c.types, strings.Join(r.EventTypes, " "), r.EventTypes)
}

// spec parses a hook's document, and one that is equal once.
func (c *interned) spec(text string) (webhook.Hook, error) {
	if known, ok := c.specs[text]; ok {
		return known, nil
	}
	parsed, err := parseSpec(text)
	if err != nil {
		return parsed, err
	}
	return intern(c.specs, text, parsed), nil
}

// intern returns what is known under the key, or the value, which is known from then on.
func intern[T any](known map[string]T, key string, value T) T {
	if earlier, ok := known[key]; ok {
		return earlier
	}
	if len(known) < maxCommon {
		known[key] = value
	}
	return value
}
