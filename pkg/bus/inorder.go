package bus

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

// Header names of atomic batches (ADR-50).
const (
	headerBatchID       = "Nats-Batch-Id"
	headerBatchSequence = "Nats-Batch-Sequence"
	headerBatchCommit   = "Nats-Batch-Commit"
)

const (
	// minAtomic is from how many events on an atomic batch is quicker than one event after the other.
	minAtomic = 16
	// maxAtomic is how many events the server takes in one.
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
	// ErrEventTooLarge: the server takes no message of this size, now or later.
	ErrEventTooLarge = errors.New("the event is larger than the server takes")
)

// refusedError is an answer of the server: what was sent is not stored.
type refusedError struct{ api *jetstream.APIError }

func (e refusedError) Error() string { return e.api.Error() }
func (e refusedError) Unwrap() error { return e.api }

// PublishInOrder stores the events one after the other: none is stored before those that come earlier, whatever fails.
// It returns how many are stored; on an error the next one may be stored too, and publishing it again with the same id
// does not double it within two minutes. Many at once go as atomic batches, of which all or none is stored.
func (b *Bus) PublishInOrder(ctx context.Context, events []Outgoing) (stored int, err error) {
	for stored < len(events) {
		chunk := events[stored:min(len(events), stored+maxAtomic)]
		n, err := b.publishChunk(ctx, chunk)
		stored += n
		if err != nil {
			return stored, fmt.Errorf("publish event: %w", err)
		}
	}
	return stored, nil
}

func (b *Bus) publishChunk(ctx context.Context, events []Outgoing) (stored int, err error) {
	if b.fitsBatch(events) {
		err := b.publishAtomically(ctx, events)
		var refused refusedError
		switch {
		case err == nil:
			return len(events), nil
		case !errors.As(err, &refused):
			return 0, err
		}
		// One of them is there already, the stream is nearly full, …: one by one they get as far as they can.
	}
	for i := range events {
		if err := b.publishOne(ctx, &events[i]); err != nil {
			return i, err
		}
	}
	return len(events), nil
}

func (b *Bus) fitsBatch(events []Outgoing) bool {
	for i := range events {
		if len(events[i].Body)+headerRoom > b.MaxPayload() {
			return false
		}
	}
	return len(events) >= minAtomic
}

func (b *Bus) publishOne(ctx context.Context, e *Outgoing) error {
	if !b.nc.IsConnected() { // else it would be buffered, to be sent after its failure was told
		return ErrNotConnected
	}
	ctx, cancel := context.WithTimeout(ctx, publishDeadline)
	defer cancel()
	began, msg := time.Now(), b.message(e)
	_, err := b.js.PublishMsg(ctx, msg)
	return b.conn.published(msg.Subject, began, classify(err))
}

func (b *Bus) publishAtomically(ctx context.Context, events []Outgoing) error {
	if !b.nc.IsConnected() {
		return ErrNotConnected
	}
	ctx, cancel := context.WithTimeout(ctx, publishDeadline)
	defer cancel()
	began, id := time.Now(), uuid.NewString()
	last := len(events) - 1
	for i := range events {
		msg := b.message(&events[i])
		msg.Header[headerBatchID] = []string{id}
		msg.Header[headerBatchSequence] = []string{strconv.Itoa(i + 1)}
		var err error
		switch i {
		case last:
			msg.Header[headerBatchCommit] = []string{"1"}
			err = b.request(ctx, msg)
		case 0: // answered, so that a refused batch is not sent in vain
			err = b.request(ctx, msg)
		default:
			err = b.nc.PublishMsg(msg)
		}
		if err != nil {
			return b.conn.published(msg.Subject, began, classify(err))
		}
	}
	return nil
}

// request sends a message of a batch and waits for the server's answer, which is empty but for the last one.
func (b *Bus) request(ctx context.Context, msg *nats.Msg) error {
	reply, err := b.nc.RequestMsgWithContext(ctx, msg)
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

// classify makes out of NATS' errors those that callers can tell apart.
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

// Pending is an event on its way into the stream.
type Pending struct {
	future jetstream.PubAckFuture
	conn   *connection
	began  time.Time
}

// StartPublish sends an event, in the order of calls, and does not wait until it is stored. With 4,000 pending it waits
// for room, at most 200 ms. It returns ErrEventTooLarge, or why nothing can be sent.
func (b *Bus) StartPublish(e Outgoing) (*Pending, error) {
	began := time.Now()
	future, err := b.js.PublishMsgAsync(b.message(&e))
	if err != nil {
		return nil, fmt.Errorf("publish event: %w", classify(err))
	}
	return &Pending{future: future, conn: b.conn, began: began}, nil
}

// Wait returns when the event is stored, or an error; unless that is ErrEventTooLarge, the event may be stored all the same.
func (p *Pending) Wait(ctx context.Context) error {
	if err := wait(ctx, p.future); err != nil {
		return fmt.Errorf("publish event: %w", p.conn.published(p.future.Msg().Subject, p.began, classify(err)))
	}
	return nil
}

func (b *Bus) message(e *Outgoing) *nats.Msg {
	msg := nats.NewMsg(b.opts.Namespace.EventSubject(e.Tenant, e.Type))
	msg.Data = e.Body
	for name, value := range e.Header {
		msg.Header.Set(name, value)
	}
	if e.ID != "" {
		msg.Header.Set(headerMsgID, e.ID)
	}
	return msg
}
