package testenv

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/migrations"
	"github.com/whisperer-oms/whisperer/services/internal/localpg"
	"github.com/whisperer-oms/whisperer/services/internal/store" // also registers the driver "postgres" of database/sql
)

const (
	databaseVariable = "WHISPERER_TEST_DATABASE_URL"
	// templateLock is the advisory lock for creating the template database: several test binaries may do so at once
	// on a server given by URL. The number is arbitrary.
	templateLock = 7_220_461
	// cleanupTimeout bounds the cleanup after a test.
	cleanupTimeout = 2 * time.Minute
)

// Postgres returns the URL of a database with the newest schema, which belongs to the test and is dropped at its end.
// It is a copy of a migrated template, which takes some 20 ms.
func Postgres(tb testing.TB) string {
	tb.Helper()
	return database(tb, func(ctx context.Context, s *server) (string, error) { return s.migrated(ctx) })
}

// EmptyPostgres returns the URL of an empty database that belongs to the test and is dropped at its end.
func EmptyPostgres(tb testing.TB) string {
	tb.Helper()
	return database(tb, func(context.Context, *server) (string, error) { return "template0", nil })
}

// DB returns an empty database that belongs to the test and is dropped at its end, opened with database/sql alone.
func DB(tb testing.TB) *sql.DB {
	tb.Helper()
	db, err := sql.Open("postgres", EmptyPostgres(tb))
	if err != nil {
		tb.Fatalf("open database of the test: %v", err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

func database(tb testing.TB, template func(context.Context, *server) (string, error)) string {
	tb.Helper()
	s, err := shared.get(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	source, err := template(tb.Context(), s)
	if err != nil {
		tb.Fatal(err)
	}
	name := "whisperer_test_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	if err := s.create(tb.Context(), name, source); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
		defer cancel()
		if _, err := s.admin.ExecContext(ctx, `DROP DATABASE IF EXISTS `+name+` WITH (FORCE)`); err != nil {
			tb.Errorf("drop database of the test: %v", err)
		}
	})
	return s.url(name)
}

// pool holds the test binary's only server, started by the first test that needs it.
type pool struct {
	mu     sync.Mutex
	server *server
	err    error // kept, so that not every test waits for a missing server
}

//nolint:gochecknoglobals // a test binary has one server, and a testing.TB leads to no place to keep it
var shared pool

func (p *pool) get(ctx context.Context) (*server, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server == nil && p.err == nil {
		// The server outlives the test that happens to be the first.
		p.server, p.err = openServer(context.WithoutCancel(ctx))
	}
	return p.server, p.err
}

func (p *pool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanupTimeout)
	defer cancel()
	s := p.server
	p.server, p.err = nil, errors.New("tests are over")
	return errors.Join(s.admin.Close(), s.stop(ctx))
}

// server is a PostgreSQL server that can create databases.
type server struct {
	admin *sql.DB
	url   func(database string) string
	// strategy is how databases are copied. Copying files is fastest if nothing is synced to disk.
	strategy string
	stop     func(context.Context) error

	mu       sync.Mutex
	template string
}

func openServer(ctx context.Context) (*server, error) {
	allowed, err := sources(databaseVariable, fromDocker, fromLocal)
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL for the tests: %w", err)
	}
	open := map[source]func(context.Context) (*server, error){
		fromURL: postgresFromURL, fromDocker: postgresFromDocker, fromLocal: postgresFromMachine,
	}
	var failures []error
	for _, from := range allowed {
		s, err := open[from](ctx)
		if err == nil {
			return s, nil
		}
		failures = append(failures, fmt.Errorf("%s: %w", from, err))
	}
	return nil, fmt.Errorf("no PostgreSQL for the tests; set WHISPERER_TEST_DATABASE_URL, start Docker or install it:\n%w", errors.Join(failures...))
}

func postgresFromURL(ctx context.Context) (*server, error) {
	given, err := required(databaseVariable)
	if err != nil {
		return nil, err
	}
	if _, err := url.Parse(given); err != nil {
		return nil, errors.New(databaseVariable + " is no URL")
	}
	return connect(ctx, &server{
		url:  func(database string) string { return withDatabase(given, database) },
		stop: func(context.Context) error { return nil },
	}, given)
}

func postgresFromMachine(ctx context.Context) (*server, error) {
	s, err := localpg.Start(ctx, localpg.Options{})
	if err != nil {
		return nil, err
	}
	return connect(ctx, &server{url: s.URL, stop: s.Stop, strategy: fileCopy}, s.URL("postgres"))
}

// fileCopy selects copying files in PostgreSQL 15 and newer; older versions always do that.
const fileCopy = " STRATEGY FILE_COPY"

// connect opens the server's administrative connection pool, and stops the server if that fails.
func connect(ctx context.Context, s *server, adminURL string) (*server, error) {
	admin, err := sql.Open("postgres", adminURL)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database: %w", err), s.stop(ctx))
	}
	var version int
	if err := admin.QueryRowContext(ctx, `SELECT current_setting('server_version_num')::int`).Scan(&version); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to database: %w", err), admin.Close(), s.stop(ctx))
	}
	if version < 15_00_00 {
		s.strategy = ""
	}
	s.admin = admin
	return s, nil
}

func withDatabase(given, database string) string {
	u, err := url.Parse(given)
	if err != nil {
		return given // cannot happen: it was parsed before
	}
	u.Path = "/" + database
	return u.String()
}

func (s *server) create(ctx context.Context, name, template string) error {
	if _, err := s.admin.ExecContext(ctx, `CREATE DATABASE `+name+` TEMPLATE `+template+s.strategy); err != nil {
		return fmt.Errorf("create database: %w", err)
	}
	return nil
}

// migrated returns the name of the template database, and creates it if it is missing. The name contains a hash of
// the migrations, because on a server given by URL the template is kept for the next run.
func (s *server) migrated(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.template != "" {
		return s.template, nil
	}
	hash, err := hashMigrations()
	if err != nil {
		return "", err
	}
	name := "whisperer_template_" + hash
	if err := s.makeTemplate(ctx, name); err != nil {
		return "", fmt.Errorf("make template database: %w", err)
	}
	s.template = name
	return name, nil
}

func (s *server) makeTemplate(ctx context.Context, name string) error {
	conn, err := s.admin.Conn(ctx) // the lock belongs to the session
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, templateLock); err != nil {
		return err
	}
	defer func() { _, _ = conn.ExecContext(ctx, `SELECT pg_advisory_unlock($1)`, templateLock) }()
	var there bool
	if err := conn.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&there); err != nil || there {
		return err
	}
	part := name + "_part"
	if _, err := conn.ExecContext(ctx, `DROP DATABASE IF EXISTS `+part+` WITH (FORCE)`); err != nil {
		return err
	}
	if err := s.create(ctx, part, "template0"); err != nil {
		return err
	}
	if _, err := store.Migrate(ctx, s.url(part)); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, `ALTER DATABASE `+part+` RENAME TO `+name)
	return err
}

func hashMigrations() (string, error) {
	names, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil {
		return "", fmt.Errorf("list migrations: %w", err)
	}
	hash := sha256.New()
	for _, name := range names {
		content, err := fs.ReadFile(migrations.FS, name)
		if err != nil {
			return "", fmt.Errorf("read migration: %w", err)
		}
		fmt.Fprintf(hash, "%s %d\n%s", name, len(content), content)
	}
	return fmt.Sprintf("%x", hash.Sum(nil)[:8]), nil
}
