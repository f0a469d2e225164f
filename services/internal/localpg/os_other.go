//go:build !linux

package localpg

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// attributes drop root and shield the program from the terminal's Ctrl-C. This platform has no signal on the parent's
// death; the next Start ends a server that was left over.
func (a account) attributes(syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: a.credential()}
}

// memoryDir returns false: only Linux has a folder in memory everywhere.
func memoryDir() (string, bool) { return "", false }

// runsIn reports whether the process is a server on the cluster, by its command line ("postgres -D <cluster> …").
func runsIn(pid int, cluster string) bool {
	out, err := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(out), cluster)
}
