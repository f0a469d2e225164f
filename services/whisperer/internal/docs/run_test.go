package docs_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/services/internal/freeport"
	"github.com/whisperer-oms/whisperer/services/internal/localpg"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/receiver"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/standalone"
)

// runnable maps the pages with blocks to run to the event types that must then arrive at RECEIVER.
func runnable() map[string][]string {
	return map[string][]string{
		"README.md":                      {"order.created", "order.cancelled"},
		"docs/quickstart-publishers.md":  {"order.created", "order.cancelled", "package.created", "package.status.packed"},
		"docs/quickstart-integrators.md": {"order.created"},
	}
}

const operators = "docs/quickstart-operators.md"

func TestEveryPageWithBlocksToRunIsRun(t *testing.T) {
	t.Parallel()
	for _, p := range pages(t) {
		if _, run := runnable()[p.path]; run || p.path == operators {
			require.NotEmpty(t, p.of("sh run"), p.path)
		} else {
			require.Empty(t, p.of("sh run"), "%s has blocks that no test runs", p.path)
		}
	}
}

func TestCommandsRunAsPrinted(t *testing.T) {
	t.Parallel()
	for path, wanted := range runnable() {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			// The folder of a user who has run `make run`.
			dir := folder(t)
			build(t, filepath.Join(dir, "bin"), "./services/whisperer/cmd/whisperer")
			startStandalone(t, filepath.Join(dir, ".whisperer"))
			target, got := startReceiver(t)
			env := []string{"RECEIVER=" + target + "/"}
			for _, name := range []string{"url", "token"} { // export WHISPERER_URL=$(cat .whisperer/url) …
				value, err := os.ReadFile(filepath.Join(dir, ".whisperer", name))
				require.NoError(t, err)
				env = append(env, "WHISPERER_"+strings.ToUpper(name)+"="+strings.TrimSpace(string(value)))
			}
			run(t, readPage(t, path), dir, env)
			require.Eventually(t, func() bool {
				return !slices.ContainsFunc(wanted, func(name string) bool { return !slices.Contains(got(), name) })
			}, time.Minute, 50*time.Millisecond, "published and not received, verified: got %v of %v", got(), wanted)
		})
	}
}

func TestTheProgramsRunAsOperatorsAreTold(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	build(t, filepath.Join(dir, "bin"), "./services/whisperer/cmd/whisperer", "./services/subscription-api/cmd/subscription-api",
		"./services/delivery-worker/cmd/delivery-worker")
	target, got := startReceiver(t)
	apiHealth, workerHealth, api := freeAddress(t), freeAddress(t), freeAddress(t)
	// Two changes for a shared machine: unusual ports, and permission to send to this machine.
	text := readPage(t, operators)
	text.text = strings.NewReplacer("127.0.0.1:9090", apiHealth, "127.0.0.1:9091", workerHealth, "127.0.0.1:8080", api,
		"subscription-api &", "WHISPERER_LISTEN="+api+" WHISPERER_HEALTH_LISTEN="+apiHealth+" subscription-api &",
		"delivery-worker &", "WHISPERER_HEALTH_LISTEN="+workerHealth+" delivery-worker &").Replace(text.text)
	run(t, text, dir, []string{
		"RECEIVER=" + target + "/", "WHISPERER_DATABASE_URL=" + testenv.EmptyPostgres(t), "WHISPERER_NATS_URL=" + testenv.NATS(t),
		"WHISPERER_EGRESS_ALLOW=127.0.0.0/8",
	})
	require.Contains(t, got(), "order.created")
}

// folder returns a new folder that PostgreSQL's user can enter.
func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for d := dir; d != os.TempDir() && d != "/"; d = filepath.Dir(d) {
		require.NoError(t, os.Chmod(d, 0o755)) // PostgreSQL's user must be able to pass through
	}
	return dir
}

func build(t *testing.T, to string, packages ...string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", append([]string{"build", "-o", to + "/"}, packages...)...)
	command.Dir = root
	out, err := command.CombinedOutput()
	require.NoError(t, err, string(out))
}

// moment stands for the time that a reader takes between two blocks. On a machine that is not busy, workers know a
// new hook within one second.
const moment = "\nsleep 6\n"

// run runs a page's blocks as one script in the folder, with bin/ on the path, and ends what the script left running.
func run(t *testing.T, p page, dir string, env []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute) // a page may wait for something that never comes
	defer cancel()
	// A reader would retry if a busy machine takes longer than the page expects.
	tries := strings.NewReplacer("in 1 2 3 4 5;", "in $(seq 60);", "in 1 2 3 4 5 6 7 8 9;", "in $(seq 60);", "$(seq 30)", "$(seq 120)")
	script := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", tries.Replace(strings.Join(p.of("sh run"), moment)))
	script.Dir = dir
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "WHISPERER_") && !strings.HasPrefix(v, "PATH=") {
			script.Env = append(script.Env, v)
		}
	}
	script.Env = append(script.Env, env...)
	script.Env = append(script.Env, "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"))
	output, err := os.Create(filepath.Join(dir, "output")) // a file, because reading a pipe would wait until the last program ends
	require.NoError(t, err)
	defer output.Close()
	script.Stdout, script.Stderr = output, output
	stop := startGroup(t, script)
	ended := script.Wait()
	stop() // ends what it left running
	printed, err := os.ReadFile(output.Name())
	require.NoError(t, err)
	require.NoError(t, ended, "%s printed:\n%s", p.path, printed)
	for _, expected := range p.of("text prints") {
		for line := range strings.Lines(expected) {
			require.Contains(t, string(printed), strings.TrimSpace(line), "%s printed something else", p.path)
		}
	}
}

// startGroup starts a command; stop ends it and everything that it has started.
func startGroup(t *testing.T, command *exec.Cmd) (stop func()) {
	t.Helper()
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, command.Start())
	return func() {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGTERM) // it may have ended already
		if command.ProcessState == nil {
			_ = command.Wait()
		}
	}
}

// startReceiver starts a receiver of webhooks that are signed with "secret"; got returns the types of those received.
func startReceiver(t *testing.T) (url string, got func() []string) {
	t.Helper()
	var mu sync.Mutex
	var types []string
	key, err := signature.ParseVerifyKey("secret")
	require.NoError(t, err)
	server := httptest.NewServer(receiver.New(receiver.Options{
		Keys:   func(string) []signature.VerifyKey { return []signature.VerifyKey{key} },
		Answer: receiver.Behaviour{Status: http.StatusOK}.Answer, Seen: func(r *receiver.Received) {
			mu.Lock()
			defer mu.Unlock()
			if r.Verdict == receiver.Verified {
				types = append(types, r.EventType)
			} else {
				types = append(types, fmt.Sprintf("%s (%s)", r.EventType, r.Verdict))
			}
		},
	}))
	t.Cleanup(server.Close)
	return server.URL, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(types)
	}
}

// startStandalone runs the system without its demo until the test ends.
func startStandalone(t *testing.T, data string) {
	t.Helper()
	o := standalone.Options{Data: data, AnyPort: true, Speed: 1, Out: &bytes.Buffer{}}
	if _, err := localpg.Find(t.Context()); err != nil {
		o.DatabaseURL = testenv.EmptyPostgres(t)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- standalone.Run(ctx, o) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	require.Eventually(t, func() bool {
		_, err := os.Stat(filepath.Join(data, "url"))
		return err == nil
	}, 3*time.Minute, 10*time.Millisecond)
}

func freeAddress(t *testing.T) string {
	t.Helper()
	port, err := freeport.Find(t.Context())
	require.NoError(t, err)
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
