package testenv

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// NATSRelease builds a release of nats-server, such as v2.12.15, from the module proxy into a temporary folder, and
// returns the path of the program.
func NATSRelease(tb testing.TB, version string) string {
	tb.Helper()
	dir := tb.TempDir()
	build := exec.CommandContext(tb.Context(), "go", "install", "github.com/nats-io/nats-server/v2@"+version)
	build.Env = append(os.Environ(), "GOBIN="+dir, "GOWORK=off", "GOFLAGS=-mod=mod")
	if out, err := build.CombinedOutput(); err != nil {
		tb.Fatalf("build nats-server %s: %v\n%s", version, err, out)
	}
	return filepath.Join(dir, "nats-server")
}

// NATSConfig writes a configuration for any release of nats-server: a store in the folder, a port on loopback only,
// and how often to sync, such as always.
func NATSConfig(tb testing.TB, store string, port int, sync string) (path string) {
	tb.Helper()
	path = filepath.Join(tb.TempDir(), "nats.conf")
	text := fmt.Sprintf("listen: \"127.0.0.1:%d\"\nmax_payload: 8MB\njetstream { store_dir: %q, max_file_store: 4GB, sync_interval: %s }\n", port, store, sync)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
	return path
}
