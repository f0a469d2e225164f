package history

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/localpg"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/seed"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// seeded is the content of a database, according to the file next to it.
type seeded struct {
	// Asked is how many attempts and hooks were requested.
	Asked struct {
		Attempts int `json:"attempts"`
		Hooks    int `json:"hooks"`
	} `json:"asked"`
	Attempts int           `json:"attempts"`
	Bytes    int64         `json:"bytes"`
	Took     time.Duration `json:"took"`
	At       time.Time     `json:"at"`
	// Hooks are those of the default tenant, the busiest one first.
	Hooks []uuid.UUID `json:"hooks"`
}

// seededName is the name of the file in a database's folder that is created once the database is complete.
const seededName = "history.json"

// folder returns the folder for the database, and a function that removes it.
func (o *Options) folder() (dir string, remove func() error, err error) {
	if o.Keep != "" {
		if err := os.MkdirAll(o.Keep, 0o711); err != nil { //nolint:gosec // PostgreSQL's user passes through
			return "", nil, fmt.Errorf("make folder: %w", err)
		}
		return o.Keep, func() error { return nil }, nil
	}
	root := o.Dir
	if root == "" {
		root = "/var/tmp"
	}
	dir, err = os.MkdirTemp(root, "whisperer-history-")
	if err != nil {
		return "", nil, fmt.Errorf("make folder: %w", err)
	}
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // PostgreSQL's user passes through
		return "", nil, errors.Join(fmt.Errorf("open folder: %w", err), os.RemoveAll(dir))
	}
	return dir, func() error { return os.RemoveAll(dir) }, nil
}

// database returns what the folder's database contains, and fills it if there is none.
func (o *Options) database(ctx context.Context, dir string) (*seeded, error) {
	var s seeded
	text, err := os.ReadFile(filepath.Join(dir, seededName))
	switch {
	case err == nil:
		if err := json.Unmarshal(text, &s); err != nil {
			return nil, fmt.Errorf("read %s: %w", seededName, err)
		}
		if s.Asked.Attempts != o.Attempts || s.Asked.Hooks != o.Hooks {
			return nil, fmt.Errorf("the history in %s is one of %d attempts and %d hooks: ask for as many, or remove the folder", dir, s.Asked.Attempts, s.Asked.Hooks)
		}
		return &s, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("read %s: %w", seededName, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "postgres")); err == nil {
		return nil, fmt.Errorf("the history in %s is not complete: remove the folder to begin anew", dir)
	}
	if err := o.seed(ctx, dir, &s); err != nil {
		return nil, err
	}
	if text, err = json.Marshal(s); err != nil {
		return nil, fmt.Errorf("write %s: %w", seededName, err)
	}
	if err := os.WriteFile(filepath.Join(dir, seededName), text, 0o600); err != nil {
		return nil, fmt.Errorf("write %s: %w", seededName, err)
	}
	return &s, nil
}

// seed creates the database and fills it without durability: an incomplete one is useless anyway.
func (o *Options) seed(ctx context.Context, dir string, s *seeded) error {
	return o.serving(ctx, dir, map[string]string{
		"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "wal_level": "minimal", "max_wal_senders": "0",
		"max_wal_size": "2GB", "autovacuum": "off", "shared_buffers": "512MB", "work_mem": "64MB", "maintenance_work_mem": "256MB",
	}, func(url string) error {
		if _, err := store.Migrate(ctx, url); err != nil {
			return err
		}
		db, plain, err := open(url)
		if err != nil {
			return err
		}
		defer db.Close()
		defer plain.Close()
		var types []string
		for _, t := range catalogue.All() {
			types = append(types, t.Name)
		}
		begin := time.Now()
		s.Asked.Attempts, s.Asked.Hooks, s.At = o.Attempts, o.Hooks, begin.UTC()
		s.Hooks, err = seed.History(ctx, db, plain, seed.Options{Hooks: o.Hooks, Attempts: o.Attempts, EventTypes: types, Progress: func(n int) {
			s.Attempts = n
			fmt.Fprintf(o.Progress, "%d attempts seeded in %s\n", n, time.Since(begin).Round(time.Second))
		}})
		if err != nil {
			return err
		}
		s.Took = time.Since(begin)
		store, err := db.History.DescribeSystem(ctx)
		s.Bytes = store.Size
		return err
	})
}

// serving runs PostgreSQL on the folder while do runs.
func (o *Options) serving(ctx context.Context, dir string, settings map[string]string, do func(url string) error) (err error) {
	server, err := localpg.Start(ctx, localpg.Options{
		DataDir: filepath.Join(dir, "postgres"), FallbackDir: filepath.Join(dir, "elsewhere"), TCP: true, Settings: settings,
	})
	if err != nil {
		return err
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Minute)
		defer cancel()
		err = errors.Join(err, server.Stop(stopping))
	}()
	return do(server.URL("postgres"))
}

// open opens the database, through the store and directly, as generating a history requires. The key is temporary,
// because a generated history contains nothing sealed.
func open(url string) (*store.DB, *sql.DB, error) {
	ring, err := seal.ParseRing(seal.NewKey())
	if err != nil {
		return nil, nil, err
	}
	db, err := store.Open(url, 2, ring)
	if err != nil {
		return nil, nil, err
	}
	plain, err := sql.Open("postgres", url)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open database: %w", err), db.Close())
	}
	return db, plain, nil
}
