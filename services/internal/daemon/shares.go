package daemon

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// Errors of Shares.Take.
var (
	// ErrShare says that as much is being done for somebody as may be at once.
	ErrShare = errors.New("as much is being done for them as may be at once")
	// ErrBusy says that as much is being done for all together as may be at once.
	ErrBusy = errors.New("as much is being done as may be at once")
)

// Shares bounds how much of a kind is done at once: in all, and for each of many, so that none of them takes all there is.
// Make one with NewShares.
type Shares struct {
	all      *semaphore.Weighted
	patience time.Duration
	each     []int

	mu     sync.Mutex
	byName map[shareKey]*share
}

// shareKey tells a tenant from a token of the same name.
type shareKey struct {
	kind int
	name string
}

type share struct {
	*semaphore.Weighted

	users int // that have it or wait for it
}

// NewShares makes shares for so much at once in all, for which callers wait so long; each are the bounds for the one of the
// first name that Take is given, for the one of the second, and so on.
func NewShares(most int, patience time.Duration, each ...int) *Shares {
	return &Shares{all: semaphore.NewWeighted(int64(most)), patience: patience, each: each, byName: map[shareKey]*share{}}
}

// Take waits for a share of each name's. The error is ErrShare, with the name, where there is none for long, and ErrBusy
// where there is none in all. Otherwise release gives it back.
func (s *Shares) Take(ctx context.Context, names ...string) (release func(), err error) {
	waiting, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	var taken []func()
	release = func() {
		for _, give := range taken {
			give()
		}
	}
	for kind, name := range names {
		key := shareKey{kind, name}
		own := s.join(key)
		if own.Acquire(waiting, 1) != nil {
			s.leave(key, own)
			release()
			return nil, errors.Join(fmt.Errorf("%s: %w", name, ErrShare), ctx.Err())
		}
		taken = append(taken, func() {
			own.Release(1)
			s.leave(key, own)
		})
	}
	if s.all.Acquire(waiting, 1) != nil {
		release()
		return nil, errors.Join(ErrBusy, ctx.Err())
	}
	taken = append(taken, func() { s.all.Release(1) })
	return release, nil
}

func (s *Shares) join(key shareKey) *share {
	s.mu.Lock()
	defer s.mu.Unlock()
	own := s.byName[key]
	if own == nil {
		own = &share{Weighted: semaphore.NewWeighted(int64(s.each[key.kind]))}
		s.byName[key] = own
	}
	own.users++
	return own
}

func (s *Shares) leave(key shareKey, own *share) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if own.users--; own.users == 0 {
		delete(s.byName, key)
	}
}
