package bus

import (
	"context"
	"fmt"
	"sort"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Trim says which events of a stream may be dropped.
type Trim struct {
	Stream webhook.Stream
	// MaxAge is how long events are kept.
	MaxAge time.Duration
	// HighWater is the fraction (0 to 1) of the stream's size limit above which the oldest events are dropped sooner.
	// Dropping stops at LowWater.
	HighWater, LowWater float64
}

// Trim drops the oldest events, except those that were not fanned out and recorded. It returns how many were dropped.
func (x Streams) Trim(ctx context.Context, t Trim) (uint64, error) {
	stream, err := x.b.stream(ctx, nameOf(t.Stream))
	if err != nil {
		return 0, err
	}
	floor := uint64(1<<63 - 1)
	for _, c := range []Consumer{FanoutOf(t.Stream), RecorderOf(t.Stream)} {
		lag, err := x.b.Lag(ctx, c)
		if err != nil {
			return 0, err
		}
		floor = min(floor, lag.Settled)
	}
	info := stream.CachedInfo()
	keep, err := firstSince(ctx, stream, info.State, info.TimeStamp.Add(-t.MaxAge))
	if err != nil {
		return 0, err
	}
	if size, limit := float64(info.State.Bytes), float64(info.Config.MaxBytes); limit > 0 && size > t.HighWater*limit {
		part := (size - t.LowWater*limit) / size
		keep = max(keep, info.State.FirstSeq+uint64(part*float64(info.State.LastSeq-info.State.FirstSeq)))
	}
	keep = min(keep, floor+1)
	if keep <= info.State.FirstSeq {
		return 0, nil
	}
	if err := stream.Purge(ctx, jetstream.WithPurgeSequence(keep)); err != nil {
		return 0, fmt.Errorf("trim stream %s: %w", nameOf(t.Stream), err)
	}
	return keep - info.State.FirstSeq, nil
}

// EventLogSize returns the size of a stream of events and its limit, in bytes.
func (x Streams) EventLogSize(ctx context.Context, s webhook.Stream) (used, limit int64, err error) {
	stream, err := x.b.stream(ctx, nameOf(s))
	if err != nil {
		return 0, 0, err
	}
	info := stream.CachedInfo()
	return int64(info.State.Bytes), info.Config.MaxBytes, nil //nolint:gosec // bytes on one disk
}

// firstSince finds the first sequence that was stored at or after the given time.
func firstSince(ctx context.Context, stream jetstream.Stream, state jetstream.StreamState, at time.Time) (uint64, error) {
	if state.Msgs == 0 || !state.FirstTime.Before(at) {
		return state.FirstSeq, nil
	}
	if state.LastTime.Before(at) {
		return state.LastSeq + 1, nil
	}
	var failed error
	n := sort.Search(int(state.LastSeq-state.FirstSeq), func(i int) bool { //nolint:gosec // messages on one disk
		if failed != nil {
			return true
		}
		msg, err := stream.GetMsg(ctx, state.FirstSeq+uint64(i)) //nolint:gosec // not negative
		if err != nil {
			failed = fmt.Errorf("read event: %w", err)
			return true
		}
		return !msg.Time.Before(at)
	})
	return state.FirstSeq + uint64(n), failed //nolint:gosec // not negative
}
