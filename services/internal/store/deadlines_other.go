//go:build !linux

package store

import "syscall"

// setUserTimeout does nothing where the kernel has no such limit: keep-alives and deadlines find the same later.
func setUserTimeout(string, string, syscall.RawConn) error { return nil }
