//go:build faults

package faults_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// system runs a command of the operating system.
func (w *world) system(name string, args ...string) {
	w.t.Helper()
	out, err := exec.CommandContext(w.t.Context(), name, args...).CombinedOutput()
	require.NoError(w.t, err, "%s %s: %s", name, strings.Join(args, " "), out)
}

// mounted mounts a file system until the end of the test.
func (w *world) mounted(args ...string) (dir string) {
	w.t.Helper()
	dir = filepath.Join(w.dir, "disk")
	require.NoError(w.t, os.MkdirAll(dir, 0o755))
	w.system("mount", append(args, dir)...)
	w.t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// disk creates a file system within a file. Its power can be cut.
func (w *world) disk(size, options string) (dir string) {
	w.t.Helper()
	image := filepath.Join(w.dir, "disk.img")
	w.system("truncate", "--size="+size, image)
	w.system("mkfs.ext4", "-q", "-F", image)
	return w.mounted("-o", "loop,"+options, image)
}

// copyDisk copies the disk without what was not synced, while its programs are stopped: the image lacks what the file system
// still has in memory.
func (w *world) copyDisk() {
	w.t.Helper()
	w.system("cp", "--sparse=always", filepath.Join(w.dir, "disk.img"), filepath.Join(w.dir, "after.img"))
}

// swapDisk replaces the disk by the copy of copyDisk. Its programs must have ended.
func (w *world) swapDisk() {
	w.t.Helper()
	dir := filepath.Join(w.dir, "disk")
	require.Eventually(w.t, func() bool { return syscall.Unmount(dir, 0) == nil }, patience, 50*time.Millisecond)
	w.system("mount", "-o", "loop", filepath.Join(w.dir, "after.img"), dir)
}

// powered puts PostgreSQL and nats-server on a disk whose power can be cut.
func powered(strict bool) func(w *world) {
	return func(w *world) {
		dir := w.disk("2G", "rw")
		w.pgOpts.DataDir, w.natsDir, w.strict = filepath.Join(dir, "postgres"), filepath.Join(dir, "nats"), strict
	}
}

// cutPower kills all processes, and removes from the disk what was not synced.
func (w *world) cutPower() {
	w.t.Helper()
	everything := append(family(w.postmaster()), w.nats.cmd.Process.Pid)
	for _, pid := range everything {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
	}
	w.copyDisk()
	for _, p := range w.alive() {
		p.kill()
	}
	for _, pid := range everything {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	<-w.nats.ended
	<-w.pg.Done()
	_ = w.pg.Stop(w.t.Context()) // releases the folder
	w.swapDisk()
}

// family returns a process and all its descendants.
func family(pid int) []int {
	all := []int{pid}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for text := range strings.FieldsSeq(string(children)) {
		if child, err := strconv.Atoi(text); err == nil {
			all = append(all, family(child)...)
		}
	}
	return all
}

// power cuts the power while events wait that no worker has taken, and returns how many were lost.
func power(t *testing.T, fault string, strict bool) (lost int) {
	w := newWorld(t, true, powered(strict))
	w.goodHooks(1)
	w.run()
	w.run()
	stop := w.load(400, 4)
	w.lasts(30 * time.Second)
	for _, p := range w.alive() {
		p.signal(syscall.SIGSTOP) // what they took and did not settle is lost with the bus, or redelivered
	}
	w.lasts(w.between(3*time.Second, 6*time.Second))
	began := time.Now()
	w.cutPower()
	w.startPostgres()
	w.startNATS()
	ended := time.Now()
	w.run()
	w.run()
	w.lasts(4 * time.Second)
	stop()
	c := check{fault: fault, bound: 2 * underWay, unmarked: 2 * underWay, faults: []window{{began, ended}}, recovery: again + slack()}
	if !strict {
		c.cut, c.bound, c.unmarked = c.faults[0], w.events.len(), w.events.len()
	}
	return w.check(c).lost
}

func TestLongF07APowerCutTakesWhatWasNotSynced(t *testing.T) {
	require.Positive(t, power(t, "F07 power cut, fast", false), "a power cut that takes nothing proves nothing")
}

func TestLongF07APowerCutTakesNothingThatWasSynced(t *testing.T) {
	require.Zero(t, power(t, "F07 power cut, strict", true))
}

// small mounts a disk with little space.
func (w *world) small(size string) (dir string) {
	w.t.Helper()
	return w.mounted("-t", "tmpfs", "-o", "size="+size, "tmpfs")
}

// fill uses up the space on the disk.
func (w *world) fill() {
	w.t.Helper()
	file, err := os.Create(filepath.Join(w.dir, "disk", "ballast"))
	require.NoError(w.t, err)
	defer file.Close()
	for size := 1 << 20; size >= 1; size /= 2 {
		for err = nil; err == nil; {
			_, err = file.Write(make([]byte, size))
		}
	}
	require.ErrorIs(w.t, err, syscall.ENOSPC)
}

// fullDisk is a scenario in which the disk is full for a while.
func fullDisk(t *testing.T, fault string, put func(w *world), after func(w *world)) {
	w := newWorld(t, true, put)
	w.goodHooks(hooks)
	w.run()
	w.run()
	stop := w.load(60, 1)
	w.lasts(4 * time.Second)
	began := time.Now()
	w.fill()
	w.lasts(seconds(15, 60))
	acked := w.events.len()
	require.NoError(t, os.Remove(filepath.Join(w.dir, "disk", "ballast")))
	after(w)
	ended := time.Now()
	w.lasts(10 * time.Second)
	stop()
	for _, p := range w.workers {
		require.True(t, p.alive(), "a worker outlives a full disk")
	}
	w.check(check{
		fault: fault, bound: 2 * underWay, unmarked: 2 * underWay, faults: []window{{began, ended}}, recovery: time.Minute,
		note: fmt.Sprintf("%d events accepted until there was room again,", acked),
	})
}

func TestLongF17TheDiskOfNATSIsFull(t *testing.T) {
	fullDisk(t, "F17 no room for nats-server", func(w *world) { w.natsDir = filepath.Join(w.small("64m"), "nats") }, func(w *world) {
		w.nats.kill() // as an orchestrator does after failed health checks
		w.startNATS()
	})
}

func TestLongF17TheDiskOfPostgresIsFull(t *testing.T) {
	fullDisk(t, "F17 no room for Postgres", func(w *world) { w.pgOpts.DataDir = filepath.Join(w.small("300m"), "postgres") }, func(w *world) {
		select {
		case <-w.pg.Done(): // it has given up
			_ = w.pg.Stop(w.t.Context())
			w.startPostgres()
		default:
		}
	})
}
