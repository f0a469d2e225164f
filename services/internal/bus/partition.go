package bus

import (
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/whisperer-oms/whisperer/pkg/broker"
)

// DefaultPartitions is over how many partitions the event log spreads tenants. Those of one partition wait for each other, and
// for nobody else. The chart's autoscaling names a consumer for each.
const DefaultPartitions = 16

// partitionPrefix begins the subjects under which the event log stores what is published under broker.EventPrefix.
const partitionPrefix = "part."

// Partition is the tenant's, as the server's subject transform computes it: the remainder of a 32-bit FNV-1a hash.
func (b *Bus) Partition(tenant string) int {
	h := fnv.New32a()
	_, _ = h.Write([]byte(tenant))
	return int(h.Sum32() % uint32(b.opts.Partitions)) //nolint:gosec // a small number
}

// partitioning is the subject transform that has the event log put each event's partition into its subject.
func (b *Bus) partitioning() *jetstream.SubjectTransformConfig {
	return &jetstream.SubjectTransformConfig{
		Source:      b.opts.Namespace.Subject(broker.EventPrefix + "*.>"),
		Destination: b.opts.Namespace.Subject(fmt.Sprintf("%s{{partition(%d,1)}}.{{wildcard(1)}}.>", partitionPrefix, b.opts.Partitions)),
	}
}

// published is the subject that a message was published under, given the one that it is stored under.
func (b *Bus) published(subject string) string {
	rest, ok := strings.CutPrefix(subject, b.opts.Namespace.Subject(partitionPrefix))
	if !ok {
		return subject
	}
	_, rest, _ = strings.Cut(rest, ".")
	return b.opts.Namespace.Subject(broker.EventPrefix + rest)
}

// durable is a consumer of JetStream.
type durable struct {
	name, filter string
}

// durables are the consumers of JetStream that a Consumer takes from: for the fan-out of the event log, one that takes what was
// stored before the log had partitions, and one for each partition.
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

// Durables are the names of those in JetStream.
func (b *Bus) Durables(c Consumer) (names []string) {
	for _, d := range b.durables(c) {
		names = append(names, d.name)
	}
	return names
}

// partition is the consumer of JetStream that takes the events of a partition.
func (b *Bus) partition(n int) durable {
	return durable{name: fmt.Sprintf("%s-%02d", Fanout, n), filter: b.opts.Namespace.Subject(fmt.Sprintf("%s%d.>", partitionPrefix, n))}
}
