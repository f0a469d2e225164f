package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/cli"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/receiver"
)

var update = flag.Bool("update", false, "write what the commands print into the scripts")

func TestMain(m *testing.M) {
	testscript.Main(shared{m}, map[string]func(){
		"whisperer": func() {
			ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			os.Exit(cli.Run(ctx, cli.Program{
				Name: "whisperer", Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Version: "v0.0.0-test",
				Environ: os.Environ(),
			}))
		},
	})
}

// shared ends the database server that the tests shared.
type shared struct{ m *testing.M }

func (s shared) Run() int { return testenv.Main(s.m) }

// backend is a real `whisperer standalone`, in a process of its own.
type backend struct {
	url      string
	health   string
	nats     string
	database string
	// operator is its token, and key its master key.
	operator, key string
}

func startBackend(t *testing.T) backend {
	t.Helper()
	program, err := os.Executable() // this test binary acts as the program when it is called whisperer
	require.NoError(t, err)
	b := backend{database: testenv.Postgres(t), nats: testenv.NATS(t)}
	data := t.TempDir()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program)
	cmd.Args = []string{
		"whisperer", "standalone", "--data", data, "--any-port", "--no-demo", "--database-url", b.database, "--nats-url", b.nats,
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C for the tests must not reach it: the tests end it
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	said, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		require.NoError(t, cmd.Wait(), complaints.String())
	})
	lines := bufio.NewScanner(said)
	for b.health == "" && lines.Scan() {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(lines.Text()), "metrics"); ok {
			b.health = strings.TrimSuffix(strings.Fields(rest)[0], "/metrics")
		}
	}
	require.NotEmpty(t, b.health, "it did not start: %s", complaints.String())
	go func() { _, _ = io.Copy(io.Discard, said) }() // nobody reads later output
	for name, into := range map[string]*string{"url": &b.url, "token": &b.operator, "master.key": &b.key} {
		text, err := os.ReadFile(filepath.Join(data, name))
		require.NoError(t, err)
		*into = strings.TrimSpace(string(text))
	}
	return b
}

func TestScripts(t *testing.T) {
	t.Parallel()
	b := startBackend(t)
	server := httptest.NewServer(receiver.New(receiver.Options{
		Keys:   func(string) []signature.VerifyKey { return nil },
		Answer: receiver.Behaviour{Status: http.StatusOK}.Answer, Seen: func(*receiver.Received) {},
	}))
	t.Cleanup(server.Close) // after the scripts, which are parallel
	testscript.Run(t, testscript.Params{
		Dir: "testdata", UpdateScripts: *update, RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			// Each script has a tenant of its own.
			tenant := strings.ToLower(filepath.Base(e.WorkDir))
			db, err := store.Open(b.database, 1, nil)
			if err != nil {
				return err
			}
			defer db.Close()
			if _, err := db.Access.EnsureTenant(context.Background(), "test", tenant); err != nil {
				return err
			}
			for _, token := range []struct {
				variable string
				store.NewToken
			}{
				{"WHISPERER_TOKEN", store.NewToken{Name: "script", Tenant: tenant, Role: store.Admin}},
				{"VIEWER", store.NewToken{Name: "viewer", Tenant: tenant, Role: store.Viewer}},
			} {
				plain, _, err := db.Access.CreateToken(context.Background(), "test", token.NewToken)
				if err != nil {
					return err
				}
				e.Setenv(token.variable, plain)
			}
			e.Setenv("WHISPERER_URL", b.url)
			e.Setenv("RECEIVER", server.URL)
			e.Setenv("OPERATOR", b.operator)
			e.Setenv("HEALTH", b.health)
			e.Setenv("NATS", b.nats)
			e.Setenv("DATABASE", b.database)
			e.Setenv("MASTER_KEY", b.key)
			e.Setenv("TENANT", tenant)
			e.Setenv("HOME", e.WorkDir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"fails": fails, "plain": plain, "keep": keep, "until": until},
	})
}

// fails CODE ARG... runs whisperer and requires the exit code.
func fails(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec("whisperer", args[1:]...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || strconv.Itoa(exit.ExitCode()) != args[0] {
		ts.Fatalf("want exit code %s, got %v", args[0], err)
	}
}

// plain FILE writes the last output to the file, with what differs between runs replaced by words.
func plain(ts *testscript.TestScript, _ bool, args []string) {
	text := ts.ReadFile(args[0])
	for _, r := range []struct{ what, with string }{
		{`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`, "<id>"},
		{`wsp_[A-Z2-7]+`, "<token>"},
		{`whsec_[A-Za-z0-9+/=]+`, "<secret>"},
		{`\d{4}-\d\d-\d\d[T ][0-9:.]+Z`, "<time>"},
		{regexp.QuoteMeta(ts.Getenv("TENANT")), "<tenant>"},
		{`127\.0\.0\.1:\d+`, "<address>"},
		{`(\S)  +`, "$1  "}, // the width of columns depends on their content
		{`\b\d+(\.\d+)?(ms|µs|s)\b`, "<duration>"},
	} {
		text = regexp.MustCompile(r.what).ReplaceAllString(text, r.with)
	}
	ts.Check(os.WriteFile(ts.MkAbs("plain"), []byte(text), 0o600))
}

// keep NAME PATTERN sets a variable to what the pattern's group matches in the standard output.
func keep(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if len(found) != 2 {
		ts.Fatalf("%s is not in standard output", fmt.Sprintf("%q", args[1]))
	}
	ts.Setenv(args[0], found[1])
}

// until PATTERN ARG... runs whisperer repeatedly until its standard output matches.
func until(ts *testscript.TestScript, _ bool, args []string) {
	pattern := regexp.MustCompile("(?m)" + args[0])
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(2 * time.Minute); ; <-tick.C {
		err := ts.Exec("whisperer", args[1:]...)
		switch {
		case err == nil && pattern.MatchString(ts.ReadFile("stdout")):
			return
		case time.Now().After(end):
			ts.Fatalf("%q did not come: %v", args[0], err)
		}
	}
}
