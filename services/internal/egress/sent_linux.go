package egress

import (
	"context"
	"time"

	"golang.org/x/sys/unix"
)

// tcpClosed is the state of a connection that the other side has reset (TCP_CLOSE).
const tcpClosed = 7

// sent waits until the receiver's machine has acknowledged everything written, and reports whether it did. Without
// this check, data that our kernel has buffered but the receiver never read would be lost when the connection is
// closed.
func (w *httpConn) sent(ctx context.Context, by time.Time) bool {
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		all, open := w.acknowledged()
		if all || !open || !time.Now().Before(by) {
			return all
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(pause):
		}
	}
}

func (w *httpConn) acknowledged() (all, open bool) {
	err := w.socket.Control(func(fd uintptr) {
		left, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ)
		if all = err == nil && left == 0; all {
			return
		}
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		open = err == nil && info.State != tcpClosed
	})
	return err == nil && all, err == nil && (all || open)
}
