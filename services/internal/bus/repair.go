package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Repaired is a stream or consumer that somebody else deleted or changed, and that was repaired.
type Repaired struct {
	// Name is the name of the stream or consumer.
	Name string
	// Gone reports whether it was missing and was created again; otherwise it had been changed.
	Gone bool
}

// position is how far a consumer had got at the last check, and the creation time of its stream.
type position struct {
	stream  time.Time
	settled uint64
}

// Ensure creates missing streams and consumers and repairs changes that could lose or hold up messages; see
// Repair. It may run repeatedly and in several programs at once; stored messages are kept. It returns
// ErrServerTooOld if the server cannot carry the topology, and a *ForeignError, without having changed anything, if
// the streams belong to another installation.
func (x Streams) Ensure(ctx context.Context) error {
	if err := x.b.CheckServer(); err != nil {
		return err
	}
	if err := x.b.claim(ctx); err != nil {
		return err
	}
	_, err := x.Repair(ctx)
	return err
}

// Repair recreates missing streams and consumers, and reverts changes that could lose or hold up messages.
//
// It does not revert the size of the event logs, nor the placement and replicas of streams: these are set at
// creation, and operators may change them. It leaves alone what a newer program made: a program of the previous
// release, running during an upgrade, must not revert what the new ones need. A recreated consumer of events
// continues from its position at this program's last call.
//
// Repair returns what was repaired, even with an error. The error is the server's if something cannot be
// repaired, and a *ForeignError if the streams have become another installation's.
func (x Streams) Repair(ctx context.Context) ([]Repaired, error) {
	x.b.repairing.Lock()
	defer x.b.repairing.Unlock()
	var done []Repaired
	for _, cfg := range x.b.streams() {
		stream, repaired, err := x.b.repairStream(ctx, cfg)
		done = append(done, repaired...)
		if err != nil {
			return done, fmt.Errorf("repair stream %s: %w", x.b.opts.Namespace.Stream(cfg.Name), err)
		}
		if cfg.Name == StreamOwn {
			x.b.accept(stream.Config)
		}
		for _, c := range Consumers() {
			if source, _ := c.source(); source != cfg.Name {
				continue
			}
			for _, d := range x.b.durables(c) {
				repaired, err := x.b.repairConsumer(ctx, c, d, stream)
				done = append(done, repaired...)
				if err != nil {
					return done, fmt.Errorf("repair consumer %s: %w", d.name, err)
				}
			}
		}
	}
	return done, nil
}

func (b *Bus) repairStream(ctx context.Context, cfg jetstream.StreamConfig) (*jetstream.StreamInfo, []Repaired, error) {
	name := cfg.Name
	cfg = b.named(cfg)
	stream, err := b.js.Stream(ctx, cfg.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		cfg.Metadata = b.ours(nil)
		if stream, err = b.js.CreateStream(ctx, cfg); err == nil {
			return stream.CachedInfo(), []Repaired{{Name: name, Gone: true}}, nil
		}
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another program created it first
			stream, err = b.js.Stream(ctx, cfg.Name)
		}
	}
	if err != nil {
		return nil, nil, err
	}
	info := stream.CachedInfo()
	if err := b.foreign(info.Config); err != nil {
		return info, nil, err
	}
	want := promised(info.Config, cfg)
	want.Metadata = b.ours(info.Config.Metadata)
	if isNewer(info.Config.Metadata) || reflect.DeepEqual(want, info.Config) {
		return info, nil, nil
	}
	if _, err := b.js.UpdateStream(ctx, want); err != nil {
		return info, nil, err
	}
	return info, []Repaired{{Name: name}}, nil
}

// promised returns the configuration that a stream should have, given its current one: without limits that would drop
// or refuse messages that we promise to keep.
func promised(now, cfg jetstream.StreamConfig) jetstream.StreamConfig {
	want := now
	want.Subjects, want.Retention, want.Discard, want.Duplicates = cfg.Subjects, cfg.Retention, cfg.Discard, cfg.Duplicates
	want.AllowDirect, want.AllowAtomicPublish, want.AllowMsgSchedules = cfg.AllowDirect, cfg.AllowAtomicPublish, cfg.AllowMsgSchedules
	want.DenyDelete, want.DenyPurge = now.DenyDelete || cfg.DenyDelete, now.DenyPurge || cfg.DenyPurge // the server cannot revert either
	// Operators decide whether there are partitions, not how they work.
	if want.SubjectTransform != nil {
		want.SubjectTransform = cfg.SubjectTransform
	}
	want.MaxAge, want.DiscardNewPerSubject, want.NoAck = 0, false, false
	want.MaxMsgs, want.MaxMsgsPerSubject = min(now.MaxMsgs, 0), min(now.MaxMsgsPerSubject, 0)
	want.MaxMsgSize, want.MaxConsumers = min(now.MaxMsgSize, 0), min(now.MaxConsumers, 0)
	if cfg.MaxBytes == 0 {
		want.MaxBytes = min(now.MaxBytes, 0)
	}
	return unlimited(want)
}

// unlimited replaces absent limits by -1, as the server does.
func unlimited(cfg jetstream.StreamConfig) jetstream.StreamConfig {
	for _, limit := range []*int64{&cfg.MaxMsgs, &cfg.MaxMsgsPerSubject, &cfg.MaxBytes} {
		if *limit == 0 {
			*limit = -1
		}
	}
	if cfg.MaxMsgSize == 0 {
		cfg.MaxMsgSize = -1
	}
	if cfg.MaxConsumers == 0 {
		cfg.MaxConsumers = -1
	}
	return cfg
}

func (b *Bus) repairConsumer(ctx context.Context, c Consumer, d durable, stream *jetstream.StreamInfo) ([]Repaired, error) {
	consumer, err := b.js.Consumer(ctx, stream.Config.Name, d.name)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		cfg := b.consumer(c, d)
		if before, ok := b.positions[d.name]; ok && c.takesEvents() && before.stream.Equal(stream.Created) {
			cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, before.settled+1
		}
		if _, err := b.js.CreateConsumer(ctx, stream.Config.Name, cfg); err != nil {
			if errors.Is(err, jetstream.ErrConsumerExists) {
				return nil, nil // another program created it first
			}
			return nil, err
		}
		return []Repaired{{Name: d.name, Gone: true}}, nil
	case err != nil:
		return nil, err
	}
	info := consumer.CachedInfo()
	b.positions[d.name] = position{stream: stream.Created, settled: info.AckFloor.Stream}
	want, cfg := info.Config, b.consumer(c, d)
	want.FilterSubject, want.FilterSubjects, want.AckPolicy, want.AckWait = cfg.FilterSubject, nil, cfg.AckPolicy, cfg.AckWait
	want.MaxDeliver, want.MaxAckPending, want.BackOff, want.HeadersOnly = cfg.MaxDeliver, cfg.MaxAckPending, nil, false
	want.MaxRequestBatch, want.MaxRequestExpires, want.MaxRequestMaxBytes, want.InactiveThreshold = 0, 0, 0, 0
	want.Metadata = map[string]string{}
	maps.Copy(want.Metadata, info.Config.Metadata)
	want.Metadata[versionKey] = strconv.Itoa(topologyVersion)
	if isNewer(info.Config.Metadata) || reflect.DeepEqual(want, info.Config) {
		return nil, nil
	}
	if _, err := b.js.UpdateConsumer(ctx, stream.Config.Name, want); err != nil {
		return nil, err
	}
	return []Repaired{{Name: d.name}}, nil
}
