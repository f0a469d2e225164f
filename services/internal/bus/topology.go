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

// Names of streams and subjects, without the namespace.
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

// Consumer names a stream of work that all workers share. It is one durable JetStream pull consumer, or several.
type Consumer string

// The consumers of the topology.
const (
	// Fanout takes the events of the event log for delivery, from its partitions in turn.
	Fanout Consumer = "fanout"
	// EventRecorder takes the events of the event log to write them to Postgres.
	EventRecorder Consumer = "event-recorder"
	// OwnFanout and OwnRecorder do the same for our own events.
	OwnFanout   Consumer = "own-fanout"
	OwnRecorder Consumer = "own-recorder"
	// Retry takes due retries.
	Retry Consumer = "retry"
	// FactRecorder takes batches of facts to write them to Postgres.
	FactRecorder Consumer = "recorder"
)

// Consumers returns all of them.
func Consumers() []Consumer {
	return []Consumer{Fanout, EventRecorder, OwnFanout, OwnRecorder, Retry, FactRecorder}
}

// FanoutOf returns the consumer that takes the stream's events for delivery.
func FanoutOf(s webhook.Stream) Consumer {
	if s == webhook.Own {
		return OwnFanout
	}
	return Fanout
}

// RecorderOf returns the consumer that takes the stream's events to record them.
func RecorderOf(s webhook.Stream) Consumer {
	if s == webhook.Own {
		return OwnRecorder
	}
	return EventRecorder
}

// nameOf returns the name of a stream of events.
func nameOf(s webhook.Stream) string {
	if s == webhook.Own {
		return StreamOwn
	}
	return StreamOMS
}

// Topology returns the names of all streams and consumers.
func Topology() []string {
	names := []string{StreamOMS, StreamOwn, StreamRetries, StreamLedger, StreamAside}
	for _, c := range Consumers() {
		names = append(names, (&Bus{opts: Options{Partitions: DefaultPartitions}}).Streams().Durables(c)...)
	}
	return names
}

// source returns the stream that the consumer takes from, and the filter on its subjects; an empty filter matches
// all.
func (c Consumer) source() (stream, filter string) {
	switch c {
	case Fanout:
		return StreamOMS, broker.EventPrefix + ">"
	case EventRecorder: // events of all partitions
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

// takesEvents reports whether the consumer's stream holds events, which stay in it after they are settled.
func (c Consumer) takesEvents() bool {
	switch c {
	case Fanout, EventRecorder, OwnFanout, OwnRecorder:
		return true
	case Retry, FactRecorder:
	}
	return false
}

// streamOfEvents returns the stream of the consumer's events. For consumers of other streams it means nothing.
func (c Consumer) streamOfEvents() webhook.Stream {
	if c == OwnFanout || c == OwnRecorder {
		return webhook.Own
	}
	return webhook.OMS
}

// MaxInHand bounds the unsettled messages of a consumer over all workers, per partition if it has partitions. Fan-out
// has a higher bound because events wait in workers' limiters for slow hooks. There must be one, because the server
// rewrites the whole list of unsettled messages as it changes.
func MaxInHand(c Consumer) int {
	if c == Fanout {
		return 32 << 10
	}
	return 8 << 10
}

// ackWait is how long the server waits for a sign of life before it redelivers a message; a live worker sends one
// three times as often. So it bounds how long recovery from a dead worker takes. Redelivered events and retries wait
// for the ledger first, so the recorder's messages must be redelivered sooner than those. It must not change on a
// live consumer whose messages are handed back with long delays: a change moves every pending delay.
func (c Consumer) ackWait() time.Duration {
	if c == FactRecorder {
		return 5 * time.Second
	}
	return 15 * time.Second
}

// dedupWindow is how long JetStream remembers a Nats-Msg-Id. Each id costs 235 bytes of server memory.
const dedupWindow = 2 * time.Minute

// streams returns the configurations with which streams are created, without the namespace.
func (b *Bus) streams() []jetstream.StreamConfig {
	return []jetstream.StreamConfig{
		{
			// The event log. It has no maximum age: the housekeeper trims it, but never past what was fanned out.
			Name: StreamOMS, Subjects: []string{broker.EventPrefix + ">"}, Storage: jetstream.FileStorage,
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxBytes: b.opts.OMSMaxBytes,
			Duplicates: dedupWindow, Replicas: b.opts.Replicas, AllowDirect: true, AllowAtomicPublish: true, SubjectTransform: b.partitioning(),
			Description: "events from the order management system",
		},
		{
			// Our own events are apart from the event log, so that callbacks do not wait for room in it: it only gets
			// room when events are delivered, which publishes their callbacks.
			Name: StreamOwn, Subjects: []string{broker.OwnPrefix + ">"}, Storage: jetstream.FileStorage,
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxBytes: b.opts.OwnMaxBytes,
			Duplicates: dedupWindow, Replicas: b.opts.Replicas, AllowDirect: true,
			Description: "callbacks and operational events",
		},
		{
			// Schedules do not work with DiscardNew, and limits would drop scheduled retries. The server's store
			// limit is the guard.
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
			// Messages in it do not expire: a person puts them back.
			Name: StreamAside, Subjects: []string{asidePrefix + ">"}, Storage: jetstream.FileStorage,
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, Duplicates: dedupWindow, AllowDirect: true,
			Replicas: b.opts.Replicas, Description: "what Postgres refused, until it is put back",
		},
	}
}

// named adds the namespace to the stream's names.
func (b *Bus) named(cfg jetstream.StreamConfig) jetstream.StreamConfig {
	subjects := make([]string, len(cfg.Subjects))
	for i, s := range cfg.Subjects {
		subjects[i] = b.opts.Namespace.Subject(s)
	}
	cfg.Name, cfg.Subjects = b.opts.Namespace.Stream(cfg.Name), subjects
	return cfg
}

// consumer returns the configuration of a durable. It starts at the first message of its stream and inherits the
// stream's replicas.
func (b *Bus) consumer(c Consumer, d durable) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: d.name, FilterSubject: d.filter, AckPolicy: jetstream.AckExplicitPolicy, AckWait: c.ackWait(),
		MaxDeliver: -1, MaxAckPending: MaxInHand(c), Metadata: map[string]string{versionKey: strconv.Itoa(topologyVersion)},
	}
}

// stream looks up a stream of the topology.
func (b *Bus) stream(ctx context.Context, name string) (jetstream.Stream, error) {
	stream, err := b.js.Stream(ctx, b.opts.Namespace.Stream(name))
	if err != nil {
		return nil, fmt.Errorf("look up stream %s: %w", b.opts.Namespace.Stream(name), err)
	}
	return stream, nil
}

// topologyVersion grows with every change to the configuration of streams and consumers. Version 3 is the first with
// a stream for our own events, 4 the first that spreads tenants over partitions, and 5 the first whose payloads can
// be erased. versionKey is its key in their metadata.
const (
	topologyVersion = 5
	versionKey      = "whisperer_topology"
)

// versionOf returns the version of the program that made a stream or consumer, or 0 if none is recorded.
func versionOf(metadata map[string]string) int {
	version, err := strconv.Atoi(metadata[versionKey])
	if err != nil {
		return 0
	}
	return version
}

func isNewer(metadata map[string]string) bool { return versionOf(metadata) > topologyVersion }
