//go:build faults

package faults_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/broker"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// before214_6 are the last releases of nats-server that rewrite stored messages without a sync.
var before214_6 = []string{"v2.12.15", "v2.14.5"}

// lone is a nats-server with a disk of its own, without the rest of Whisperer.
type lone struct {
	*world
	// command starts another release of nats-server; nil for the embedded one.
	command []string
}

// newLone creates the disk and starts the server, which syncs before each acknowledgement.
func newLone(t *testing.T, program string) *lone {
	t.Helper()
	l := &lone{world: &world{t: t, dir: t.TempDir(), natsAt: freePort(t), strict: true}}
	// The file system renames a file over another before its data is written, as most do. On ext4 this requires an option,
	// because by default it guesses that the program wanted the data written first.
	l.natsDir = filepath.Join(l.disk("512M", "noauto_da_alloc"), "nats")
	if program != "" {
		l.command = []string{program, "--config", testenv.NATSConfig(t, l.natsDir, l.natsAt, "always")}
	}
	l.serve()
	return l
}

func (l *lone) serve() {
	l.t.Helper()
	if l.command == nil {
		l.startNATS()
		return
	}
	l.nats = startCommand(l.t, l.dir, "nats-server", l.command)
	require.Eventually(l.t, l.listens, patience, 10*time.Millisecond, "nats-server is not ready")
}

// compaction takes most messages out of work queues, so that nats-server rewrites its files, one queue after another for a
// minute. Then it cuts the power. It returns the number of acknowledged messages that were lost without having been taken.
func compaction(t *testing.T, program string) (lost int) {
	l := newLone(t, program)
	const span, queues = 60 * time.Second, 5
	began, ages := time.Now(), make([]time.Duration, queues)
	for i := range queues {
		l.lasts(time.Until(began.Add(time.Duration(i) * span / (queues - 1))))
		testenv.WorkQueue(t, l.natsURL(), fmt.Sprintf("queue-%d", i))
		ages[i] = time.Since(began)
	}
	cut := time.Since(began)
	l.nats.signal(syscall.SIGSTOP)
	l.copyDisk()
	l.nats.kill()
	l.swapDisk()
	l.serve()
	for i := range queues {
		missing := testenv.MissingFromQueue(t, l.natsURL(), fmt.Sprintf("queue-%d", i))
		t.Logf("power cut %.0f s after a queue was rewritten: %d messages lost", (cut - ages[i]).Seconds(), missing)
		lost += missing
	}
	return lost
}

func TestLongF07APowerCutTakesNothingFromQueuesThatWereRewritten(t *testing.T) {
	require.Zero(t, compaction(t, ""))
}

// The control: if old releases lost nothing, the test above could not find a loss.
func TestLongF07APowerCutTakesWhatOldServersRewrote(t *testing.T) {
	for _, release := range before214_6 {
		t.Run(release, func(t *testing.T) {
			require.Positive(t, compaction(t, testenv.NATSRelease(t, release)), "this release is not the control that it was")
		})
	}
}

func TestLongF07ServersThatLoseWhatTheyRewriteAreRefused(t *testing.T) {
	for _, release := range before214_6 {
		t.Run(release, func(t *testing.T) {
			l := &lone{world: &world{t: t, dir: t.TempDir(), natsAt: freePort(t)}}
			l.command = []string{testenv.NATSRelease(t, release), "--config", testenv.NATSConfig(t, filepath.Join(l.dir, "nats"), l.natsAt, "1s")}
			l.serve()
			b, err := bus.Connect(t.Context(), bus.Options{URL: l.natsURL(), Name: "faults", Log: zap.NewNop()})
			require.NoError(t, err)
			defer b.Close()
			require.ErrorIs(t, b.Streams().Ensure(t.Context()), broker.ErrServerTooOld)
			require.ErrorContains(t, b.Ready(t.Context()), "upgrade it", "also where the server was new when the connection was made")
			require.Empty(t, directories(t, filepath.Join(l.dir, "nats", "jetstream", "$G", "streams")), "nothing was made")
		})
	}
}

func directories(t *testing.T, dir string) (names []string) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if !os.IsNotExist(err) {
		require.NoError(t, err)
	}
	for _, entry := range list {
		names = append(names, entry.Name())
	}
	return names
}
