package bus

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/whisperer-oms/whisperer/pkg/broker"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Names and subjects of the topology, without the namespace.
const (
	StreamOMS     = "OMS"
	StreamOwn     = "OWN"
	StreamRetries = "RETRIES"
	StreamLedger  = "LEDGER"
	StreamAside   = "SETASIDE"

	retryAtPrefix  = "retry.at."
	retryDuePrefix = "retry.due."
	ledgerPrefix   = "ledger."
	ledgerSubject  = "ledger.facts"
)

// Consumer names what all workers share the messages of: a durable pull consumer of JetStream, or several.
type Consumer string

// The consumers of the topology.
const (
	// Fanout takes each event of the event log to be delivered, from its partitions in turns.
	Fanout Consumer = "fanout"
	// EventRecorder takes each event of the event log to be written to Postgres.
	EventRecorder Consumer = "event-recorder"
	// OwnFanout and OwnRecorder do the same for what we publish ourselves.
	OwnFanout   Consumer = "own-fanout"
	OwnRecorder Consumer = "own-recorder"
	// Retry takes the retries that are due.
	Retry Consumer = "retry"
	// FactRecorder takes batches of facts to be written to Postgres.
	FactRecorder Consumer = "recorder"
)

// Consumers lists all of them.
func Consumers() []Consumer {
	return []Consumer{Fanout, EventRecorder, OwnFanout, OwnRecorder, Retry, FactRecorder}
}

// FanoutOf and RecorderOf are the consumers that take events from the stream.
func FanoutOf(s webhook.Stream) Consumer {
	if s == webhook.Own {
		return OwnFanout
	}
	return Fanout
}

// RecorderOf is the consumer that takes events from the stream to be recorded.
func RecorderOf(s webhook.Stream) Consumer {
	if s == webhook.Own {
		return OwnRecorder
	}
	return EventRecorder
}

// nameOf is the name of a stream of events.
func nameOf(s webhook.Stream) string {
	if s == webhook.Own {
		return StreamOwn
	}
	return StreamOMS
}

// Topology lists the names of all streams and consumers.
func Topology() []string {
	names := []string{StreamOMS, StreamOwn, StreamRetries, StreamLedger, StreamAside}
	for _, c := range Consumers() {
		names = append(names, (&Bus{opts: Options{Partitions: DefaultPartitions}}).Durables(c)...)
	}
	return names
}

// source is where the consumer takes from, and filter what; empty for all of it.
func (c Consumer) source() (stream, filter string) {
	switch c {
	case Fanout:
		return StreamOMS, broker.EventPrefix + ">"
	case EventRecorder: // whatever partition it is in
		return StreamOMS, ""
	case OwnFanout, OwnRecorder:
		return StreamOwn, broker.OwnPrefix + ">"
	case Retry:
		return StreamRetries, retryDuePrefix + ">"
	case FactRecorder:
		return StreamLedger, ledgerPrefix + ">"
	}
	return "", ""
}

// takesEvents says that the consumer's stream is one of events, which stay in it when they are done with.
func (c Consumer) takesEvents() bool {
	switch c {
	case Fanout, EventRecorder, OwnFanout, OwnRecorder:
		return true
	case Retry, FactRecorder:
	}
	return false
}

// streamOfEvents is where the consumer's events are; that of others means nothing.
func (c Consumer) streamOfEvents() webhook.Stream {
	if c == OwnFanout || c == OwnRecorder {
		return webhook.Own
	}
	return webhook.OMS
}

// MaxInHand bounds what all workers together hold of a consumer's messages, of each partition's if it has some. Events wait in workers' limiters for hooks that
// are slow, so there are more of them; a server writes the whole list as it changes, so there is a limit.
func MaxInHand(c Consumer) int {
	if c == Fanout {
		return 32 << 10
	}
	return 8 << 10
}

// ackWait is how long a message may be silent before another worker gets it; a worker that is alive speaks up three times
// as often. It bounds the time to recover from a dead worker. What comes again to be delivered waits for the ledger first, so
// what a recorder had in hand has to come again sooner than that. It is not changed for a live consumer whose messages are
// handed back with long delays: a change moves every delay that is under way.
func (c Consumer) ackWait() time.Duration {
	if c == FactRecorder {
		return 5 * time.Second
	}
	return 15 * time.Second
}

// dedupWindow is how long JetStream remembers a Nats-Msg-Id; each costs 235 bytes of server memory.
const dedupWindow = 2 * time.Minute

// streams are what the streams are like when they are made, without the namespace.
func (b *Bus) streams() []jetstream.StreamConfig {
	return []jetstream.StreamConfig{
		{
			// The event log. Nothing in it ages by itself: the housekeeper trims it, never past what was fanned out.
			Name: StreamOMS, Subjects: []string{broker.EventPrefix + ">"}, Storage: jetstream.FileStorage,
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxBytes: b.opts.OMSMaxBytes,
			Duplicates: dedupWindow, Replicas: b.opts.Replicas, AllowDirect: true, AllowAtomicPublish: true, SubjectTransform: b.partitioning(),
			Description: "events from the order management system",
		},
		{
			// Apart from the event log, which callbacks must not have to wait for: it has room again only when events are
			// delivered, and with that their callbacks published.
			Name: StreamOwn, Subjects: []string{broker.OwnPrefix + ">"}, Storage: jetstream.FileStorage,
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxBytes: b.opts.OwnMaxBytes,
			Duplicates: dedupWindow, Replicas: b.opts.Replicas, AllowDirect: true,
			Description: "callbacks and operational events",
		},
		{
			// Schedules refuse DiscardNew, and limits would drop what waits: the server's store limit is the guard.
			Name: StreamRetries, Subjects: []string{retryAtPrefix + ">", retryDuePrefix + ">"},
			Storage: jetstream.FileStorage, Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardOld,
			AllowMsgSchedules: true, Duplicates: dedupWindow, Replicas: b.opts.Replicas,
			Description: "deliveries that wait for a time",
		},
		{
			Name: StreamLedger, Subjects: []string{ledgerPrefix + ">"}, Storage: jetstream.FileStorage,
			Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardOld, Duplicates: dedupWindow, DenyDelete: true, DenyPurge: true,
			Replicas: b.opts.Replicas, Description: "what happened, on its way to Postgres",
		},
		{
			// Nothing in it ages: a person puts it back.
			Name: StreamAside, Subjects: []string{asidePrefix + ">"}, Storage: jetstream.FileStorage,
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, Duplicates: dedupWindow, AllowDirect: true,
			Replicas: b.opts.Replicas, Description: "what Postgres refused, until it is put back",
		},
	}
}

// named puts the stream into the namespace.
func (b *Bus) named(cfg jetstream.StreamConfig) jetstream.StreamConfig {
	subjects := make([]string, len(cfg.Subjects))
	for i, s := range cfg.Subjects {
		subjects[i] = b.opts.Namespace.Subject(s)
	}
	cfg.Name, cfg.Subjects = b.opts.Namespace.Stream(cfg.Name), subjects
	return cfg
}

// consumer is what one of a Consumer's is like, begun at the first message of its stream, of which it has as many copies.
func (b *Bus) consumer(c Consumer, d durable) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: d.name, FilterSubject: d.filter, AckPolicy: jetstream.AckExplicitPolicy, AckWait: c.ackWait(),
		MaxDeliver: -1, MaxAckPending: MaxInHand(c), Metadata: map[string]string{versionKey: strconv.Itoa(topologyVersion)},
	}
}

// stream looks a stream of the topology up.
func (b *Bus) stream(ctx context.Context, name string) (jetstream.Stream, error) {
	stream, err := b.js.Stream(ctx, b.opts.Namespace.Stream(name))
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", b.opts.Namespace.Stream(name), err)
	}
	return stream, nil
}

// topologyVersion grows with every change of what streams and consumers are like; 3 is the first with a stream for what
// we publish ourselves, 4 the first that spreads tenants over partitions, 5 the first whose payloads can be erased. versionKey is its name in their metadata.
const (
	topologyVersion = 5
	versionKey      = "whisperer_topology"
)

// versionOf is that of the program which a stream or consumer was made by, 0 where nobody wrote it down.
func versionOf(metadata map[string]string) int {
	version, err := strconv.Atoi(metadata[versionKey])
	if err != nil {
		return 0
	}
	return version
}

func isNewer(metadata map[string]string) bool { return versionOf(metadata) > topologyVersion }
