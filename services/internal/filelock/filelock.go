// Package filelock takes advisory locks (flock(2)) that end with the process, however it ends.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// ErrHeld says that another holder, in this process or another one, has the lock.
var ErrHeld = errors.New("lock is held by another program")

// retryEvery is how often Wait looks whether a held lock has become free.
const retryEvery = 10 * time.Millisecond

// Lock is a lock that is held until Release, or until the process ends.
type Lock struct{ file *os.File }

// Try takes the lock on the file name, which it creates (mode 0600) where it is missing.
// It returns ErrHeld at once when the lock is taken.
func Try(name string) (*Lock, error) {
	// Close-on-exec is set by os.OpenFile, so that a child process does not go on holding the lock.
	file, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", name, ErrHeld)
		}
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	return &Lock{file}, nil
}

// Wait takes the lock as Try does, and waits for it until ctx ends; then the error wraps ctx's error and ErrHeld.
func Wait(ctx context.Context, name string) (*Lock, error) {
	for {
		lock, err := Try(name)
		if !errors.Is(err, ErrHeld) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		case <-time.After(retryEvery):
		}
	}
}

// Release gives the lock back. The file stays: removing it would let two programs hold "the" lock on two files.
func (l *Lock) Release() {
	_ = l.file.Close() // closing is what unlocks; there was nothing to write
}
