package broker

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// minServer is the first nats-server that syncs a block of messages when it rewrites it. Earlier ones write and
// rename without a sync, even with sync_interval: always, so a power failure can lose messages that were acknowledged
// long before. Queues, whose messages are removed in any order, are rewritten all the time. Also, 2.12 lacks some
// fixes for message schedules.
var minServer = [3]int{2, 14, 6}

// ErrServerTooOld says that the nats-server is too old to keep what it acknowledges.
var ErrServerTooOld = errors.New("nats-server 2.14.6 or newer is required")

// CheckServer returns ErrServerTooOld if the connected server is too old.
func (c *Conn) CheckServer() error { return CheckVersion(c.nc.ConnectedServerVersion()) }

// CheckVersion returns ErrServerTooOld if the version of nats-server is too old.
func CheckVersion(version string) error {
	if !atLeast(version, minServer) {
		return fmt.Errorf("%w, this one is %q and can lose what it has acknowledged: upgrade it, one node at a time; its data stays",
			ErrServerTooOld, version)
	}
	return nil
}

// ServerVersion returns the version of the connected NATS server, such as 2.15.3.
func (c *Conn) ServerVersion() string { return c.nc.ConnectedServerVersion() }

// atLeast reports whether a version such as v2.15.0-RC.1 is at least oldest. A preview of oldest itself is not.
func atLeast(version string, oldest [3]int) bool {
	version, _, _ = strings.Cut(strings.TrimPrefix(version, "v"), "+")
	numbers, preview, _ := strings.Cut(version, "-")
	parts := strings.Split(numbers, ".")
	if len(parts) != len(oldest) {
		return false
	}
	for i, part := range parts {
		n, err := strconv.Atoi(part)
		if err != nil || n < oldest[i] {
			return false
		}
		if n > oldest[i] {
			return true
		}
	}
	return preview == ""
}
