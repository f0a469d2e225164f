package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
)

// Setting is a setting of a stream that operators may change, and that differs from the program's configuration.
type Setting struct {
	// Stream is the stream's full name, and Name is max_bytes, replicas or partitions.
	Stream, Name string
	Have, Want   int64
}

// Settings returns the differences between the streams and the program's configuration. The configuration applies
// only when a stream is created. Differences arise when an operator changes the stream, or the configuration changes
// later.
func (x Streams) Settings(ctx context.Context) ([]Setting, error) {
	var list []Setting
	err := x.compare(ctx, func(_ jetstream.StreamConfig, differ []Setting) error {
		list = append(list, differ...)
		return nil
	})
	return list, err
}

// TellSettings logs all differences.
func (x Streams) TellSettings(ctx context.Context) {
	list, err := x.Settings(ctx)
	if err != nil {
		x.b.log.Warn("failed to compare stream settings", zap.Error(err))
	}
	for _, s := range list {
		x.b.log.Warn("stream differs from the configured settings and is left unchanged: see `whisperer migrate streams`",
			zap.String("stream", s.Stream), zap.String("setting", s.Name), zap.Int64("is", s.Have), zap.Int64("wanted", s.Want))
	}
}

// ApplySettings applies the program's configuration to the streams and their consumers.
func (x Streams) ApplySettings(ctx context.Context) error {
	return x.compare(ctx, func(now jetstream.StreamConfig, differ []Setting) error {
		for _, s := range differ {
			switch s.Name {
			case settingBytes:
				now.MaxBytes = s.Want
			case settingReplicas:
				now.Replicas = int(s.Want)
			case settingPartitions:
				now.SubjectTransform = x.b.partitioning()
			}
		}
		if len(differ) == 0 {
			return nil
		}
		if _, err := x.b.js.UpdateStream(ctx, now); err != nil {
			return fmt.Errorf("change stream %s: %w", now.Name, err)
		}
		return x.b.followReplicas(ctx, now)
	})
}

// The names of settings. All but partitions are NATS' own names.
const (
	settingBytes      = "max_bytes"
	settingReplicas   = "replicas"
	settingPartitions = "partitions"
)

// compare calls do for each existing stream, with its differences.
func (x Streams) compare(ctx context.Context, do func(now jetstream.StreamConfig, differ []Setting) error) error {
	for _, cfg := range x.b.streams() {
		cfg = x.b.named(cfg)
		stream, err := x.b.js.Stream(ctx, cfg.Name)
		switch {
		case errors.Is(err, jetstream.ErrStreamNotFound):
			continue
		case err != nil:
			return fmt.Errorf("look up stream %s: %w", cfg.Name, err)
		}
		now := stream.CachedInfo().Config
		if err := x.b.foreign(now); err != nil {
			return err
		}
		var differ []Setting
		if cfg.MaxBytes > 0 && cfg.MaxBytes != now.MaxBytes {
			differ = append(differ, Setting{Stream: cfg.Name, Name: settingBytes, Have: max(0, now.MaxBytes), Want: cfg.MaxBytes})
		}
		if cfg.Replicas != now.Replicas {
			differ = append(differ, Setting{Stream: cfg.Name, Name: settingReplicas, Have: int64(now.Replicas), Want: int64(cfg.Replicas)})
		}
		if cfg.SubjectTransform != nil && now.SubjectTransform == nil {
			differ = append(differ, Setting{Stream: cfg.Name, Name: settingPartitions, Want: int64(x.b.opts.Partitions)})
		}
		if err := do(now, differ); err != nil {
			return err
		}
	}
	return nil
}

// followReplicas makes the stream's consumers inherit the number of its replicas: earlier releases set a number of
// their own.
func (b *Bus) followReplicas(ctx context.Context, stream jetstream.StreamConfig) error {
	for _, c := range Consumers() {
		if source, _ := c.source(); b.opts.Namespace.Stream(source) != stream.Name {
			continue
		}
		for _, d := range b.durables(c) {
			if err := b.followReplicasOf(ctx, d, stream); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *Bus) followReplicasOf(ctx context.Context, d durable, stream jetstream.StreamConfig) error {
	consumer, err := b.js.Consumer(ctx, stream.Name, d.name)
	switch {
	case errors.Is(err, jetstream.ErrConsumerNotFound):
		return nil
	case err != nil:
		return fmt.Errorf("look up consumer %s: %w", d.name, err)
	}
	cfg := consumer.CachedInfo().Config
	if cfg.Replicas == 0 || cfg.Replicas == stream.Replicas {
		return nil
	}
	cfg.Replicas = 0
	if _, err := b.js.UpdateConsumer(ctx, stream.Name, cfg); err != nil {
		return fmt.Errorf("change consumer %s: %w", d.name, err)
	}
	return nil
}
