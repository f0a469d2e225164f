//go:build faults

package faults_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/freeport"
)

// process is a child process, which ends with this one.
type process struct {
	name  string
	cmd   *exec.Cmd
	log   string // the file with its output
	ended chan struct{}
	err   error // valid once ended is closed
	// health is the address of /readyz; empty if there is none.
	health string
}

var processes atomic.Int64

// start runs a program until the end of the test.
func start(t *testing.T, dir, name, path string, env ...string) *process {
	t.Helper()
	return startCommand(t, dir, name, []string{path}, env...)
}

// startCommand does what start does, for a program with arguments.
func startCommand(t *testing.T, dir, name string, command []string, env ...string) *process {
	t.Helper()
	p := &process{name: name, ended: make(chan struct{}), log: filepath.Join(dir, fmt.Sprintf("%s-%d.log", name, processes.Add(1)))}
	out, err := os.Create(p.log)
	require.NoError(t, err)
	defer out.Close() // the child has its own descriptor
	p.cmd = exec.CommandContext(context.WithoutCancel(t.Context()), command[0], command[1:]...)
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	started := make(chan error, 1)
	go func() { // the death signal is bound to the thread that starts the process
		runtime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
		}
		close(p.ended)
	}()
	require.NoError(t, <-started)
	t.Cleanup(func() {
		p.signal(syscall.SIGCONT)
		p.signal(syscall.SIGTERM)
		select {
		case <-p.ended:
		case <-time.After(20 * time.Second):
			p.kill()
		}
		if t.Failed() {
			t.Logf("%s (process %d) said last:\n%s", name, p.cmd.Process.Pid, tail(p.log, 30))
		}
	})
	return p
}

// signal sends a signal to a process, which may have ended.
func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// kill ends the process as a crash does.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// stop ends the process gracefully.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.signal(syscall.SIGTERM)
	<-p.ended
	require.NoError(t, p.err, "%s has to end well when it is asked to; it said:\n%s", p.name, tail(p.log, 10))
}

func (p *process) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// ready reports whether the process is ready.
func (p *process) ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.health+"/readyz", nil)
	if err != nil {
		return false
	}
	answer, err := (&http.Client{Timeout: 3 * time.Second}).Do(req)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	return answer.StatusCode == http.StatusOK
}

func (p *process) awaitReady(t *testing.T, limit time.Duration) {
	t.Helper()
	require.Eventually(t, func() bool { return p.ready(t.Context()) }, limit, 20*time.Millisecond, "%s is not ready", p.name)
}

// memory returns the peak memory of the process in MiB; 0 if it has ended.
func (p *process) memory() int { return p.status("VmHWM") >> 10 }

// status returns a value of the process's status in KiB; 0 if it has ended.
func (p *process) status(name string) int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			kib, _ := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")))
			return kib
		}
	}
	return 0
}

func tail(path string, n int) string {
	file, err := os.Open(path)
	if err != nil {
		return err.Error()
	}
	defer file.Close()
	var lines []string
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		if lines = append(lines, scanner.Text()); len(lines) > n {
			lines = lines[1:]
		}
	}
	return strings.Join(lines, "\n")
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := freeport.Find(t.Context())
	require.NoError(t, err)
	return port
}
