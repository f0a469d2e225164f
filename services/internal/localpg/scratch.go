package localpg

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/whisperer-oms/whisperer/services/internal/filelock"
)

const (
	scratchPrefix = "whisperer-pg."
	lockSuffix    = ".lock"
	// longestTemp keeps the path of the socket under the 104 bytes (Linux: 108) that a socket's address can hold.
	longestTemp = 60
)

// scratch is a short-named folder that lives as long as its server: the socket, and a throw-away cluster.
type scratch struct {
	dir  string
	lock *filelock.Lock
}

// tempDir is the temporary folder, or /tmp where that one is too long for a socket or closed to other users.
func tempDir() string {
	if dir := os.TempDir(); os.Geteuid() != 0 && len(dir) <= longestTemp {
		return dir
	}
	return "/tmp"
}

func makeScratch(ctx context.Context, root string, who account) (*scratch, error) {
	sweepScratch(ctx, root)
	dir, err := os.MkdirTemp(root, scratchPrefix)
	if err != nil {
		return nil, fmt.Errorf("make scratch folder: %w", err)
	}
	s := &scratch{dir: dir}
	if err := s.hold(); err != nil {
		s.remove()
		return nil, err
	}
	if err := who.own(dir); err != nil {
		s.remove()
		return nil, fmt.Errorf("give scratch folder to user %d: %w", who.uid, err)
	}
	return s, nil
}

// hold locks the folder. The lock file gets its name only when it is locked, so that no sweep sees it unlocked.
func (s *scratch) hold() error {
	lock, err := filelock.Try(s.dir + lockSuffix + ".new")
	if err != nil {
		return fmt.Errorf("lock scratch folder: %w", err)
	}
	s.lock = lock
	if err := os.Rename(s.dir+lockSuffix+".new", s.dir+lockSuffix); err != nil {
		return fmt.Errorf("lock scratch folder: %w", err)
	}
	return nil
}

// remove deletes what it can; whatever stays is taken away by the next sweep.
func (s *scratch) remove() {
	_ = os.RemoveAll(s.dir)
	if s.lock != nil {
		_ = os.Remove(s.dir + lockSuffix)
		s.lock.Release()
	}
}

// sweepScratch removes what killed programs have left: folders whose lock nobody holds, with the servers in them.
func sweepScratch(ctx context.Context, root string) {
	locks, _ := filepath.Glob(filepath.Join(root, scratchPrefix+"*"+lockSuffix)) // the only error is a malformed pattern
	for _, name := range locks {
		lock, err := filelock.Try(name)
		if err != nil {
			continue // in use, or another user's
		}
		left := &scratch{dir: strings.TrimSuffix(name, lockSuffix), lock: lock}
		_ = endOrphan(ctx, left.cluster(), syscall.SIGQUIT)
		left.remove()
	}
}

// cluster is where a throw-away cluster is.
func (s *scratch) cluster() string { return filepath.Join(s.dir, "cluster") }
