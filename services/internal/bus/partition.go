package bus

import (
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/whisperer-oms/whisperer/pkg/broker"
)

// DefaultPartitions is the number of partitions over which the event log spreads tenants. Only tenants of the same
// partition wait for each other. The chart's autoscaling names a consumer for each partition.
const DefaultPartitions = 16

// partitionPrefix replaces broker.EventPrefix in the subjects under which a partitioned event log stores events.
const partitionPrefix = "part."

// Partition returns the tenant's partition as the server's subject transform computes it: a 32-bit FNV-1a hash modulo
// the number of partitions.
func (b *Bus) Partition(tenant string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(tenant))
	return int(h.Sum32() % uint32(b.opts.Partitions)) //nolint:gosec // a small number
}

// partitioning returns the subject transform with which the event log puts each event's partition into its subject.
func (b *Bus) partitioning() *jetstream.SubjectTransformConfig {
	return &jetstream.SubjectTransformConfig{
		Source:      b.opts.Namespace.Subject(broker.EventPrefix + "*.>"),
		Destination: b.opts.Namespace.Subject(fmt.Sprintf("%s{{partition(%d,1)}}.{{wildcard(1)}}.>", partitionPrefix, b.opts.Partitions)),
	}
}

// published returns the subject that a message was published to, given the one that it is stored under.
func (b *Bus) published(subject string) string {
	rest, ok := strings.CutPrefix(subject, b.opts.Namespace.Subject(partitionPrefix))
	if !ok {
		return subject
	}
	_, rest, _ = strings.Cut(rest, ".")
	return b.opts.Namespace.Subject(broker.EventPrefix + rest)
}

// durable is a durable consumer of JetStream.
type durable struct {
	name, filter string
}

// durables returns the JetStream consumers behind a Consumer. The fan-out of the event log has one for events that
// were stored before the log had partitions, and one for each partition.
func (b *Bus) durables(c Consumer) []durable {
	_, filter := c.source()
	list := []durable{{name: string(c)}}
	if filter != "" {
		list[0].filter = b.opts.Namespace.Subject(filter)
	}
	if c != Fanout {
		return list
	}
	for n := range b.opts.Partitions {
		list = append(list, b.partition(n))
	}
	return list
}

// Durables returns the names of the JetStream consumers behind a Consumer.
func (x Streams) Durables(c Consumer) (names []string) {
	for _, d := range x.b.durables(c) {
		names = append(names, d.name)
	}
	return names
}

// partition returns the JetStream consumer of a partition's events.
func (b *Bus) partition(n int) durable {
	return durable{name: fmt.Sprintf("%s-%02d", Fanout, n), filter: b.opts.Namespace.Subject(fmt.Sprintf("%s%d.>", partitionPrefix, n))}
}
