package bus

import (
	"context"
	"fmt"
	"time"
)

// Store describes the account's JetStream file store and the server's clock.
type Store struct {
	// Used and Limit are in bytes; a Limit of 0 means no limit.
	Used, Limit int64
	Clock       time.Time
}

// Store asks the server. It works without the topology.
func (x Streams) Store(ctx context.Context) (Store, error) {
	account, err := x.b.js.AccountInfo(ctx)
	if err != nil {
		return Store{}, fmt.Errorf("look up jetstream account: %w", err)
	}
	s := Store{Used: int64(min(account.Store, 1<<62)), Limit: max(0, account.Limits.MaxStore)}
	if stream, err := x.b.stream(ctx, StreamOMS); err == nil {
		s.Clock = stream.CachedInfo().TimeStamp.UTC()
	}
	return s, nil
}
