package bus

import (
	"context"
	"time"
)

// Streams gives operators access to the bus's streams.
type Streams struct{ b *Bus }

// Streams returns the bus's streams.
func (b *Bus) Streams() Streams { return Streams{b} }

// StreamState says how full a stream is.
type StreamState struct {
	Name     string
	Messages uint64
	// Bytes is the stream's size on disk, and MaxBytes its limit; 0 means that it has no limit of its own.
	Bytes    uint64
	MaxBytes int64
	Replicas int
	// Oldest is when the first message was stored; zero if the stream is empty.
	Oldest time.Time
}

// States returns the state of each stream, the event log first.
func (x Streams) States(ctx context.Context) ([]StreamState, error) {
	var list []StreamState
	for _, c := range x.b.streams() {
		stream, err := x.b.stream(ctx, c.Name)
		if err != nil {
			return nil, err
		}
		info := stream.CachedInfo()
		s := StreamState{
			Name: info.Config.Name, Messages: info.State.Msgs, Bytes: info.State.Bytes, MaxBytes: max(0, info.Config.MaxBytes), Replicas: info.Config.Replicas,
		}
		if s.Messages > 0 {
			s.Oldest = info.State.FirstTime.UTC()
		}
		list = append(list, s)
	}
	return list, nil
}
