package localpg_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/localpg"
)

// ownerVariable makes the test binary a program that owns a server on the named folder, and that a test kills.
const ownerVariable = "LOCALPG_TEST_OWNER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(ownerVariable); dir != "" {
		os.Exit(own(dir))
	}
	os.Exit(m.Run())
}

func own(dir string) int {
	server, err := localpg.Start(context.Background(), localpg.Options{DataDir: dir, FallbackDir: filepath.Dir(dir)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Fprintln(os.Stdout, server.Dir())
	<-server.Done()
	return 0
}

// openDir returns a new folder that the server's user can enter. For root, t.TempDir() is not one.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "localpg-test-") //nolint:usetesting // only root can enter t.TempDir() of root
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	require.NoError(t, os.Chmod(dir, 0o755))
	return dir
}

func start(t *testing.T, o localpg.Options) *localpg.Server {
	t.Helper()
	server, err := localpg.Start(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop(context.Background())) })
	return server
}

func serverPID(t *testing.T, dir string) int {
	t.Helper()
	state, err := os.ReadFile(filepath.Join(dir, "postmaster.pid"))
	require.NoError(t, err)
	first, _, _ := strings.Cut(string(state), "\n")
	pid, err := strconv.Atoi(first)
	require.NoError(t, err)
	return pid
}

func TestThrowAwayClusterServesItsSocketAndLeavesNothing(t *testing.T) {
	t.Parallel()
	server := start(t, localpg.Options{})

	require.Equal(t, []string{"off"}, connect(t, "unix", server.Socket()).query("SHOW fsync"))
	u, err := url.Parse(server.URL("some db"))
	require.NoError(t, err)
	require.Equal(t, "/some db", u.Path)
	require.Equal(t, filepath.Dir(server.Socket()), u.Query().Get("host"))
	require.Nil(t, u.User, "the socket asks for no password")
	require.False(t, server.Relocated())
	require.NoError(t, server.Err())

	require.NoError(t, server.Stop(t.Context()))
	<-server.Done()
	require.NoError(t, server.Err(), "an end that was asked for is no error")
	require.NoDirExists(t, filepath.Dir(server.Socket()))
	require.NoDirExists(t, server.Dir())
}

func TestThrowAwayClustersRunSideBySide(t *testing.T) {
	t.Parallel()
	servers := make(chan error, 4)
	for range cap(servers) {
		go func() {
			server, err := localpg.Start(t.Context(), localpg.Options{TCP: true})
			if err == nil {
				err = server.Stop(t.Context())
			}
			servers <- err
		}()
	}
	for range cap(servers) {
		require.NoError(t, <-servers)
	}
}

func TestTCPAsksForThePasswordInTheURL(t *testing.T) {
	t.Parallel()
	server := start(t, localpg.Options{TCP: true})

	u, err := url.Parse(server.URL("postgres"))
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1", u.Hostname())
	password, _ := u.User.Password()
	require.NotEmpty(t, password)
	const sasl = 10 // the authentication request for SCRAM
	require.Equal(t, sasl, connect(t, "tcp", u.Host).authentication)
}

func TestKeptClusterContinues(t *testing.T) {
	t.Parallel()
	options := localpg.Options{DataDir: filepath.Join(openDir(t), "pg"), TCP: true, Settings: map[string]string{"work_mem": "5MB"}}
	first := start(t, options)
	session := connect(t, "unix", first.Socket())
	require.Equal(t, []string{"on"}, session.query("SHOW fsync"))
	require.Equal(t, []string{"5MB"}, session.query("SHOW work_mem"))
	session.query("CREATE TABLE kept AS SELECT 61 AS n")
	_, err := localpg.Start(t.Context(), options)
	require.ErrorIs(t, err, localpg.ErrInUse)
	require.NoError(t, first.Stop(t.Context()))

	second := start(t, options)
	require.Equal(t, []string{"61"}, connect(t, "unix", second.Socket()).query("SELECT n FROM kept"))
	before, err := url.Parse(first.URL("postgres"))
	require.NoError(t, err)
	after, err := url.Parse(second.URL("postgres"))
	require.NoError(t, err)
	require.Equal(t, before.User, after.User, "the password is kept too")
}

func TestServerEndsWithItsKilledOwner(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(openDir(t), "pg")
	owner := exec.CommandContext(t.Context(), os.Args[0])
	owner.Env = append(os.Environ(), ownerVariable+"="+dir)
	owner.Stderr = os.Stderr
	out, err := owner.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, owner.Start())
	cluster, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	pid := serverPID(t, strings.TrimSpace(cluster))
	require.NoError(t, owner.Process.Kill())
	require.Error(t, owner.Wait())

	// Start at once, while the old server may still be shutting down.
	next := start(t, localpg.Options{DataDir: dir, FallbackDir: filepath.Dir(dir)})
	require.NotEqual(t, pid, serverPID(t, next.Dir()))
	require.Equal(t, []string{"1"}, connect(t, "unix", next.Socket()).query("SELECT 1"))
	require.Eventually(t, func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }, time.Minute, 5*time.Millisecond)
}

func TestEndByItselfIsReported(t *testing.T) {
	t.Parallel()
	server := start(t, localpg.Options{})
	require.NoError(t, syscall.Kill(serverPID(t, server.Dir()), syscall.SIGQUIT))
	<-server.Done()
	require.ErrorContains(t, server.Err(), "ended by itself")
	require.ErrorContains(t, server.Err(), "immediate shutdown", "the server's last words are in it")
}

func TestUnreachableDataFolderIsReplaced(t *testing.T) {
	t.Parallel()
	closed := t.TempDir()
	require.NoError(t, os.Chmod(closed, 0o700))
	options := localpg.Options{DataDir: filepath.Join(closed, "pg"), FallbackDir: openDir(t)}
	root := os.Geteuid() == 0 // other users run the server as themselves, and can enter their own folders

	first := start(t, options)
	require.Equal(t, root, first.Relocated())
	connect(t, "unix", first.Socket()).query("CREATE TABLE kept AS SELECT 61 AS n")
	require.NoError(t, first.Stop(t.Context()))
	if root {
		require.True(t, strings.HasPrefix(first.Dir(), options.FallbackDir), first.Dir())
		note, err := os.ReadFile(filepath.Join(options.DataDir, "POSTGRES-DATA-IS-ELSEWHERE.txt"))
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(note), filepath.Dir(first.Dir())+"\n"), string(note))
	}

	second := start(t, options)
	require.Equal(t, first.Dir(), second.Dir())
	require.Equal(t, []string{"61"}, connect(t, "unix", second.Socket()).query("SELECT n FROM kept"))
	require.NoError(t, second.Stop(t.Context()))

	require.NoError(t, os.RemoveAll(options.DataDir))
	third := start(t, options)
	require.Contains(t, connect(t, "unix", third.Socket()).query("SELECT n FROM kept")[0], "does not exist",
		"an emptied data folder begins anew")
	if root {
		require.NoDirExists(t, filepath.Dir(first.Dir()), "a cluster whose temporary data folder was removed is swept")
	}
}

func TestStartErrorsSayWhatToDo(t *testing.T) {
	t.Parallel()
	folder := func(t *testing.T, name, content string) string {
		dir := openDir(t)
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
		return dir
	}
	tests := map[string]struct {
		options func(t *testing.T) localpg.Options
		want    string
	}{
		"a cluster of another version names that version": {
			func(t *testing.T) localpg.Options {
				return localpg.Options{DataDir: folder(t, "cluster/PG_VERSION", "9\n")}
			}, "was made by PostgreSQL 9",
		},
		"a note to a folder that is gone names it": {
			func(t *testing.T) localpg.Options {
				return localpg.Options{DataDir: folder(t, "POSTGRES-DATA-IS-ELSEWHERE.txt", "/nowhere/pg\n")}
			}, `"/nowhere/pg"`,
		},
		"a folder without binaries is named": {
			func(*testing.T) localpg.Options { return localpg.Options{BinDir: "/nowhere"} }, "/nowhere/postgres",
		},
		"a setting that the server refuses is in its last words": {
			func(*testing.T) localpg.Options {
				return localpg.Options{Settings: map[string]string{"no_such_setting": "1"}}
			}, "no_such_setting",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := localpg.Start(t.Context(), test.options(t))
			require.ErrorContains(t, err, test.want)
		})
	}
}

func TestStartObeysItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := localpg.Start(ctx, localpg.Options{})
	require.ErrorIs(t, err, context.Canceled)
}

func TestFindTakesTheVariableAtItsWord(t *testing.T) {
	t.Setenv(localpg.BinDirVariable, t.TempDir())
	_, err := localpg.Find(t.Context())
	require.ErrorContains(t, err, localpg.BinDirVariable)
	require.NotErrorIs(t, err, localpg.ErrNoBinaries)
}
