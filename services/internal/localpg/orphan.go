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

// pollEvery is how often the server's state file is checked while waiting for the server.
const pollEvery = 2 * time.Millisecond

// postmaster reads a cluster's state file. It returns the server's process id and its status: "ready" if it accepts
// connections, or "standby" if these can only read. ok is false if no server runs or the file is not complete yet.
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

// endOrphan stops a server that a killed program left on the cluster, and waits until it has ended. Only the holder
// of the cluster's lock may call it: the lock proves that no living program of ours runs that server.
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
