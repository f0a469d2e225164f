package testenv_test

import (
	"database/sql"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/whisperer-oms/whisperer/services/internal/natsd"
	"github.com/whisperer-oms/whisperer/services/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }

func open(t *testing.T, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("postgres", url)
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

func TestPostgresIsMigratedAndEachTestsOwn(t *testing.T) {
	t.Parallel()
	first, second := testenv.Postgres(t), testenv.Postgres(t)
	require.NotEqual(t, first, second)

	_, err := open(t, first).ExecContext(t.Context(), `CREATE TABLE mine ()`)
	require.NoError(t, err)
	var mine, hooks bool
	err = open(t, second).QueryRowContext(t.Context(), `SELECT to_regclass('mine') IS NOT NULL, to_regclass('hooks') IS NOT NULL`).
		Scan(&mine, &hooks)
	require.NoError(t, err)
	require.False(t, mine, "another test's table")
	require.True(t, hooks, "the schema")
}

func TestEmptyPostgresHasNoTables(t *testing.T) {
	t.Parallel()
	var tables int
	err := open(t, testenv.EmptyPostgres(t)).QueryRowContext(t.Context(), `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`).
		Scan(&tables)
	require.NoError(t, err)
	require.Zero(t, tables)
}

func TestPostgresIsDroppedAtTheEndOfTheTest(t *testing.T) {
	t.Parallel()
	var name string
	t.Run("user", func(t *testing.T) {
		u, err := url.Parse(testenv.EmptyPostgres(t))
		require.NoError(t, err)
		name = u.Path[1:]
		require.NoError(t, open(t, u.String()).PingContext(t.Context()))
	})
	var there bool
	err := open(t, testenv.EmptyPostgres(t)).
		QueryRowContext(t.Context(), `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&there)
	require.NoError(t, err)
	require.False(t, there)
}

// streams returns how many streams a server has, and adds one.
func streams(t *testing.T, url string) int {
	t.Helper()
	conn, err := nats.Connect(url)
	require.NoError(t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	require.NoError(t, err)
	account, err := js.AccountInfo(t.Context())
	require.NoError(t, err)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OMS", Subjects: []string{"oms.>"}, AllowMsgSchedules: true})
	require.NoError(t, err)
	return account.Streams
}

func TestNATSIsEmptyForEachTest(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"one", "two"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Zero(t, streams(t, testenv.NATS(t)))
		})
	}
}

func TestNATSGivenByURLIsEmptiedForEachTest(t *testing.T) {
	server, err := natsd.Start(t.Context(), natsd.Options{StoreDir: filepath.Join(t.TempDir(), "nats"), Port: natsd.RandomPort})
	require.NoError(t, err)
	defer func() { require.NoError(t, server.Shutdown(t.Context())) }()
	t.Setenv("TMPDIR", t.TempDir()) // where the lock is
	t.Setenv("WHISPERER_TEST_ENV", "url")
	t.Setenv("WHISPERER_TEST_NATS_URL", server.ClientURL())
	t.Run("tests", func(t *testing.T) {
		for _, name := range []string{"one", "two", "three"} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				url := testenv.NATS(t)
				require.Equal(t, server.ClientURL(), url)
				require.Zero(t, streams(t, url))
			})
		}
	})
}

// failing is a test that records how it failed.
type failing struct {
	testing.TB
	words string
}

func (f *failing) Fatalf(format string, args ...any) {
	f.words = fmt.Sprintf(format, args...)
	panic(f)
}

func TestMissingServiceFailsTheTest(t *testing.T) {
	tests := map[string]struct{ environment, address, want string }{
		"an unknown source":       {"cloud", "", "none of url, docker, local"},
		"a URL that is not given": {"url", "", "WHISPERER_TEST_NATS_URL is not set"},
		"a URL nobody answers at": {"", "nats://" + closedAddress(t), "no servers available"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("TMPDIR", t.TempDir()) // where the lock is
			t.Setenv("WHISPERER_TEST_ENV", test.environment)
			t.Setenv("WHISPERER_TEST_NATS_URL", test.address)
			f := &failing{TB: t}
			require.Panics(t, func() { testenv.NATS(f) })
			require.Contains(t, f.words, test.want)
		})
	}
}

// closedAddress returns an address that was free a moment ago.
func closedAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	return listener.Addr().String()
}
