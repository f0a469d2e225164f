package usecase

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/services/internal/daemon"
)

// usesEvery is the interval of storing when tokens were used.
const usesEvery = time.Minute

// tokenUses collects when tokens were used, so that no request waits for storing that.
type tokenUses struct {
	mu   sync.Mutex
	last map[uuid.UUID]time.Time // only valid tokens, so its size is bounded
}

func (u *tokenUses) note(token uuid.UUID) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.last == nil {
		u.last = map[uuid.UUID]time.Time{}
	}
	u.last[token] = time.Now()
}

// take returns what is not stored yet.
func (u *tokenUses) take() map[uuid.UUID]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	taken := u.last
	u.last = nil
	return taken
}

// giveBack restores what could not be stored, unless the token was used again meanwhile.
func (u *tokenUses) giveBack(uses map[uuid.UUID]time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	maps.Copy(uses, u.last)
	u.last = uses
}

// RecordTokenUses stores when tokens were used. What cannot be stored is left to the next call.
func (s *Access) RecordTokenUses(ctx context.Context) error {
	uses := s.uses.take()
	if len(uses) == 0 {
		return nil
	}
	_, err := daemon.Within(ctx, storeTimeout, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.access.RecordTokenUses(ctx, uses)
	})
	if err != nil {
		s.uses.giveBack(uses)
	}
	return err
}

// KeepTokenUses calls RecordTokenUses once a minute until ctx ends, and then once more.
func (s *Access) KeepTokenUses(ctx context.Context, log *zap.Logger) {
	ticks := time.NewTicker(usesEvery)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			if err := s.RecordTokenUses(context.WithoutCancel(ctx)); err != nil {
				log.Warn("failed to record the last uses of tokens", zap.Error(err))
			}
			return
		case <-ticks.C:
			if err := s.RecordTokenUses(ctx); err != nil && ctx.Err() == nil {
				log.Warn("failed to record uses of tokens; trying again in a minute", zap.Error(err))
			}
		}
	}
}
