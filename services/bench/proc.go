package bench

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Linux counts CPU time in ticks of 10 ms (proc(5); sysconf(_SC_CLK_TCK) is 100 on every architecture that Go
// supports).
const tick = 10 * time.Millisecond

// Without /proc, the functions of this file return zero, and the report has no CPU time and memory.

// stat is a process' line in /proc/<pid>/stat.
type stat struct {
	parent      int
	own, waited time.Duration // CPU time of the process, and of its children that have ended
}

func readStat(pid int) (stat, bool) {
	line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return stat{}, false
	}
	// The name may contain anything, even parentheses.
	_, rest, found := strings.Cut(string(line[max(0, bytes.LastIndexByte(line, ')')):]), ") ")
	fields := strings.Fields(rest)
	if !found || len(fields) < 15 {
		return stat{}, false
	}
	number := func(field int) int64 { // fields are numbered as in proc(5), where the state is field 3
		n, _ := strconv.ParseInt(fields[field-3], 10, 64) // always a number
		return n
	}
	return stat{
		parent: int(number(4)), own: time.Duration(number(14)+number(15)) * tick, waited: time.Duration(number(16)+number(17)) * tick,
	}, true
}

// family returns a process and its children.
func family(pid int) []int {
	pids := []int{pid}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return pids
	}
	for _, entry := range entries {
		child, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if s, ok := readStat(child); ok && s.parent == pid {
			pids = append(pids, child)
		}
	}
	return pids
}

// process is a process, or a whole family: PostgreSQL has one process per connection.
type process struct {
	pid    int
	family bool
}

func (p process) pids() []int {
	if p.family {
		return family(p.pid)
	}
	return []int{p.pid}
}

// cpu returns the CPU time used so far; for a family it includes children that have ended.
func (p process) cpu() time.Duration {
	var sum time.Duration
	for _, pid := range p.pids() {
		s, ok := readStat(pid)
		if !ok {
			continue
		}
		sum += s.own
		if p.family && pid == p.pid {
			sum += s.waited
		}
	}
	return sum
}

// memory returns the current memory in bytes; memory shared within a family counts once.
func (p process) memory() int64 {
	var own, file, shared int64
	for _, pid := range p.pids() {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
		if err != nil {
			continue
		}
		own += kilobytes(text, "RssAnon:")
		file, shared = max(file, kilobytes(text, "RssFile:")), max(shared, kilobytes(text, "RssShmem:"))
	}
	return own + file + shared
}

func cpuOf(all []process) (sum time.Duration) {
	for _, p := range all {
		sum += p.cpu()
	}
	return sum
}

func memoryOf(all []process) (sum int64) {
	for _, p := range all {
		sum += p.memory()
	}
	return sum
}

// kilobytes returns a line of /proc/<pid>/status in bytes.
func kilobytes(status []byte, name string) int64 {
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, name); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64) // always a number
			return n << 10
		}
	}
	return 0
}

// busy returns the CPU time that the whole machine has used so far.
func busy() time.Duration {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(first) // cpu user nice system idle iowait irq softirq steal
	var ticks int64
	for i, field := range fields {
		if i == 1 || i == 2 || i == 3 || i == 6 || i == 7 {
			n, _ := strconv.ParseInt(field, 10, 64) // always a number
			ticks += n
		}
	}
	return time.Duration(ticks) * tick
}

// cpuModel returns the name of the processor.
func cpuModel() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown CPU"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown CPU"
}

// postmaster returns the server process of a cluster.
func postmaster(cluster string) process {
	text, err := os.ReadFile(filepath.Join(cluster, "postmaster.pid"))
	if err != nil {
		return process{}
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, _ := strconv.Atoi(strings.TrimSpace(first)) // 0 means none
	return process{pid: pid, family: true}
}
