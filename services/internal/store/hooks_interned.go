package store

import (
	"strings"

	"github.com/lib/pq"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// maxCommon bounds the number of distinct values of one kind that are shared.
const maxCommon = 10_000

// interned shares equal values between hooks that are loaded together, to save memory: there are many hooks, and few tenants,
// event types and settings. Shared values are never modified.
type interned struct {
	texts map[string]string
	types map[string]pq.StringArray
	specs map[string]webhook.Hook
}

func newInterned() *interned {
	return &interned{texts: map[string]string{}, types: map[string]pq.StringArray{}, specs: map[string]webhook.Hook{}}
}

// share makes the row use the values of earlier rows.
func (c *interned) share(r *hookRow) {
	for _, text := range []*string{&r.Tenant, &r.Name, &r.Status, &r.DisabledReason} {
		*text = intern(c.texts, *text, *text)
	}
	r.EventTypes = intern(c.types, strings.Join(r.EventTypes, " "), r.EventTypes)
}

// spec parses a hook's document. Equal documents are parsed once.
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

// intern returns the value that is stored under the key. If there is none, it stores and returns value.
func intern[T any](known map[string]T, key string, value T) T {
	if earlier, ok := known[key]; ok {
		return earlier
	}
	if len(known) < maxCommon {
		known[key] = value
	}
	return value
}
