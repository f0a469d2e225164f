package testenv

import (
	"database/sql"
	"testing"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// storeConnections is how many connections a Store has: more than one, so that tests notice operations that block
// each other.
const storeConnections = 4

// Store is an open store on a database for one test.
type Store struct {
	*store.DB

	// URL leads to the database.
	URL string
	// Ring has the key that the store seals secrets with.
	Ring *seal.Ring
}

// OpenStore opens a store on a database with the newest schema, which belongs to the test and is dropped at its end.
func OpenStore(tb testing.TB) *Store {
	tb.Helper()
	ring, err := seal.ParseRing(seal.NewKey())
	if err != nil {
		tb.Fatalf("make key of the test's store: %v", err)
	}
	s := &Store{URL: Postgres(tb), Ring: ring}
	if s.DB, err = store.Open(s.URL, storeConnections, ring); err != nil {
		tb.Fatalf("open store of the test: %v", err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close store of the test: %v", err)
		}
	})
	return s
}

// Plain opens the database at the URL, to inspect or change it without the programs' knowledge.
func Plain(tb testing.TB, url string) *sql.DB {
	tb.Helper()
	db, err := sql.Open("postgres", url)
	if err != nil {
		tb.Fatalf("open the test's database: %v", err)
	}
	tb.Cleanup(func() { _ = db.Close() })
	return db
}

// MakeToken creates a token and returns its plain text.
func (s *Store) MakeToken(tb testing.TB, n store.NewToken) string {
	tb.Helper()
	plain, _, err := s.Access.CreateToken(tb.Context(), "test", n)
	if err != nil {
		tb.Fatalf("make token %s: %v", n.Name, err)
	}
	return plain
}

// Hook returns an active hook of the default tenant for all events, with all defaults except the target; edit may
// change it.
func Hook(tb testing.TB, target string, edit ...func(*webhook.Hook)) webhook.Hook {
	tb.Helper()
	config, err := webhook.ParseConfig(nil)
	if err != nil {
		tb.Fatalf("read empty config: %v", err)
	}
	h := webhook.Hook{
		Tenant: webhook.DefaultTenant, EventTypes: []string{"*"}, TargetURL: target,
		NotificationType: webhook.NotificationREST, Config: config, Status: webhook.Active,
	}
	for _, e := range edit {
		e(&h)
	}
	return h
}

// MakeHook stores such a hook.
func MakeHook(tb testing.TB, db *store.DB, target string, edit ...func(*webhook.Hook)) webhook.Hook {
	tb.Helper()
	h, err := db.Hooks.Create(tb.Context(), "test", Hook(tb, target, edit...), hookQuota, store.IdempotencyKey{})
	if err != nil {
		tb.Fatalf("make hook: %v", err)
	}
	return h
}

// hookQuota is more hooks than any test creates.
const hookQuota = 1_000_000

// MakeTenant creates a tenant unless one of that name exists.
func (s *Store) MakeTenant(tb testing.TB, name string) {
	tb.Helper()
	if _, err := s.Access.EnsureTenant(tb.Context(), "test", name); err != nil {
		tb.Fatalf("make tenant %s: %v", name, err)
	}
}
