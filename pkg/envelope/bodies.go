package envelope

import (
	"sync"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Bodies are the bodies of one event, each format encoded once for all the hooks that want the same of it. Safe for
// concurrent use.
type Bodies struct {
	event *webhook.Event

	mu   sync.Mutex
	done map[shape]Body
}

// shape is what makes the bodies of one event differ.
type shape struct {
	format  webhook.Format
	content string
}

// NewBodies makes the bodies of an event; nothing is encoded before it is asked for.
func NewBodies(e *webhook.Event) *Bodies { return &Bodies{event: e} }

// Get returns the body in the format, with those fields of the data that are wanted, nil being all, or an error for a
// format that there is not. The bytes are shared: do not change them.
func (b *Bodies) Get(format webhook.Format, fields *webhook.ContentFields) (Body, error) {
	wanted := shape{format, fields.Key()}
	b.mu.Lock()
	defer b.mu.Unlock()
	if body, ok := b.done[wanted]; ok {
		return body, nil
	}
	event := b.event
	if fields != nil {
		reduced := *event
		reduced.Data = fields.Keep(event.Data)
		event = &reduced
	}
	body, err := Encode(format, event)
	if err != nil {
		return Body{}, err
	}
	if b.done == nil {
		b.done = make(map[shape]Body, 1)
	}
	b.done[wanted] = body
	return body, nil
}
