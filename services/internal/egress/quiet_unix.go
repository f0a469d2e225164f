//go:build linux || darwin

package egress

import "syscall"

// quiet reports whether nothing has arrived on an idle connection: no byte, no end, no error. It does not wait.
func (w *httpConn) quiet() (quiet bool) {
	err := w.socket.Control(func(fd uintptr) {
		err := syscall.EINTR
		for err == syscall.EINTR {
			err = peek(fd)
		}
		quiet = err == syscall.EAGAIN
	})
	return err == nil && quiet
}

// peek looks at what comes next on a socket. It returns 0 for a byte or the end.
func peek(fd uintptr) syscall.Errno {
	var next [1]byte
	_, _, err := syscall.Recvfrom(int(fd), next[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	errno, _ := err.(syscall.Errno) //nolint:errorlint // it comes as it is
	return errno
}
