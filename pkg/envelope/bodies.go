package envelope

import (
	"sync"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Bodies has the bodies of one event. Each variant is encoded once for all hooks that use it. It is safe for
// concurrent use.
type Bodies struct {
	event *webhook.Event

	mu   sync.Mutex
	done map[shape]Body
}

// shape is what makes two bodies of one event differ.
type shape struct {
	format  webhook.Format
	content string
}

// NewBodies returns the bodies of an event. Each is encoded when it is first asked for.
func NewBodies(e *webhook.Event) *Bodies { return &Bodies{event: e} }

// Get returns the body in the format, with the selected fields of the data (nil selects all), or an error for an
// unknown format. The bytes are shared and must not be changed.
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
