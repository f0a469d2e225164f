package localpg

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// roomyMemory is how many bytes must be free in memory before a temporary cluster is put there. Containers often have
// 64 MB.
const roomyMemory = 2 << 30

// attributes drop root and shield the program from the terminal's Ctrl-C. If death is not 0, the program gets that
// signal when the thread that started it ends.
func (a account) attributes(death syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: death, Credential: a.credential()}
}

// memoryDir returns a folder in memory that has room. CREATE DATABASE makes checkpoints, which are several times
// faster there than on a shared disk.
func memoryDir() (string, bool) {
	const dir = "/dev/shm"
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return "", false
	}
	//nolint:gosec // a block is never of a negative size
	return dir, stat.Bavail*uint64(stat.Bsize) > roomyMemory
}

// runsIn reports whether the process is a server on the cluster: a postmaster's working folder is its data folder.
func runsIn(pid int, cluster string) bool {
	dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid))
	if err != nil {
		return false
	}
	resolved, err := filepath.EvalSymlinks(cluster)
	return err == nil && dir == resolved
}
