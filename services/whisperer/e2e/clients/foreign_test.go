package clients_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience bounds a foreign program on a busy machine.
const patience = 5 * time.Minute

// node is a folder with the programs of testdata/npm and the packages that they need.
type node struct {
	t   *testing.T
	dir string
}

// newNode installs the packages unless that was done before. On a machine without npm it skips the test, unless CI is
// true.
func newNode(t *testing.T) *node {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("npm is missing: make deps gets it")
		}
		t.Skip("npm is missing: make deps gets it")
	}
	n := &node{t: t, dir: t.TempDir()}
	require.NoError(t, os.CopyFS(n.dir, os.DirFS("testdata/npm")))
	require.NoError(t, os.Symlink(packages(t), filepath.Join(n.dir, "node_modules")))
	return n
}

// packages returns a folder with the packages of the lock file. It is kept for later runs, by the hash of the lock
// file.
func packages(t *testing.T) string {
	t.Helper()
	lock, err := os.ReadFile("testdata/npm/package-lock.json")
	require.NoError(t, err)
	sum := sha256.Sum256(lock)
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	cache = filepath.Join(cache, "whisperer-test")
	kept := filepath.Join(cache, "npm-"+hex.EncodeToString(sum[:8]))
	modules := filepath.Join(kept, "node_modules")
	if _, err := os.Stat(modules); err == nil {
		return modules
	}
	require.NoError(t, os.MkdirAll(cache, 0o755))
	fresh, err := os.MkdirTemp(cache, "installing-") //nolint:usetesting // on the file system that it is moved within
	require.NoError(t, err)
	defer os.RemoveAll(fresh)
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile("testdata/npm/" + name)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(fresh, name), text, 0o644))
	}
	// Packages must not run anything during installation.
	run(t, fresh, nil, nil, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	if err := os.Rename(fresh, kept); err != nil { // another run was faster
		_, err = os.Stat(modules)
		require.NoError(t, err)
	}
	return modules
}

// run runs a program of a package.
func (n *node) run(env []string, stdin []byte, name string, args ...string) string {
	n.t.Helper()
	return run(n.t, n.dir, env, stdin, filepath.Join("node_modules", ".bin", name), args...)
}

// node runs a compiled program of testdata/npm.
func (n *node) node(t *testing.T, env []string, stdin []byte, program string, args ...string) string {
	t.Helper()
	return run(t, n.dir, env, stdin, "node", append([]string{filepath.Join("out", program)}, args...)...)
}

func (n *node) read(name string) string {
	n.t.Helper()
	text, err := os.ReadFile(filepath.Join(n.dir, name))
	require.NoError(n.t, err)
	return string(text)
}

func (n *node) write(name string, content []byte) {
	n.t.Helper()
	require.NoError(n.t, os.WriteFile(filepath.Join(n.dir, name), content, 0o644))
}

// goProgram generates the client of testdata/go from the document and runs the program.
func goProgram(t *testing.T, document string, env []string, stdin []byte) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/go")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "openapi.json"), []byte(document), 0o644))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "whisperer"), 0o755))
	env = append(env, "GOWORK=off", "GOFLAGS=-mod=readonly")
	run(t, dir, env, nil, "go", "tool", "oapi-codegen", "-config", "oapi-codegen.yaml", "openapi.json")
	run(t, dir, env, nil, "go", "vet", "./...")
	return run(t, dir, env, stdin, "go", "run", ".")
}

// run runs a command in the folder and returns what it printed.
func run(t *testing.T, dir string, env []string, stdin []byte, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(stdin)
	// The programs must not send telemetry.
	cmd.Env = append(append(os.Environ(), "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true", "DO_NOT_TRACK=1", "NO_COLOR=1"), env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %q:\n%s", name, args, out)
	return string(out)
}
