//go:build faults

package faults_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// clockFile is the variable that names the file from which a program with a wrong clock reads its error in seconds.
const clockFile = "WHISPERER_FAULTS_CLOCK"

// wrongClock is a file that is added to the standard library's package time in such a program. It does not change the monotonic
// clock, just as a step of the machine's clock does not.
const wrongClock = `package time

import (
	"sync/atomic"
	"syscall"
)

var faultSeconds atomic.Int64

// init reads the file once before anything else runs, and then again and again: Now itself must not, because the runtime
// calls it where nothing may wait.
func init() {
	name, ok := syscall.Getenv("` + clockFile + `")
	if !ok {
		return
	}
	faultSeconds.Store(faultRead(name))
	go func() {
		for {
			Sleep(20 * Millisecond)
			faultSeconds.Store(faultRead(name))
		}
	}()
}

func faultRead(name string) int64 {
	fd, err := open(name)
	if err != nil {
		return faultSeconds.Load()
	}
	defer closefd(fd)
	var content [32]byte
	n, _ := read(fd, content[:])
	var seconds, sign int64 = 0, 1
	for _, c := range content[:max(n, 0)] {
		if c == '-' {
			sign = -1
		} else if c >= '0' && c <= '9' {
			seconds = 10*seconds + int64(c-'0')
		}
	}
	return sign * seconds
}
`

// now is the beginning of the standard library's time.Now, and wrongNow that in a program with a wrong clock.
const (
	now      = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	wrongNow = now + "\tsec += faultSeconds.Load()\n"
)

// buildWrongClocks builds the worker and the API with a clock whose error is read from a file. Go reads the clock without the C
// library, so the clock cannot be faked from outside.
func buildWrongClocks(t *testing.T) (worker, subscriptionAPI string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOROOT").Output()
	require.NoError(t, err)
	source := filepath.Join(strings.TrimSpace(string(out)), "src", "time")
	original, err := os.ReadFile(filepath.Join(source, "time.go"))
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(original), now), "this release of Go has another time.Now: write the replacement anew")
	dir := t.TempDir()
	overlay := map[string]map[string]string{"Replace": {}}
	for name, content := range map[string]string{"time.go": strings.Replace(string(original), now, wrongNow, 1), "fault_clock.go": wrongClock} {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		overlay["Replace"][filepath.Join(source, name)] = file
	}
	content, err := json.Marshal(overlay)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "overlay.json"), content, 0o600))
	build := exec.CommandContext(context.WithoutCancel(t.Context()), "go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", dir,
		"./services/delivery-worker/cmd/delivery-worker", "./services/subscription-api/cmd/subscription-api")
	build.Dir = root
	out, err = build.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return filepath.Join(dir, "delivery-worker"), filepath.Join(dir, "subscription-api")
}
