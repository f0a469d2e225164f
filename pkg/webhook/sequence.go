package webhook

// Stream is one of the streams that events are published to.
type Stream uint8

// The streams of events.
const (
	// OMS is the event log, which order management systems publish to.
	OMS Stream = iota
	// Own is the stream of what Whisperer publishes itself: callbacks and operational events.
	Own
)

// Streams are all of them.
func Streams() []Stream { return []Stream{OMS, Own} }

// String is the stream's name on the bus.
func (s Stream) String() string {
	if s == Own {
		return "OWN"
	}
	return "OMS"
}

// Sequence is the place of an event: its stream and its number in there. It is one number, as the ledger and retries keep
// it; that of an event of the event log is the number itself.
type Sequence uint64

// streamShift leaves more numbers than a stream can have, and the sign of Postgres' bigint.
const streamShift = 56

// SequenceIn is the place of the stream's message with the number.
func SequenceIn(s Stream, number uint64) Sequence {
	return Sequence(uint64(s)<<streamShift | number)
}

// Stream is the stream that the event is in.
func (q Sequence) Stream() Stream { return Stream(q >> streamShift) }

// Number is that of the event in its stream.
func (q Sequence) Number() uint64 { return uint64(q) & (1<<streamShift - 1) }

// Before reports whether q comes earlier in the same stream. Between places of different streams there is no order.
func (q Sequence) Before(other Sequence) bool {
	return q.Stream() == other.Stream() && q.Number() < other.Number()
}
