// Package demo generates events as the order management system of a small invented shop would publish them, for
// trying Whisperer out without a real system.
//
// Four strands run concurrently: an order that is delivered, one that is returned, one that is cancelled, and the
// stock of a new store. Together they take about half a minute and contain every built-in event type. Then the next
// four begin.
package demo

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Event is one step of the story, for the caller to publish.
type Event struct {
	// Type is the dotted event type, one of those in the catalogue.
	Type string
	// Entity names the thing that the event is about, such as package:61.
	Entity string
	// Context is the current_context of the event, a JSON object.
	Context json.RawMessage
	// Data is valid against the catalogue's schema of Type.
	Data json.RawMessage
	// After is the pause between the previous event and this one, never negative.
	After time.Duration
}

// Story is an endless sequence of events. It is not safe for concurrent use.
type Story struct {
	rng   *rand.Rand
	ids   numbers
	at    time.Time
	ahead []beat
}

// beat is an event with its time, which determines its place among the strands.
type beat struct {
	at    time.Time
	event Event
}

// New begins a story. The same seed and start always yield the same story. Times in the events begin at start and
// advance by each event's After. So a caller who observes the pauses sends events with the current time.
func New(seed uint64, start time.Time) *Story {
	rng := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a story must repeat; nothing here is secret
	return &Story{rng: rng, ids: firstNumbers(rng), at: start.UTC().Truncate(time.Millisecond)}
}

// Next returns the next event.
func (s *Story) Next() Event {
	if len(s.ahead) == 0 {
		s.ahead = s.cycle()
	}
	next := s.ahead[0]
	s.ahead = s.ahead[1:]
	next.event.After = next.at.Sub(s.at)
	s.at = next.at
	return next.event
}

// cycle generates the four strands one after the other and sorts their beats by time.
func (s *Story) cycle() []beat {
	var beats []beat
	for _, strand := range []struct {
		begins time.Duration
		tell   func(*teller)
	}{
		{300 * time.Millisecond, stockOfANewStore},
		{1 * time.Second, orderDelivered},
		{7 * time.Second, orderReturned},
		{12 * time.Second, orderCancelled},
	} {
		t := &teller{rng: s.rng, ids: &s.ids, now: s.at.Add(strand.begins)}
		strand.tell(t)
		beats = append(beats, t.beats...)
	}
	slices.SortStableFunc(beats, func(a, b beat) int { return a.at.Compare(b.at) })
	return beats
}

// teller generates one strand.
type teller struct {
	rng   *rand.Rand
	ids   *numbers
	now   time.Time
	beats []beat
}

// pause advances the time by about d: between three quarters and five quarters of it.
func (t *teller) pause(d time.Duration) {
	t.now = t.now.Add(d*3/4 + time.Duration(t.rng.Int64N(int64(d/2)))).Truncate(time.Millisecond)
}

// blink separates the events that one action causes, so that their order is clear.
func (t *teller) blink() { t.now = t.now.Add(20 * time.Millisecond) }

// publish adds an event with the current state of data.
func (t *teller) publish(eventType, entity string, by cause, data any) {
	by.RequestID = fmt.Sprintf("req-%012x", t.rng.Uint64()>>16)
	t.beats = append(t.beats, beat{at: t.now, event: Event{
		Type: eventType, Entity: entity, Context: document(by), Data: document(data),
	}})
}

// document cannot fail, because this package's types only hold what JSON can represent.
func document(value any) json.RawMessage {
	text, err := json.Marshal(value)
	if err != nil {
		panic(fmt.Errorf("encode %T: %w", value, err))
	}
	return text
}

// numbers are the latest ids.
type numbers struct{ order, line, customer, pack, shipment, transfer, location int }

// firstNumbers differ by seed, so that two stories rarely use the same ids.
func firstNumbers(rng *rand.Rand) numbers {
	n := 1000 + rng.IntN(90000)
	return numbers{order: n, line: 3 * n, customer: n / 2, pack: n + n/10, shipment: n + n/20, transfer: n / 10, location: n / 50}
}

func next(n *int) int {
	*n++
	return *n
}

func pick[E any](rng *rand.Rand, from []E) E { return from[rng.IntN(len(from))] }
