package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

// buildAt builds the programs at a commit, and returns their folder.
func buildAt(t *testing.T, commit string) string {
	t.Helper()
	if err := exec.CommandContext(t.Context(), "git", "-C", root, "cat-file", "-e", commit+"^{commit}").Run(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("commit %s is not in this copy of the repository: fetch all of its history", commit)
		}
		t.Skipf("commit %s is not in this copy of the repository: fetch all of its history", commit)
	}
	source, out := t.TempDir(), t.TempDir()
	archive := exec.CommandContext(t.Context(), "sh", "-c", `git -C "$1" archive "$2" | tar -x -C "$3"`, "sh", root, commit, source)
	text, err := archive.CombinedOutput()
	require.NoError(t, err, string(text))
	// trimmed paths, so that the build cache can be used
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out+"/", "./services/subscription-api/cmd/subscription-api",
		"./services/delivery-worker/cmd/delivery-worker", "./services/whisperer/cmd/whisperer")
	build.Dir, build.Env = source, append(os.Environ(), "CGO_ENABLED=0")
	text, err = build.CombinedOutput()
	require.NoError(t, err, string(text))
	return out
}

// migrateWith migrates the database with the program of a folder.
func (s *system) migrateWith(folder string) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), filepath.Join(folder, "whisperer"), "migrate", "up")
	cmd.Env = s.env
	text, err := cmd.CombinedOutput()
	require.NoError(s.t, err, string(text))
}

// Workers of this release drain what releases before the parked queue parked, while both run side by side, including
// what the old ones continue to park.
func TestWhatOlderWorkersParkedIsDrainedInARollingUpgrade(t *testing.T) {
	t.Parallel()
	for _, commit := range []string{"380d9d8", "601315f"} {
		t.Run(commit, func(t *testing.T) {
			t.Parallel()
			upgrade(t, buildAt(t, commit))
		})
	}
}

// newOldSystem starts the API of a folder's programs, on a database that they have migrated.
func newOldSystem(t *testing.T, old string) *system {
	t.Helper()
	database, key := testenv.EmptyPostgres(t), seal.NewKey()
	ring, err := seal.ParseRing(key)
	require.NoError(t, err)
	s := &system{t: t, masterKey: key, receiver: testenv.NewReceiver(t), release: old}
	nats := testenv.NATS(t)
	s.env = append(os.Environ(), "WHISPERER_DATABASE_URL="+database, "WHISPERER_NATS_URL="+nats, "WHISPERER_MASTER_KEY="+key,
		"WHISPERER_EGRESS_ALLOW=127.0.0.0/8", "WHISPERER_HOUSEKEEP_EVERY=2s")
	s.migrateWith(old)
	s.db, err = store.Open(database, 4, ring)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.db.Close() })
	cmd := exec.CommandContext(t.Context(), filepath.Join(old, "whisperer"), "token", "create", "test", "--role", "admin") // their table is an older one
	cmd.Env = s.env
	said, err := cmd.Output()
	require.NoError(t, err)
	s.token = regexp.MustCompile(`wsp_\w+`).FindString(string(said))
	require.NotEmpty(t, s.token, "%s", said)
	s.bus, err = bus.Connect(t.Context(), bus.Options{URL: nats, Name: "test", Log: zap.NewNop()})
	require.NoError(t, err)
	t.Cleanup(s.bus.Close)
	s.startAPI()
	return s
}

func upgrade(t *testing.T, old string) {
	s := newOldSystem(t, old)
	first, second := s.start("delivery-worker"), s.start("delivery-worker")

	paths := map[string]string{
		"/ordered": `{"ordering":"hook"}`, "/entity": `{"ordering":"entity"}`, "/free": `{"concurrency":2}`, "/waiting": `{"ordering":"hook"}`,
		"/rated": `{"rate_limit":{"limit":100,"period":1}}`, "/hanging": `{"concurrency":1}`,
	}
	s.receiver.Delay(5 * time.Millisecond)
	var away atomic.Bool
	away.Store(true)
	s.receiver.React(func(q testenv.Received) testenv.Answer {
		if q.Path == "/waiting" && away.Load() {
			return testenv.Answer{Status: http.StatusServiceUnavailable}
		}
		return testenv.Answer{Status: http.StatusOK}
	})
	ids := map[string]string{}
	for path, config := range paths {
		ids[path] = s.hook(fmt.Sprintf(`{"event_type":"order.>","target_url":"%s%s","secret_key":"%s","config":%s,
			"retry_countdown_config":{"choice":"fixed","kwargs":{"seconds":4}}}`, s.receiver.URL, path, secret, config))
	}
	pausing := func(action string) {
		for path, id := range ids {
			if path != "/waiting" {
				s.ask(http.MethodPost, "/whisperer/hooks/"+id+"/"+action+"/", "")
			}
		}
	}
	pausing("pause")
	<-time.After(5 * time.Second) // obeyed within 1 s, on a machine that is not busy
	n := 0
	publish := func(more int) {
		for range more {
			n++
			require.NoError(t, s.publish(t.Context(), fmt.Sprintf(`{"event_id":"e-%04d","entity":"order:%d","data":1}`, n, n%5)))
		}
	}
	publish(150)
	last := map[string]webhook.DeliveryState{fmt.Sprintf("e-%04d", n): webhook.Parked}
	for _, id := range ids { // one of them waits for a retry of its first event
		s.awaitRecorded(id, last, 0)
	}

	s.migrateWith(binaries)
	publish(50)
	s.release = ""
	s.start("delivery-worker")
	publish(50)
	away.Store(false)
	pausing("resume")
	publish(50)
	first.stop(t)
	s.start("delivery-worker")
	publish(50)
	second.stop(t)
	publish(20)

	want := map[string]webhook.DeliveryState{}
	for i := range n {
		want[fmt.Sprintf("e-%04d", i+1)] = webhook.Delivered
	}
	for _, id := range ids {
		s.awaitRecorded(id, want, 0)
	}
	got := s.receiver.All()
	t.Logf("%d came twice", extras(t, slices.DeleteFunc(slices.Clone(got), func(r testenv.Received) bool { return r.Path == "/waiting" })))
	for _, path := range []string{"/ordered", "/waiting"} {
		before := ""
		for _, r := range got {
			if r.Path != path {
				continue
			}
			if strings.Compare(eventID(r), before) > 0 {
				if before != "" {
					require.Equal(t, after(before), eventID(r), "%s is out of order", path)
				}
				before = eventID(r)
			}
		}
		require.Equal(t, fmt.Sprintf("e-%04d", n), before)
	}
	count, err := s.db.Queue.Count(t.Context(), 10)
	require.NoError(t, err)
	require.Zero(t, count.N)
}

// after returns the id that follows id.
func after(id string) string {
	var n int
	_, _ = fmt.Sscanf(id, "e-%d", &n)
	return fmt.Sprintf("e-%04d", n+1)
}
