// Package store is the only package that executes SQL. It translates between the domain and the tables.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"github.com/pressly/goose/v3"

	"github.com/whisperer-oms/whisperer/migrations"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
)

// ErrSchema reports that the database's schema is not the one that this program needs.
var ErrSchema = errors.New("database schema does not fit this program")

// DB is a pool of connections to Whisperer's database. Its stores group the operations by what they are about.
type DB struct {
	*core

	Hooks     *HookStore
	Health    *HealthStore
	Types     *TypeStore
	Access    *AccessStore
	Ledger    *LedgerStore
	Queue     *QueueStore
	History   *HistoryStore
	Jobs      *JobStore
	Leases    *LeaseStore
	Erasures  *ErasureStore
	Retention *RetentionStore
}

type (
	// HookStore keeps hooks.
	HookStore struct{ *core }
	// HealthStore keeps the health of hooks: the failures of their receivers and of their expressions.
	HealthStore struct{ *core }
	// TypeStore keeps the event types that tenants declared, and their settings for event types.
	TypeStore struct{ *core }
	// AccessStore keeps tenants, tokens, ended sessions, the audit log, signing keys and console views, and reseals secrets.
	AccessStore struct{ *core }
	// LedgerStore writes the ledger: events, deliveries and attempts.
	LedgerStore struct{ *core }
	// QueueStore is the queue of parked deliveries.
	QueueStore struct{ *core }
	// HistoryStore reads the ledger.
	HistoryStore struct{ *core }
	// JobStore keeps and runs the replays that people have requested.
	JobStore struct{ *core }
	// LeaseStore keeps leases.
	LeaseStore struct{ *core }
	// ErasureStore keeps the requested erasures, and erases payloads.
	ErasureStore struct{ *core }
	// RetentionStore keeps the tenants' retention policies, and marks expired payloads to be erased.
	RetentionStore struct{ *core }
)

// core is the pool and what all stores share.
type core struct {
	db      *sqlx.DB
	lookups *lookups
	url     string
	ring    *seal.Ring
	// direct is set once connections have proved to have sessions of their own.
	direct atomic.Bool

	creations batcher[*creation, webhook.Hook]
	// creating holds the prepared statements of creations.
	creating statements
}

// Open returns a pool of at most maxConns connections to the database at the URL, and opens two more for SeenEvents. ring opens
// and seals secrets. Open does not connect; see Ready. No call waits forever: it ends with its context, even if the server is
// silent, or, if the context has no deadline, after half a minute of silence.
func Open(url string, maxConns int, ring *seal.Ring) (*DB, error) {
	connector, err := pq.NewConnector(url)
	if err != nil {
		return nil, fmt.Errorf("read database URL: %w", withoutURL(err))
	}
	db := sql.OpenDB(deadlineConnector{connector, silence, endsAlone})
	db.SetMaxOpenConns(maxConns)
	db.SetMaxIdleConns(maxConns)
	db.SetConnMaxIdleTime(5 * time.Minute)
	c := &core{db: sqlx.NewDb(db, "postgres"), lookups: newLookups(deadlineConnector{connector, lookupSilence, endsAlone}), url: url, ring: ring}
	c.creating.texts = []string{lockingPolicy, addingCounts, insertingHooks, writingAudit}
	c.creations.do, c.creations.most, c.creations.limit = c.createTogether, createdTogether, createLimit
	return &DB{
		c, &HookStore{c}, &HealthStore{c}, &TypeStore{c}, &AccessStore{c}, &LedgerStore{c}, &QueueStore{c}, &HistoryStore{c}, &JobStore{c}, &LeaseStore{c},
		&ErasureStore{c}, &RetentionStore{c},
	}, nil
}

// withoutURL returns an error that does not quote a URL which cannot be parsed, because it may contain a password.
func withoutURL(error) error { return errors.New("it is not a postgres:// URL") }

// Close closes all connections.
func (d *DB) Close() error { return errors.Join(d.lookups.close(), d.db.Close()) }

func newestMigration() (int64, error) {
	names, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil {
		return 0, fmt.Errorf("list migrations: %w", err)
	}
	var newest int64
	for _, name := range names {
		v, err := goose.NumericComponent(name)
		if err != nil {
			return 0, fmt.Errorf("read migration name %s: %w", name, err)
		}
		newest = max(newest, v)
	}
	return newest, nil
}

// Migration is the result of applying one migration.
type Migration struct {
	Version  int64
	Name     string
	Applied  bool
	Duration time.Duration
}

// Migrate migrates the database at the URL to the newest schema. Concurrent calls wait for each other.
func Migrate(ctx context.Context, url string) ([]Migration, error) {
	if err := mayMigrate(ctx, url); err != nil {
		return nil, err
	}
	p, closeDB, err := migrator(url, migrations.FS)
	if err != nil {
		return nil, err
	}
	defer closeDB()
	if err := ownSessions(ctx, url); err != nil {
		return nil, err
	}
	results, err := p.Up(ctx)
	if err != nil {
		return nil, fmt.Errorf("migrate database: %w", err)
	}
	done := make([]Migration, len(results))
	for i, r := range results {
		done[i] = Migration{Version: r.Source.Version, Name: r.Source.Path, Applied: true, Duration: r.Duration}
	}
	return done, nil
}

// MigrationStatus lists all migrations and whether each is applied.
func MigrationStatus(ctx context.Context, url string) ([]Migration, error) {
	p, closeDB, err := migrator(url, migrations.FS)
	if err != nil {
		return nil, err
	}
	defer closeDB()
	states, err := p.Status(ctx)
	if err != nil {
		return nil, fmt.Errorf("read migration status: %w", err)
	}
	list := make([]Migration, len(states))
	for i, s := range states {
		list[i] = Migration{Version: s.Source.Version, Name: s.Source.Path, Applied: s.State == goose.StateApplied}
	}
	return list, nil
}

// migrator returns a migration provider. Its connections have no time limit, because a migration may rewrite a table.
func migrator(url string, from fs.FS) (*goose.Provider, func(), error) {
	connector, err := pq.NewConnector(url)
	if err != nil {
		return nil, nil, fmt.Errorf("read database URL: %w", withoutURL(err))
	}
	db := sql.OpenDB(deadlineConnector{connector, 0, endsAlone + endsWhole})
	locker, err := newLocker()
	if err != nil {
		_ = db.Close()
		return nil, nil, err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, from, goose.WithSessionLocker(locker))
	if err != nil {
		_ = db.Close()
		return nil, nil, fmt.Errorf("read migrations: %w", err)
	}
	return p, func() { _ = db.Close() }, nil
}

func (d *core) hooks() *HookStore { return &HookStore{d} }

func (d *core) health() *HealthStore { return &HealthStore{d} }

func (d *core) history() *HistoryStore { return &HistoryStore{d} }
