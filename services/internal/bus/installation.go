package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Keys in the metadata of streams.
const (
	installationKey = "whisperer_installation"
	// acceptedKey is in the metadata of the stream OWN: until when our own events are still accepted in the event
	// log.
	acceptedKey = "whisperer_own_in_oms_until"
)

// upgradeTime is how long workers of the previous release, which publish callbacks into the event log, may keep
// running after the first worker of this release has started.
const upgradeTime = time.Hour

// firstWithOwn is the first version of the topology with the stream OWN.
const firstWithOwn = 3

// ForeignError says that a stream belongs to another installation of Whisperer.
type ForeignError struct {
	// Stream is the stream's full name, Theirs the installation it belongs to, and Ours this installation.
	Stream, Theirs, Ours string
}

// Error says whose the stream is, and how to resolve that.
func (e *ForeignError) Error() string {
	return fmt.Sprintf("stream %s belongs to another installation of Whisperer (%s, and the database of this program is that of %s): "+
		"give this installation a NATS account or a WHISPERER_NAMESPACE of its own; "+
		"if its database was replaced on purpose, run `whisperer migrate streams --adopt`", e.Stream, e.Theirs, e.Ours)
}

// foreign returns a ForeignError if the stream belongs to another installation.
func (b *Bus) foreign(cfg jetstream.StreamConfig) error {
	theirs := cfg.Metadata[installationKey]
	if b.opts.Installation == "" || theirs == "" || theirs == b.opts.Installation {
		return nil
	}
	return &ForeignError{Stream: cfg.Name, Theirs: theirs, Ours: b.opts.Installation}
}

// ours returns the metadata with our keys added.
func (b *Bus) ours(metadata map[string]string) map[string]string {
	marked := map[string]string{}
	maps.Copy(marked, metadata)
	marked[versionKey] = strconv.Itoa(max(topologyVersion, versionOf(metadata)))
	if b.opts.Installation != "" {
		marked[installationKey] = b.opts.Installation
	}
	return marked
}

// claim makes sure that the streams belong to this installation before any of them is created or changed. Streams of
// a release that did not record an installation go to the first one that claims them. Creating the stream OWN, which
// those releases lack, decides the race: it succeeds for only one of several programs.
func (b *Bus) claim(ctx context.Context) error {
	found := map[string]*jetstream.StreamInfo{}
	for _, cfg := range b.streams() {
		stream, err := b.js.Stream(ctx, b.opts.Namespace.Stream(cfg.Name))
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			continue
		case err != nil:
			return fmt.Errorf("look up stream %s: %w", cfg.Name, err)
		}
		if err := b.foreign(stream.CachedInfo().Config); err != nil {
			return err
		}
		found[cfg.Name] = stream.CachedInfo()
	}
	if found[StreamOwn] != nil {
		return nil
	}
	for _, cfg := range b.streams() {
		if cfg.Name != StreamOwn {
			continue
		}
		cfg = b.named(cfg)
		cfg.Metadata = b.ours(nil)
		if log := found[StreamOMS]; log != nil && versionOf(log.Config.Metadata) < firstWithOwn {
			cfg.Metadata[acceptedKey] = log.TimeStamp.Add(upgradeTime).UTC().Format(time.RFC3339)
		}
		_, err := b.js.CreateStream(ctx, cfg)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another program created it first
			return b.owned(ctx)
		}
		if err != nil {
			return fmt.Errorf("create stream %s: %w", cfg.Name, err)
		}
	}
	return nil
}

// owned returns a ForeignError if the stream OWN belongs to another installation.
func (b *Bus) owned(ctx context.Context) error {
	stream, err := b.stream(ctx, StreamOwn)
	if err != nil {
		return err
	}
	return b.foreign(stream.CachedInfo().Config)
}

// Adopt assigns all existing streams to this installation, whatever installation they belonged to. It returns the
// names of those that belonged to another one.
func (x Streams) Adopt(ctx context.Context) (adopted []string, err error) {
	for _, cfg := range x.b.streams() {
		stream, err := x.b.js.Stream(ctx, x.b.opts.Namespace.Stream(cfg.Name))
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			continue
		case err != nil:
			return adopted, fmt.Errorf("look up stream %s: %w", cfg.Name, err)
		}
		now := stream.CachedInfo().Config
		if now.Metadata[installationKey] == x.b.opts.Installation {
			continue
		}
		metadata := map[string]string{}
		maps.Copy(metadata, now.Metadata)
		metadata[installationKey] = x.b.opts.Installation
		now.Metadata = metadata
		if _, err := x.b.js.UpdateStream(ctx, now); err != nil {
			return adopted, fmt.Errorf("adopt stream %s: %w", now.Name, err)
		}
		adopted = append(adopted, now.Name)
	}
	return adopted, nil
}

// accept reads until when our own events are accepted in the event log.
func (b *Bus) accept(own jetstream.StreamConfig) {
	if until, err := time.Parse(time.RFC3339, own.Metadata[acceptedKey]); err == nil {
		b.acceptUntil.Store(&until)
	}
}

// isOurs reports whether a message of the event log, published at the given time, may be an event of our own: one
// from before the stream OWN existed, or one of a worker of the previous release during the upgrade. After that
// period it returns false, so that no publisher can forge our events.
func (b *Bus) isOurs(publishedAt time.Time) bool {
	until := b.acceptUntil.Load()
	return until != nil && publishedAt.Before(*until)
}
