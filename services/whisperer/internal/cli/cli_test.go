package cli_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/daemon"
	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/seal"
	"github.com/whisperer-oms/whisperer/pkg/testenv"
	subscriptionapi "github.com/whisperer-oms/whisperer/services/subscription-api"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/cli"
)

var update = flag.Bool("update", false, "write what the commands print into the scripts")

func TestMain(m *testing.M) {
	testscript.Main(shared{m}, map[string]func(){
		"whisperer": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			os.Exit(cli.Run(ctx, cli.Program{
				Name: "whisperer", Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Version: "v0.0.0-test",
			}))
		},
	})
}

// shared ends the database server that the tests shared.
type shared struct{ m *testing.M }

func (s shared) Run() int { return testenv.Main(s.m) }

// backend is a real API on a real database and NATS.
type backend struct {
	url      string
	health   string
	nats     string
	database string
	key      string
}

func startBackend(t *testing.T) backend {
	t.Helper()
	database, key := testenv.Postgres(t), seal.NewKey()
	nats := testenv.NATS(t)
	config, err := daemon.LoadConfig[subscriptionapi.Config]([]string{
		"WHISPERER_DATABASE_URL=" + database, "WHISPERER_NATS_URL=" + nats, "WHISPERER_MASTER_KEY=" + key,
		"WHISPERER_LISTEN=127.0.0.1:0", "WHISPERER_HEALTH_LISTEN=127.0.0.1:0",
	})
	require.NoError(t, err)
	api, err := subscriptionapi.New(t.Context(), config, "test", zap.NewNop())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	up := daemon.Component{Name: "up", Run: func(ctx context.Context, _ func()) error {
		close(ready)
		<-ctx.Done()
		return nil
	}}
	go func() { done <- daemon.Run(ctx, zap.NewNop(), append(api.Components(), up)...) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-done)
	})
	select {
	case <-ready:
	case err := <-done:
		require.NoError(t, err)
		t.Fatal("the API ended")
	}
	return backend{url: "http://" + api.Addr(), health: "http://" + api.HealthAddr(), nats: nats, database: database, key: key}
}

func TestScripts(t *testing.T) {
	t.Parallel()
	b := startBackend(t)
	testscript.Run(t, testscript.Params{
		Dir: "testdata", UpdateScripts: *update, RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			// Each script is a tenant of its own.
			tenant := strings.ToLower(filepath.Base(e.WorkDir))
			db, err := postgres.Open(b.database, 1, nil)
			if err != nil {
				return err
			}
			defer db.Close()
			if _, err := db.EnsureTenant(context.Background(), "test", tenant); err != nil {
				return err
			}
			for _, token := range []struct {
				variable string
				postgres.NewToken
			}{
				{"WHISPERER_TOKEN", postgres.NewToken{Name: "script", Tenant: tenant, Role: postgres.Admin}},
				{"VIEWER", postgres.NewToken{Name: "viewer", Tenant: tenant, Role: postgres.Viewer}},
			} {
				plain, _, err := db.CreateToken(context.Background(), "test", token.NewToken)
				if err != nil {
					return err
				}
				e.Setenv(token.variable, plain)
			}
			e.Setenv("WHISPERER_URL", b.url)
			e.Setenv("HEALTH", b.health)
			e.Setenv("NATS", b.nats)
			e.Setenv("DATABASE", b.database)
			e.Setenv("MASTER_KEY", b.key)
			e.Setenv("TENANT", tenant)
			e.Setenv("HOME", e.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"fails": fails, "plain": plain, "keep": keep},
	})
}

// fails CODE ARG... runs whisperer and wants the exit code.
func fails(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec("whisperer", args[1:]...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || strconv.Itoa(exit.ExitCode()) != args[0] {
		ts.Fatalf("want exit code %s, got %v", args[0], err)
	}
}

// plain FILE writes what was printed last to the file, with a word in place of what differs from run to run.
func plain(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	for _, r := range []struct{ what, with string }{
		{`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`, "<id>"},
		{`wsp_[A-Z2-7]+`, "<token>"},
		{`whsec_[A-Za-z0-9+/=]+`, "<secret>"},
		{`\d{4}-\d\d-\d\d[T ][0-9:.]+Z`, "<time>"},
		{regexp.QuoteMeta(ts.Getenv("TENANT")), "<tenant>"},
		{`127\.0\.0\.1:\d+`, "<address>"},
	} {
		text = regexp.MustCompile(r.what).ReplaceAllString(text, r.with)
	}
	ts.Check(os.WriteFile(ts.MkAbs("plain"), []byte(text), 0o600))
}

// keep NAME PATTERN puts what the pattern's group matched in standard output into a variable.
func keep(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("%s is not in standard output", fmt.Sprintf("%q", args[1]))
	}
	ts.Setenv(args[0], found[1])
}
