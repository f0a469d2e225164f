package broker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Headers of atomic batches (ADR-50).
const (
	headerBatchID       = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
)

const (
	// minAtomic is the number of events from which on an atomic batch is faster than single messages.
	minAtomic = 16
	// maxAtomic is the maximum number of events in an atomic batch.
	maxAtomic = 1000
	// headerRoom is more than the headers of an event take, in bytes.
	headerRoom = 16 << 10
	// codeTooLarge is the server's JSStreamMessageExceedsMaximumErr.
	codeTooLarge jetstream.ErrorCode = 10054
)

// Errors of publishing, always wrapped.
var (
	// ErrNotConnected: NATS cannot be reached now, and nothing was sent.
	ErrNotConnected = errors.New("not connected to nats")
	// ErrEventTooLarge: the server never accepts a message of this size.
	ErrEventTooLarge = errors.New("the event is larger than the server takes")
)

// refusedError is an error that the server returned: what was sent is not stored.
type refusedError struct{ api *jetstream.APIError }

func (e refusedError) Error() string { return e.api.Error() }
func (e refusedError) Unwrap() error { return e.api }

// PublishInOrder stores the events one after the other: whatever fails, no event is stored before those in front of
// it. It returns how many are stored. After an error the next one may be stored too; publishing it again with the
// same id within two minutes does not store it twice. Many events are sent as atomic batches, of which all events or
// none are stored.
func (c *Conn) PublishInOrder(ctx context.Context, events []Outgoing) (stored int, err error) {
	for stored < len(events) {
		chunk := events[stored:min(len(events), stored+maxAtomic)]
		n, err := c.publishChunk(ctx, chunk)
		stored += n
		if err != nil {
			return stored, fmt.Errorf("publish event: %w", err)
		}
	}
	return stored, nil
}

func (c *Conn) publishChunk(ctx context.Context, events []Outgoing) (stored int, err error) {
	if c.fitsBatch(events) {
		err := c.publishAtomically(ctx, events)
		var refused refusedError
		switch {
		case err == nil:
			return len(events), nil
		case !errors.As(err, &refused):
			return 0, err
		}
		// The batch was refused, for example because one event is stored already or the stream is nearly full. One by
		// one, as many as possible are stored.
	}
	for i := range events {
		if err := c.publishOne(ctx, &events[i]); err != nil {
			return i, err
		}
	}
	return len(events), nil
}

func (c *Conn) fitsBatch(events []Outgoing) bool {
	for i := range events {
		if len(events[i].Body)+headerRoom > c.MaxPayload() {
			return false
		}
	}
	return len(events) >= minAtomic
}

func (c *Conn) publishOne(ctx context.Context, e *Outgoing) error {
	if !c.nc.IsConnected() { // otherwise the client would buffer it, and send it after we have reported a failure
		return ErrNotConnected
	}
	ctx, cancel := context.WithTimeout(ctx, PublishDeadline)
	defer cancel()
	began, msg := time.Now(), c.Message(e)
	_, err := c.js.PublishMsg(ctx, msg)
	return c.state.published(msg.Subject, began, classify(err))
}

func (c *Conn) publishAtomically(ctx context.Context, events []Outgoing) error {
	if !c.nc.IsConnected() {
		return ErrNotConnected
	}
	ctx, cancel := context.WithTimeout(ctx, PublishDeadline)
	defer cancel()
	began, id := time.Now(), uuid.NewString()
	last := len(events) - 1
	for i := range events {
		msg := c.Message(&events[i])
		msg.Header[headerBatchID] = []string{id}
		msg.Header[headerBatchSequence] = []string{strconv.Itoa(i + 1)}
		var err error
		switch i {
		case last:
			msg.Header[headerBatchCommit] = []string{"1"}
			err = c.request(ctx, msg)
		case 0: // wait for an answer, so that a refused batch is not sent in vain
			err = c.request(ctx, msg)
		default:
			err = c.nc.PublishMsg(msg)
		}
		if err != nil {
			return c.state.published(msg.Subject, began, classify(err))
		}
	}
	return nil
}

// request sends a message of a batch and waits for the server's answer, which is empty except for the last message.
func (c *Conn) request(ctx context.Context, msg *nats.Msg) error {
	reply, err := c.nc.RequestMsgWithContext(ctx, msg)
	if err != nil {
		return err
	}
	if len(reply.Data) == 0 {
		return nil
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return fmt.Errorf("read answer of the server: %w", err)
	}
	if answer.Error != nil {
		return answer.Error
	}
	return nil
}

// classify converts NATS' errors into those that callers can distinguish.
func classify(err error) error {
	var api *jetstream.APIError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, nats.ErrMaxPayload):
		return ErrEventTooLarge
	case !errors.As(err, &api):
		return err
	case api.ErrorCode == codeTooLarge:
		return ErrEventTooLarge
	}
	return refusedError{api}
}
