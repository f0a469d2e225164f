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

// Names in the metadata of streams.
const (
	installationKey = "whisperer_installation"
	// acceptedKey is in that of the stream OWN: until when what we publish ourselves was still accepted in the event log.
	acceptedKey = "whisperer_own_in_oms_until"
)

// upgradeTime is how long workers of the release before, which publish callbacks into the event log, may still run after
// the first worker of this one has started.
const upgradeTime = time.Hour

// firstWithOwn is the first version of the topology that has the stream OWN.
const firstWithOwn = 3

// ForeignError says that a stream belongs to another installation of Whisperer.
type ForeignError struct {
	// Stream is its full name, Theirs the installation that it belongs to, and Ours this one.
	Stream, Theirs, Ours string
}

// Error says whose the stream is, and what to do.
func (e *ForeignError) Error() string {
	return fmt.Sprintf("stream %s belongs to another installation of Whisperer (%s, and the database of this program is that of %s): "+
		"give this installation a NATS account or a WHISPERER_NAMESPACE of its own; "+
		"if its database was replaced on purpose, run `whisperer migrate streams --adopt`", e.Stream, e.Theirs, e.Ours)
}

// foreign returns a ForeignError where the stream belongs to another installation.
func (b *Bus) foreign(cfg jetstream.StreamConfig) error {
	theirs := cfg.Metadata[installationKey]
	if b.opts.Installation == "" || theirs == "" || theirs == b.opts.Installation {
		return nil
	}
	return &ForeignError{Stream: cfg.Name, Theirs: theirs, Ours: b.opts.Installation}
}

// ours is the metadata with our marks in it.
func (b *Bus) ours(metadata map[string]string) map[string]string {
	marked := map[string]string{}
	maps.Copy(marked, metadata)
	marked[versionKey] = strconv.Itoa(max(topologyVersion, versionOf(metadata)))
	if b.opts.Installation != "" {
		marked[installationKey] = b.opts.Installation
	}
	return marked
}

// claim makes sure that the streams are this installation's, before any of them is made or changed. Streams of a release
// that wrote nobody down become those of the first installation that comes: making the stream OWN, which no such release
// has, succeeds for one of several that try at once.
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
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // somebody else was first
			return b.owned(ctx)
		}
		if err != nil {
			return fmt.Errorf("create stream %s: %w", cfg.Name, err)
		}
	}
	return nil
}

// owned returns a ForeignError where the stream OWN is another installation's.
func (b *Bus) owned(ctx context.Context) error {
	stream, err := b.stream(ctx, StreamOwn)
	if err != nil {
		return err
	}
	return b.foreign(stream.CachedInfo().Config)
}

// Adopt makes the streams that are there this installation's, whoever's they were. It returns the names of those that
// were another's.
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

// accept reads until when what we publish ourselves is accepted in the event log.
func (b *Bus) accept(own jetstream.StreamConfig) {
	if until, err := time.Parse(time.RFC3339, own.Metadata[acceptedKey]); err == nil {
		b.acceptUntil.Store(&until)
	}
}

// isOurs reports whether a message of the event log, published at the time, may be one that we published ourselves: one
// from before there was a stream for that, or of a worker of the release before, which runs while it is replaced. After
// that nobody can make us believe it.
func (b *Bus) isOurs(publishedAt time.Time) bool {
	until := b.acceptUntil.Load()
	return until != nil && publishedAt.Before(*until)
}
