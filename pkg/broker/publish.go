package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Outgoing is an event to publish.
type Outgoing struct {
	Tenant, Type string
	// ID becomes the Nats-Msg-Id, with which JetStream drops duplicates within two minutes; may be empty.
	ID string
	// Header has additional headers, such as Content-Type.
	Header map[string]string
	Body   []byte
}

// PublishError says that some events may not be stored.
type PublishError struct {
	// Stored says for each event whether it is stored.
	Stored []bool
	Err    error
}

// Error returns the first error.
func (e *PublishError) Error() string { return "publish event: " + e.Err.Error() }

// Unwrap returns the first error.
func (e *PublishError) Unwrap() error { return e.Err }

// PublishEvents returns when JetStream has stored all the events, in their order. It slows callers down that publish
// more than the server can take. The error is a *PublishError; publishing everything again with the same ids stores
// nothing twice.
func (c *Conn) PublishEvents(ctx context.Context, events []Outgoing) error {
	for done := 0; done < len(events); {
		n := min(len(events)-done, maxPublished)
		p, err := c.publish(ctx, events[done:done+n])
		if err != nil {
			failed := &PublishError{Stored: make([]bool, len(events)), Err: err}
			for i := range done {
				failed.Stored[i] = true
			}
			copy(failed.Stored[done:], p)
			return failed
		}
		done += n
	}
	return nil
}

// publish publishes at most maxPublished events. It returns which of them are stored, and the first error. Events
// that are given up keep their room for as long as the server may still acknowledge them, so that room means what the
// server can take.
func (c *Conn) publish(ctx context.Context, events []Outgoing) (stored []bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, PublishDeadline)
	defer cancel()
	if err := c.publishing.Acquire(ctx, int64(len(events))); err != nil {
		return nil, err
	}
	p, err := c.acks.expect(len(events))
	if err != nil {
		c.publishing.Release(int64(len(events)))
		return nil, err
	}
	err = c.send(p, events)
	select {
	case <-p.done:
	case <-ctx.Done():
		if c.acks.giveUp(p) && err == nil {
			err = ctx.Err()
		}
	}
	if err == nil {
		err = p.err
	}
	for _, i := range p.noResponders {
		if err != nil {
			break
		}
		// PublishMsg retries, because no stream answers while its leader changes
		err = c.PublishMsg(ctx, c.Message(&events[i]))
		p.stored[i] = err == nil
	}
	return p.stored, err
}

// send sends the events, to be acknowledged to p. After an error it does not send the rest.
func (c *Conn) send(p *publication, events []Outgoing) error {
	msg := nats.NewMsg("")
	for i := range events {
		e := &events[i]
		if i == 0 || e.Tenant != events[i-1].Tenant || e.Type != events[i-1].Type {
			msg.Subject = c.namespace.EventSubject(e.Tenant, e.Type)
		}
		e.fill(msg)
		msg.Reply = c.acks.reply(p, i)
		if err := c.nc.PublishMsg(msg); err != nil { // on success the client has copied it, so msg can be reused
			c.acks.unsent(p, len(events)-i)
			return err
		}
	}
	return nil
}

// wait returns nil when the server has stored the message, and an error if it refused it or did not answer in time.
func wait(ctx context.Context, f jetstream.PubAckFuture) error {
	ctx, cancel := context.WithTimeout(ctx, PublishDeadline)
	defer cancel()
	select {
	case <-f.Ok():
		return nil
	case err := <-f.Err():
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// PublishMsg returns when a stream has stored the message.
func (c *Conn) PublishMsg(ctx context.Context, msg *nats.Msg) error {
	future, err := c.js.PublishMsgAsync(msg)
	if err == nil {
		err = wait(ctx, future)
	}
	return classify(err)
}

// Refused reports whether the server answered a publication with an error, such as that its stream is full. The
// message is then neither stored nor still on its way.
func Refused(err error) bool {
	var refused refusedError
	return errors.As(err, &refused)
}

// Pending is an event that is being stored.
type Pending struct {
	future jetstream.PubAckFuture
	state  *state
	began  time.Time
}

// StartPublish sends an event, in the order of calls, without waiting until it is stored. If 4,000 events are pending
// it waits for room, for at most 200 ms. It returns ErrEventTooLarge, or why nothing can be sent.
func (c *Conn) StartPublish(e Outgoing) (*Pending, error) {
	began := time.Now()
	future, err := c.js.PublishMsgAsync(c.Message(&e))
	if err != nil {
		return nil, fmt.Errorf("publish event: %w", classify(err))
	}
	return &Pending{future: future, state: c.state, began: began}, nil
}

// Wait returns nil when the event is stored. After an error other than ErrEventTooLarge the event may still be
// stored.
func (p *Pending) Wait(ctx context.Context) error {
	if err := wait(ctx, p.future); err != nil {
		return fmt.Errorf("publish event: %w", p.state.published(p.future.Msg().Subject, p.began, classify(err)))
	}
	return nil
}

// Message returns the event as a NATS message.
func (c *Conn) Message(e *Outgoing) *nats.Msg {
	msg := nats.NewMsg(c.namespace.EventSubject(e.Tenant, e.Type))
	e.fill(msg)
	return msg
}

// fill sets the body and headers of the message to those of the event. The message may be reused from another event.
func (e *Outgoing) fill(msg *nats.Msg) {
	msg.Data = e.Body
	headers := len(e.Header)
	if e.ID != "" {
		headers++
	}
	for range 2 {
		for name, value := range e.Header {
			set(msg.Header, name, value)
		}
		if e.ID != "" {
			set(msg.Header, nats.MsgIdHdr, e.ID)
		}
		if len(msg.Header) == headers {
			return
		}
		clear(msg.Header) // it has other headers
	}
}

func set(h nats.Header, name, value string) {
	if before := h[name]; len(before) == 1 {
		before[0] = value
		return
	}
	h[name] = []string{value}
}
