package envelope

import (
	"sync"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Bodies are the bodies of one event, each format encoded once for all the hooks that want it. Safe for concurrent use.
type Bodies struct {
	event *webhook.Event

	mu   sync.Mutex
	done map[webhook.Format]Body
}

// NewBodies makes the bodies of an event; nothing is encoded before it is asked for.
func NewBodies(e *webhook.Event) *Bodies { return &Bodies{event: e} }

// Get returns the body in the format, or an error for a format that there is not. The bytes are shared: do not change them.
func (b *Bodies) Get(format webhook.Format) (Body, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if body, ok := b.done[format]; ok {
		return body, nil
	}
	body, err := Encode(format, b.event)
	if err != nil {
		return Body{}, err
	}
	if b.done == nil {
		b.done = make(map[webhook.Format]Body, 1)
	}
	b.done[format] = body
	return body, nil
}
