//go:build unix

package daemon

import (
	"syscall"

	"go.uber.org/zap"
)

// reservedFiles is how many open files a program needs besides its clients' connections.
const reservedFiles = 256

// fewer returns how many of the configured connections can be open, given the limit of open files; 0 means no limit.
// Go has already raised the soft limit to the hard limit at program start.
func fewer(most int, name string, log *zap.Logger) int {
	var limit syscall.Rlimit
	if most == 0 || syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil || limit.Cur > uint64(most)+reservedFiles { //nolint:gosec // not negative
		return most
	}
	least := max(int(limit.Cur)/2, int(limit.Cur)-reservedFiles) //nolint:gosec // bounded by most
	log.Warn("fewer connections than configured can be open: raise the limit of open files", zap.String("server", name),
		zap.Int("configured", most), zap.Int("possible", least), zap.Uint64("open_files_limit", limit.Cur))
	return least
}
