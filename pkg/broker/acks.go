package broker

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/semaphore"
)

// acks matches the server's acknowledgements to publications. It does for all events of a request together what the
// client does for each message with a timer, a future, two channels and reflection.
type acks struct {
	nc *nats.Conn
	// room is released as acknowledgements come.
	room *semaphore.Weighted

	mu sync.Mutex
	// prefix is the prefix of the subjects for acknowledgements; empty until the first publication.
	prefix string
	last   uint64
	open   map[uint64]*publication
}

// publication is a group of events on their way to the server.
type publication struct {
	id   uint64
	left int // without an acknowledgement
	// done is closed when all events are settled. Until then, the lock of acks guards the following fields.
	done   chan struct{}
	stored []bool
	// noResponders are the events that no stream listened for, as happens while a stream's leader changes.
	noResponders []int
	err          error // the first
	// over says that nobody waits for the publication any more.
	over bool
}

func newAcks(nc *nats.Conn, room *semaphore.Weighted) *acks {
	return &acks{nc: nc, room: room, open: map[uint64]*publication{}}
}

// expect begins a publication of the given number of events.
func (a *acks) expect(events int) (*publication, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.prefix == "" {
		prefix := a.nc.NewInbox() + "."
		if _, err := a.nc.Subscribe(prefix+"*", a.answer); err != nil {
			return nil, err
		}
		a.prefix = prefix
		go a.watch(a.nc.StatusChanged(nats.RECONNECTING, nats.CLOSED))
	}
	a.last++
	p := &publication{id: a.last, left: events, done: make(chan struct{}), stored: make([]bool, events)}
	a.open[p.id] = p
	return p, nil
}

// reply returns the reply subject of an event.
func (a *acks) reply(p *publication, event int) string {
	var buffer [96]byte
	subject := append(buffer[:0], a.prefix...)
	subject = append(strconv.AppendUint(subject, p.id, 36), '-')
	return string(strconv.AppendInt(subject, int64(event), 36))
}

// answer handles an acknowledgement.
func (a *acks) answer(m *nats.Msg) {
	first, second, _ := strings.Cut(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:], "-")
	id, errID := strconv.ParseUint(first, 36, 64)
	event, errEvent := strconv.ParseUint(second, 36, 31)
	err := ackError(m.Data)
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.open[id]
	switch {
	case errID != nil || errEvent != nil || p == nil || event >= uint64(len(p.stored)): // too late, or not for us
		return
	case p.over:
	case len(m.Data) == 0 && len(m.Header) > 0: // no responders
		p.noResponders = append(p.noResponders, int(event))
	case err == nil:
		p.stored[event] = true
	case p.err == nil:
		p.err = err
	}
	a.settle(p, 1)
}

// settle records that the given number of events need no acknowledgement any more; the lock must be held.
func (a *acks) settle(p *publication, events int) {
	p.left -= events
	a.room.Release(int64(events))
	if p.left > 0 {
		return
	}
	delete(a.open, p.id)
	if !p.over {
		close(p.done)
	}
}

// unsent records that the given number of events were not sent.
func (a *acks) unsent(p *publication, events int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open[p.id] == p {
		a.settle(p, events)
	}
}

// giveUp records that nobody waits any more. It returns false if the publication is settled already.
func (a *acks) giveUp(p *publication) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open[p.id] != p {
		return false
	}
	p.over = true
	time.AfterFunc(PublishDeadline, func() { // no acknowledgement comes later than that
		a.mu.Lock()
		defer a.mu.Unlock()
		a.end(p, nil)
	})
	return true
}

// end stops waiting for the missing acknowledgements of a publication; the lock must be held.
func (a *acks) end(p *publication, err error) {
	if a.open[p.id] != p {
		return
	}
	if !p.over && p.err == nil {
		p.err = err
	}
	a.settle(p, p.left)
}

// watch ends the open publications when the connection is lost, because their acknowledgements are lost as well.
func (a *acks) watch(changes chan nats.Status) {
	for status := range changes {
		a.mu.Lock()
		for _, p := range a.open {
			a.end(p, nats.ErrDisconnected)
		}
		a.mu.Unlock()
		if status == nats.CLOSED {
			a.nc.RemoveStatusListener(changes)
		}
	}
}

// ackError returns the error of an acknowledgement, or nil if the message is stored.
func ackError(data []byte) error {
	if bytes.HasPrefix(data, []byte(`{"stream":`)) {
		return nil // an error member would come first
	}
	var answer struct {
		Error  *jetstream.APIError `json:"error"`
		Stream string              `json:"stream"`
	}
	switch err := json.Unmarshal(data, &answer); {
	case err != nil || answer.Error == nil && answer.Stream == "":
		return jetstream.ErrInvalidJSAck
	case answer.Error != nil:
		return answer.Error
	}
	return nil
}
