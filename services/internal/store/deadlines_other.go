//go:build !linux

package store

import "syscall"

// setUserTimeout does nothing if the kernel has no such limit. Keep-alives and deadlines detect the same, but later.
func setUserTimeout(string, string, syscall.RawConn) error { return nil }
