//go:build !linux

package localpg

import (
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// attributes drop root and keep the terminal's Ctrl-C away from the program. No signal at the death of the parent
// exists here; the next Start ends what was left.
func (a account) attributes(syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Credential: a.credential()}
}

// memoryDir finds nothing: only Linux has a folder in memory everywhere.
func memoryDir() (string, bool) { return "", false }

// runsIn tells whether the process is a server on the cluster, by its command line ("postgres -D <cluster> …").
func runsIn(pid int, cluster string) bool {
	out, err := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.Contains(string(out), cluster)
}
