package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Names and subjects of the topology.
const (
	StreamOMS     = "OMS"
	StreamRetries = "RETRIES"
	StreamLedger  = "LEDGER"
	StreamAside   = "SETASIDE"

	omsPrefix      = "oms."
	retryAtPrefix  = "retry.at."
	retryDuePrefix = "retry.due."
	ledgerSubject  = "ledger.facts"
)

// Consumer names one of the durable pull consumers, which all workers share.
type Consumer string

// The consumers of the topology.
const (
	// Fanout takes each event to be delivered.
	Fanout Consumer = "fanout"
	// EventRecorder takes each event to be written to Postgres.
	EventRecorder Consumer = "event-recorder"
	// Retry takes the retries that are due.
	Retry Consumer = "retry"
	// FactRecorder takes batches of facts to be written to Postgres.
	FactRecorder Consumer = "recorder"
)

// Consumers lists all of them.
func Consumers() []Consumer { return []Consumer{Fanout, EventRecorder, Retry, FactRecorder} }

// Topology lists the names of all streams and consumers.
func Topology() []string {
	names := []string{StreamOMS, StreamRetries, StreamLedger, StreamAside}
	for _, c := range Consumers() {
		names = append(names, string(c))
	}
	return names
}

// stream is where the consumer takes from, and filter what.
func (c Consumer) stream() string {
	switch c {
	case Fanout, EventRecorder:
		return StreamOMS
	case Retry:
		return StreamRetries
	case FactRecorder:
		return StreamLedger
	}
	return ""
}

func (c Consumer) filter() string {
	switch c {
	case Fanout, EventRecorder:
		return omsPrefix + ">"
	case Retry:
		return retryDuePrefix + ">"
	case FactRecorder:
		return "ledger.>"
	}
	return ""
}

// MaxInHand bounds what all workers together hold of a consumer's messages. Events wait in workers' lanes for hooks that
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

func (b *Bus) streams() []jetstream.StreamConfig {
	return []jetstream.StreamConfig{
		{
			// The event log. Nothing in it ages by itself: the housekeeper trims it, never past what was fanned out.
			Name: StreamOMS, Subjects: []string{omsPrefix + ">"}, Storage: jetstream.FileStorage,
			Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, MaxBytes: b.opts.OMSMaxBytes,
			Duplicates: dedupWindow, Replicas: b.opts.Replicas, AllowDirect: true, AllowAtomicPublish: true,
			Description: "events from the order management system",
		},
		{
			// Schedules refuse DiscardNew, and limits would drop what waits: the server's store limit is the guard.
			Name: StreamRetries, Subjects: []string{retryAtPrefix + ">", retryDuePrefix + ">"},
			Storage: jetstream.FileStorage, Retention: jetstream.WorkQueuePolicy, Discard: jetstream.DiscardOld,
			AllowMsgSchedules: true, Duplicates: dedupWindow, Replicas: b.opts.Replicas, DenyDelete: true,
			Description: "deliveries that wait for a time",
		},
		{
			Name: StreamLedger, Subjects: []string{"ledger.>"}, Storage: jetstream.FileStorage,
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

// EnsureTopology creates or updates all streams and consumers; doing it twice, or from several programs at once, is
// harmless, and what waits in them stays. Those that a newer program made are left as they are: a program of the release
// before, which starts during an upgrade, must not take back what the new ones need. It returns ErrServerTooOld where the
// server cannot carry the topology.
func (b *Bus) EnsureTopology(ctx context.Context) error {
	if err := b.CheckServer(); err != nil {
		return err
	}
	for _, cfg := range b.streams() {
		if err := b.ensureStream(ctx, cfg); err != nil {
			return fmt.Errorf("create stream %s: %w", cfg.Name, err)
		}
	}
	for _, c := range Consumers() {
		if err := b.ensureConsumer(ctx, c); err != nil {
			return fmt.Errorf("create consumer %s: %w", c, err)
		}
	}
	return nil
}

func (b *Bus) ensureStream(ctx context.Context, cfg jetstream.StreamConfig) error {
	stream, err := b.js.Stream(ctx, cfg.Name)
	switch {
	case err == nil && isNewer(stream.CachedInfo().Config.Metadata):
		return nil
	case err != nil && !errors.Is(err, jetstream.ErrStreamNotFound):
		return err
	}
	cfg.Metadata = versioned()
	_, err = b.js.CreateOrUpdateStream(ctx, cfg)
	return err
}

func (b *Bus) ensureConsumer(ctx context.Context, c Consumer) error {
	consumer, err := b.js.Consumer(ctx, c.stream(), string(c))
	switch {
	case err == nil && isNewer(consumer.CachedInfo().Config.Metadata):
		return nil
	case err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound):
		return err
	}
	cfg := b.consumer(c)
	if err == nil { // where it began cannot be changed
		cfg.DeliverPolicy, cfg.OptStartSeq = consumer.CachedInfo().Config.DeliverPolicy, consumer.CachedInfo().Config.OptStartSeq
	}
	_, err = b.js.CreateOrUpdateConsumer(ctx, c.stream(), cfg)
	return err
}

// consumer is what the consumer is like, begun at the first message of its stream.
func (b *Bus) consumer(c Consumer) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: string(c), FilterSubject: c.filter(), AckPolicy: jetstream.AckExplicitPolicy, AckWait: c.ackWait(),
		MaxDeliver: -1, MaxAckPending: MaxInHand(c), Replicas: b.opts.Replicas, Metadata: versioned(),
	}
}

// topologyVersion grows with every change of what streams and consumers are like. versionKey is its name in their metadata.
const (
	topologyVersion = 2
	versionKey      = "whisperer_topology"
)

func versioned() map[string]string {
	return map[string]string{versionKey: strconv.Itoa(topologyVersion)}
}

func isNewer(metadata map[string]string) bool {
	version, err := strconv.Atoi(metadata[versionKey])
	return err == nil && version > topologyVersion
}

// EventSubject is where an event of the tenant and type is published.
func EventSubject(tenant, eventType string) string { return omsPrefix + tenant + "." + eventType }

// SplitEventSubject reads tenant and event type from an OMS subject; both are empty where it is not one.
func SplitEventSubject(subject string) (tenant, eventType string) {
	rest, ok := strings.CutPrefix(subject, omsPrefix)
	if !ok {
		return "", ""
	}
	tenant, eventType, _ = strings.Cut(rest, ".")
	return tenant, eventType
}
