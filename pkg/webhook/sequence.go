package webhook

// Stream is one of the streams that events are published to.
type Stream uint8

// The streams of events.
const (
	// OMS is the event log, which order management systems publish to.
	OMS Stream = iota
	// Own is the stream of our own events: callbacks and operational events.
	Own
)

// Streams returns all of them.
func Streams() []Stream { return []Stream{OMS, Own} }

// String returns the stream's name on the bus.
func (s Stream) String() string {
	if s == Own {
		return "OWN"
	}
	return "OMS"
}

// Sequence is the place of an event: its stream and its sequence number in that stream, packed into one number for
// the ledger and retries. For the event log it equals the sequence number.
type Sequence uint64

// streamShift leaves room for more numbers than a stream can have, and for the sign bit of Postgres' bigint.
const streamShift = 56

// SequenceIn returns the place of the stream's message with the number.
func SequenceIn(s Stream, number uint64) Sequence {
	return Sequence(uint64(s)<<streamShift | number)
}

// Stream returns the stream that the event is in.
func (q Sequence) Stream() Stream { return Stream(q >> streamShift) }

// Number returns the event's sequence number in its stream.
func (q Sequence) Number() uint64 { return uint64(q) & (1<<streamShift - 1) }

// Before reports whether q comes earlier in the same stream. Places in different streams have no order.
func (q Sequence) Before(other Sequence) bool {
	return q.Stream() == other.Stream() && q.Number() < other.Number()
}
