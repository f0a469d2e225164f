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
	// ErrShare says that one of the names has reached its limit.
	ErrShare = errors.New("as much is being done for them as may be at once")
	// ErrBusy says that the limit over all names is reached.
	ErrBusy = errors.New("as much is being done as may be at once")
)

// Shares bounds how many operations of a kind run concurrently: in total, and for each name, so that no name can take
// everything. Create one with NewShares.
type Shares struct {
	all      *semaphore.Weighted
	patience time.Duration
	each     []int

	mu     sync.Mutex
	byName map[shareKey]*share
}

// shareKey includes the position of a name, so that a tenant differs from a token of the same name.
type shareKey struct {
	kind int
	name string
}

type share struct {
	*semaphore.Weighted

	users int // callers that have a share or wait for one
}

// NewShares returns shares that allow up to most concurrent operations. Callers wait up to patience for one. each are
// the limits per name: the first is for the first name that is passed to Take, the second for the second, and so on.
func NewShares(most int, patience time.Duration, each ...int) *Shares {
	return &Shares{all: semaphore.NewWeighted(int64(most)), patience: patience, each: each, byName: map[shareKey]*share{}}
}

// Take waits for a share of each name. It returns ErrShare, with the name, if that name's limit stays exhausted, and
// ErrBusy if the total limit does. Otherwise the caller must call release.
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
