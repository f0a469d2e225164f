//go:build unix

package daemon

import (
	"syscall"

	"go.uber.org/zap"
)

// reservedFiles are those that a program needs beside its clients' connections.
const reservedFiles = 256

// fewer returns how many connections can be open where most are wanted, 0 for no bound: the system bounds how many files a
// program has open. Go has raised that to what the system allows when it started the program.
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
