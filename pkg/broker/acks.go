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

// acks finds the publication that an answer of the server is for. It is what the client does for each message with a timer, a
// future, two channels and reflection, for all the events of a request together.
type acks struct {
	nc *nats.Conn
	// room is given back as answers come.
	room *semaphore.Weighted

	mu sync.Mutex
	// prefix begins the subjects on which answers come; empty until something is published.
	prefix string
	last   uint64
	open   map[uint64]*publication
}

// publication is some events on their way to the server.
type publication struct {
	id   uint64
	left int // without an answer
	// done is closed when all are answered, or will not be. Before that, what follows belongs to the lock of acks.
	done   chan struct{}
	stored []bool
	// noResponders are those that no stream listened for, as while its leader changes.
	noResponders []int
	err          error // the first
	// over says that nobody waits any more.
	over bool
}

func newAcks(nc *nats.Conn, room *semaphore.Weighted) *acks {
	return &acks{nc: nc, room: room, open: map[uint64]*publication{}}
}

// expect begins a publication of so many events.
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

// reply is the subject of the answer to an event.
func (a *acks) reply(p *publication, event int) string {
	var buffer [96]byte
	subject := append(buffer[:0], a.prefix...)
	subject = append(strconv.AppendUint(subject, p.id, 36), '-')
	return string(strconv.AppendInt(subject, int64(event), 36))
}

// answer takes an answer of the server.
func (a *acks) answer(m *nats.Msg) {
	first, second, _ := strings.Cut(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:], "-")
	id, errID := strconv.ParseUint(first, 36, 64)
	event, errEvent := strconv.ParseUint(second, 36, 31)
	err := ackError(m.Data)
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.open[id]
	switch {
	case errID != nil || errEvent != nil || p == nil || event >= uint64(len(p.stored)): // too late, or none of ours
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

// settle notes that so many events of the publication need no answer any more; the lock is held.
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

// unsent notes that so many events were not sent.
func (a *acks) unsent(p *publication, events int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open[p.id] == p {
		a.settle(p, events)
	}
}

// giveUp has nobody wait any more, unless all has been answered already: then it returns false.
func (a *acks) giveUp(p *publication) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.open[p.id] != p {
		return false
	}
	p.over = true
	time.AfterFunc(PublishDeadline, func() { // no answer comes later than that
		a.mu.Lock()
		defer a.mu.Unlock()
		a.end(p, nil)
	})
	return true
}

// end has nobody wait for what is unanswered of a publication; the lock is held.
func (a *acks) end(p *publication, err error) {
	if a.open[p.id] != p {
		return
	}
	if !p.over && p.err == nil {
		p.err = err
	}
	a.settle(p, p.left)
}

// watch ends the publications under way when the connection is lost: their answers are, too.
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

// ackError is what an answer has against a message; nil where it is stored.
func ackError(data []byte) error {
	if bytes.HasPrefix(data, []byte(`{"stream":`)) {
		return nil // an error would be in front
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
