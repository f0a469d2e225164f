// Package e2e_test starts the real programs, on a real Postgres and a real nats-server, and tests them from outside.
package e2e_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/freeport"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

const (
	root   = "../../.." // of the repository
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// binaries is the folder with the built programs.
var binaries string

// sideBySide is the minimum number of parallel tests unless -parallel is given: they mostly wait for programs.
const sideBySide = 4

func TestMain(m *testing.M) {
	if runtime.GOMAXPROCS(0) < sideBySide {
		if err := flag.Set("test.parallel", strconv.Itoa(sideBySide)); err != nil {
			panic(err)
		}
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "whisperer-e2e-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		binaries = dir
		build := exec.CommandContext(context.Background(), "go", "build", "-o", dir+"/", "./services/subscription-api/cmd/subscription-api", "./services/delivery-worker/cmd/delivery-worker",
			"./services/whisperer/cmd/whisperer")
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build the programs: %v\n%s", err, out)
			return 1
		}
		return testenv.Main(m)
	}())
}

// system is what the programs of one test share.
type system struct {
	t     *testing.T
	env   []string
	db    *store.DB
	bus   *bus.Bus
	token string
	// masterKey seals secrets.
	masterKey string
	api       string
	// release is the folder of another release's programs; empty for the current ones.
	release string
	// server is the API.
	server   *program
	receiver *testenv.Receiver
}

func newSystem(t *testing.T) *system {
	t.Helper()
	return newSystemOn(t, testenv.Postgres(t), testenv.NATS(t))
}

// newSystemOn starts the API on a migrated database and a NATS, with additional environment variables.
func newSystemOn(t *testing.T, database, nats string, env ...string) *system {
	t.Helper()
	key := seal.NewKey()
	ring, err := seal.ParseRing(key)
	require.NoError(t, err)
	s := &system{t: t, masterKey: key, receiver: testenv.NewReceiver(t)}
	s.db, err = store.Open(database, 4, ring)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.db.Close() })
	s.token, _, err = s.db.Access.CreateToken(t.Context(), "test", store.NewToken{Name: "test", Role: store.Admin})
	require.NoError(t, err)
	s.bus = testenv.Connect(t, nats)
	s.env = append(os.Environ(), "WHISPERER_DATABASE_URL="+database, "WHISPERER_NATS_URL="+nats, "WHISPERER_MASTER_KEY="+key,
		"WHISPERER_EGRESS_ALLOW=127.0.0.0/8")
	address := freeAddress(t)
	s.api = "http://" + address
	s.server = s.start("subscription-api", append(env, "WHISPERER_LISTEN="+address)...)
	return s
}

// program is a running process of ours.
type program struct {
	name, health string
	// log is its output, to be read after its end.
	log   bytes.Buffer
	cmd   *exec.Cmd
	ended chan struct{}
	err   error
}

// start runs a program until the end of the test and returns when it is ready.
func (s *system) start(name string, env ...string) *program {
	s.t.Helper()
	health := freeAddress(s.t)
	cmd := exec.CommandContext(context.WithoutCancel(s.t.Context()), filepath.Join(cmp.Or(s.release, binaries), name))
	cmd.Env = append(append(slices.Clip(s.env), env...), "WHISPERER_HEALTH_LISTEN="+health)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p := &program{name: name, health: health, cmd: cmd, ended: make(chan struct{})}
	cmd.Stderr = &p.log
	started := make(chan error, 1)
	go func() { // the death signal is bound to the thread that starts the process
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
		close(p.ended)
	}()
	require.NoError(s.t, <-started)
	s.t.Cleanup(func() {
		p.signal(syscall.SIGTERM)
		<-p.ended
		if s.t.Failed() {
			s.t.Logf("%s %d said:\n%s", name, cmd.Process.Pid, p.log.String())
		}
	})
	require.Eventually(s.t, func() bool {
		res, err := http.Get("http://" + health + "/readyz") //nolint:noctx // a test's question to a program of ours
		if err != nil {
			return false
		}
		defer res.Body.Close()
		return res.StatusCode == http.StatusOK
	}, 2*time.Minute, 10*time.Millisecond, "%s is not ready", name)
	return p
}

func (p *program) signal(sig os.Signal) { _ = p.cmd.Process.Signal(sig) } // it may have ended

// stop shuts the program down.
func (p *program) stop(t *testing.T) {
	t.Helper()
	p.signal(syscall.SIGTERM)
	<-p.ended
	require.NoError(t, p.err, "exit code of a program that was asked to stop")
}

func freeAddress(t *testing.T) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(freePort(t)))
}

func freePort(t *testing.T) int {
	t.Helper()
	port, err := freeport.Find(t.Context())
	require.NoError(t, err)
	return port
}

// hook creates a hook through the API and returns its id.
func (s *system) hook(body string) string {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, s.api+"/whisperer/hooks/", bytes.NewReader([]byte(body)))
	require.NoError(s.t, err)
	req.Header.Set("Authorization", "Token "+s.token)
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{Timeout: time.Minute}
	res, err := client.Do(req)
	require.NoError(s.t, err)
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusCreated, res.StatusCode, string(answer))
	var made struct {
		ID string `json:"id"`
	}
	require.NoError(s.t, json.Unmarshal(answer, &made))
	return made.ID
}

// publish publishes an event and returns when JetStream has stored it.
func (s *system) publish(ctx context.Context, body string) error {
	return s.bus.PublishEvents(ctx, []bus.Outgoing{{Tenant: webhook.DefaultTenant, Type: "order.created", Body: []byte(body)}})
}

// eventID returns the id of the event that the request delivers.
func eventID(q testenv.Received) string { return q.Header.Get("X-Whisperer-Event-Id") }

// requireSigned fails the test if the request is not signed with the hooks' secret.
func requireSigned(t *testing.T, q testenv.Received) {
	t.Helper()
	key, err := signature.ParseVerifyKey(secret)
	require.NoError(t, err)
	require.NoError(t, signature.Verify(q.Header, []byte(q.Body), []signature.VerifyKey{key}, q.At, signature.DefaultTolerance))
}
