package broker

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// minServer is the first nats-server that syncs a block of messages which it rewrites. Those before it write and rename
// without a sync, also with sync_interval: always, so that a power cut takes messages that were acknowledged long before;
// queues, from which messages are taken in any order, are rewritten all the time. Some mends of message schedules are not
// in 2.12 either.
var minServer = [3]int{2, 14, 6}

// ErrServerTooOld says that the nats-server is older than the oldest one that keeps what it acknowledges.
var ErrServerTooOld = errors.New("nats-server 2.14.6 or newer is required")

// CheckServer returns ErrServerTooOld where the server that the connection leads to is too old.
func (c *Conn) CheckServer() error { return CheckVersion(c.nc.ConnectedServerVersion()) }

// CheckVersion returns ErrServerTooOld for the version of a nats-server that is too old.
func CheckVersion(version string) error {
	if !atLeast(version, minServer) {
		return fmt.Errorf("%w, this one is %q and can lose what it has acknowledged: upgrade it, one node at a time; its data stays",
			ErrServerTooOld, version)
	}
	return nil
}

// ServerVersion is that of the NATS server, such as 2.15.3.
func (c *Conn) ServerVersion() string { return c.nc.ConnectedServerVersion() }

// atLeast reports whether a version such as v2.15.0-RC.1 is the oldest one or newer; a preview of the oldest is not.
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
