//go:build !linux && !darwin

package egress

import "time"

// quiet reports whether nothing has arrived on an idle connection: no byte, no end, no error. It waits one
// millisecond, because this platform has no system call that does not wait.
func (w *httpConn) quiet() bool {
	if w.tcp.SetReadDeadline(time.Now().Add(time.Millisecond)) != nil {
		return false
	}
	var next [1]byte
	n, err := w.tcp.Read(next[:])
	return n == 0 && isTimeout(err)
}
