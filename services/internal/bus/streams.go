package bus

import (
	"context"
	"time"
)

// StreamState is how full a stream is.
type StreamState struct {
	Name     string
	Messages uint64
	// Bytes is what it takes on its disk, MaxBytes what it may take; 0 for no limit of its own.
	Bytes    uint64
	MaxBytes int64
	Replicas int
	// Oldest is when the first message was stored; zero where there is none.
	Oldest time.Time
}

// Streams tells how full the streams are, the event log first.
func (b *Bus) Streams(ctx context.Context) ([]StreamState, error) {
	var list []StreamState
	for _, c := range b.streams() {
		stream, err := b.stream(ctx, c.Name)
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
