package localpg

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// pollEvery is how often a server's state file is looked at while waiting for it.
const pollEvery = 2 * time.Millisecond

// postmaster reads a cluster's state file: the server's process id and its status, which is
// "ready" when it takes connections, or "standby" when those can only read.
// ok is false when no server runs or the file is not complete yet.
func postmaster(cluster string) (pid int, status string, ok bool) {
	content, err := os.ReadFile(filepath.Join(cluster, "postmaster.pid"))
	if err != nil {
		return 0, "", false
	}
	lines := strings.Split(string(content), "\n")
	pid, err = strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || pid <= 0 {
		return 0, "", false
	}
	if len(lines) >= 8 {
		status = strings.TrimSpace(lines[7])
	}
	return pid, status, true
}

// endOrphan stops the server that a killed program has left on the cluster, and waits until it is gone. Only the holder
// of the cluster's lock may call it: with the lock in hand, no living program of ours runs that server.
func endOrphan(ctx context.Context, cluster string, how syscall.Signal) error {
	orphan, _, ok := postmaster(cluster)
	if !ok || !runsIn(orphan, cluster) {
		return nil
	}
	if err := syscall.Kill(orphan, how); err != nil && err != syscall.ESRCH {
		return fmt.Errorf("stop PostgreSQL (process %d) left in %s: %w", orphan, cluster, err)
	}
	for {
		if pid, _, ok := postmaster(cluster); !ok || pid != orphan || !runsIn(orphan, cluster) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for PostgreSQL (process %d) left in %s to stop: %w", orphan, cluster, ctx.Err())
		case <-time.After(pollEvery):
		}
	}
}
