package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Outgoing is an event to be published.
type Outgoing struct {
	Tenant, Type string
	// ID becomes Nats-Msg-Id, by which JetStream drops a repetition within two minutes; empty for none.
	ID string
	// Header are further headers, such as Content-Type.
	Header map[string]string
	Body   []byte
}

// PublishError says that not all events are known to be stored.
type PublishError struct {
	// Stored says of each event whether it is.
	Stored []bool
	Err    error
}

// Error says what went wrong first.
func (e *PublishError) Error() string { return "publish event: " + e.Err.Error() }

// Unwrap returns what went wrong first.
func (e *PublishError) Unwrap() error { return e.Err }

// PublishEvents returns when JetStream has stored all the events, in their order; who publishes more than the server takes
// waits. The error is a *PublishError; publishing all again with the same ids doubles nothing.
func (c *Conn) PublishEvents(ctx context.Context, events []Outgoing) error {
	failed := &PublishError{Stored: make([]bool, len(events))}
	for done := 0; done < len(events) && failed.Err == nil; {
		n := min(len(events)-done, maxPublished)
		failed.Err = c.publish(ctx, events[done:done+n], failed.Stored[done:])
		done += n
	}
	if failed.Err != nil {
		return failed
	}
	return nil
}

// publish publishes at most maxPublished events, says which are stored, and returns the first error. Events that are given up
// keep their room for as long as the server may still answer: else those that follow would have none.
func (c *Conn) publish(ctx context.Context, events []Outgoing, stored []bool) error {
	if err := c.publishing.Acquire(ctx, int64(len(events))); err != nil {
		return err
	}
	var first error
	futures := make([]jetstream.PubAckFuture, 0, len(events))
	for i := range events {
		future, err := c.js.PublishMsgAsync(c.Message(&events[i]))
		if err != nil {
			first = err
			break
		}
		futures = append(futures, future)
	}
	ctx, cancel := context.WithTimeout(ctx, PublishDeadline)
	defer cancel()
	open := futures[:0]
	for i, f := range futures {
		done, err := settled(ctx, f)
		if !done {
			open = append(open, f)
		}
		stored[i] = err == nil
		if first == nil {
			first = err
		}
	}
	c.publishing.Release(int64(len(events) - len(open)))
	if len(open) > 0 {
		go func(ctx context.Context) {
			for _, f := range open {
				_, _ = settled(ctx, f) // it takes no longer than the client's own timeout
				c.publishing.Release(1)
			}
		}(context.WithoutCancel(ctx))
	}
	return first
}

// wait returns when the server has stored the message, or said or shown that it will not.
func wait(ctx context.Context, f jetstream.PubAckFuture) error {
	ctx, cancel := context.WithTimeout(ctx, PublishDeadline)
	defer cancel()
	_, err := settled(ctx, f)
	return err
}

// settled is wait without a deadline of its own; done is false where ctx ended first.
func settled(ctx context.Context, f jetstream.PubAckFuture) (done bool, err error) {
	select {
	case <-f.Ok():
		return true, nil
	case err := <-f.Err():
		return true, err
	case <-ctx.Done():
		return false, ctx.Err()
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

// Refused reports whether a publication was answered by an error, such as that its stream is full: it is not stored, and
// not on its way either.
func Refused(err error) bool {
	var refused refusedError
	return errors.As(err, &refused)
}

// Pending is an event on its way into the stream.
type Pending struct {
	future jetstream.PubAckFuture
	state  *state
	began  time.Time
}

// StartPublish sends an event, in the order of calls, and does not wait until it is stored. With 4,000 pending it waits
// for room, at most 200 ms. It returns ErrEventTooLarge, or why nothing can be sent.
func (c *Conn) StartPublish(e Outgoing) (*Pending, error) {
	began := time.Now()
	future, err := c.js.PublishMsgAsync(c.Message(&e))
	if err != nil {
		return nil, fmt.Errorf("publish event: %w", classify(err))
	}
	return &Pending{future: future, state: c.state, began: began}, nil
}

// Wait returns when the event is stored, or an error; unless that is ErrEventTooLarge, the event may be stored all the same.
func (p *Pending) Wait(ctx context.Context) error {
	if err := wait(ctx, p.future); err != nil {
		return fmt.Errorf("publish event: %w", p.state.published(p.future.Msg().Subject, p.began, classify(err)))
	}
	return nil
}

// Message is the event as it is sent.
func (c *Conn) Message(e *Outgoing) *nats.Msg {
	msg := nats.NewMsg(c.namespace.EventSubject(e.Tenant, e.Type))
	msg.Data = e.Body
	for name, value := range e.Header {
		msg.Header.Set(name, value)
	}
	if e.ID != "" {
		msg.Header.Set(nats.MsgIdHdr, e.ID)
	}
	return msg
}
