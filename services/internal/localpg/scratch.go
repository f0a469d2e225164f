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
	// longestTemp keeps the socket's path below the limit of a socket address, which is 104 bytes (Linux: 108).
	longestTemp = 60
)

// scratch is a folder with a short name that lives as long as its server. It holds the socket, and a temporary
// cluster.
type scratch struct {
	dir  string
	lock *filelock.Lock
}

// tempDir returns the temporary folder, or /tmp if that is too long for a socket or closed to other users.
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

// remove deletes what it can; the next sweep deletes the rest.
func (s *scratch) remove() {
	_ = os.RemoveAll(s.dir)
	if s.lock != nil {
		_ = os.Remove(s.dir + lockSuffix)
		s.lock.Release()
	}
}

// sweepScratch removes what killed programs left: folders whose lock nobody holds, and the servers in them.
func sweepScratch(ctx context.Context, root string) {
	locks, _ := filepath.Glob(filepath.Join(root, scratchPrefix+"*"+lockSuffix)) // Glob only fails for a malformed pattern
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

// cluster returns the folder of a temporary cluster.
func (s *scratch) cluster() string { return filepath.Join(s.dir, "cluster") }
