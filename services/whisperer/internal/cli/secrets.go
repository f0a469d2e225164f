package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/whisperer-oms/whisperer/services/internal/seal"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

type secretsCommand struct {
	Status secretsStatus `cmd:"" help:"List the master keys that encrypt secrets."`
	Reseal secretsReseal `cmd:"" help:"Re-encrypt all secrets with the first master key, while everything runs."`
}

// sealedDatabase is a database with the keys to its secrets.
type sealedDatabase struct {
	databaseFlag

	MasterKey string `help:"The services' master keys, the current one first." env:"WHISPERER_MASTER_KEY" required:"" placeholder:"KEYS"`
}

func (c *sealedDatabase) open() (*store.DB, error) {
	ring, err := seal.ParseRing(c.MasterKey)
	if err != nil {
		return nil, usage("--master-key: %s", err)
	}
	return store.Open(c.DatabaseURL, 1, ring)
}

type secretsStatus struct{ sealedDatabase }

// sealedKey is a master key in the output of --json.
type sealedKey struct {
	ID          string `json:"id"`
	Hooks       int    `json:"hooks"`
	SigningKeys int    `json:"signing_keys"`
	Current     bool   `json:"current"`
	Known       bool   `json:"known"`
}

// Run prints the list.
func (c *secretsStatus) Run(ctx context.Context, a *app) error {
	db, err := c.open()
	if err != nil {
		return err
	}
	defer db.Close()
	return a.printKeys(ctx, db)
}

func (a *app) printKeys(ctx context.Context, db *store.DB) error {
	keys, err := db.Access.SealedKeys(ctx)
	if err != nil {
		return err
	}
	list := make([]sealedKey, len(keys))
	for i, k := range keys {
		list[i] = sealedKey(k)
	}
	return a.print(list, func(t *table) {
		t.head("KEY", "HOOKS", "SIGNING KEYS", "STATE")
		for _, k := range list {
			state := "old: whisperer secrets reseal"
			switch {
			case k.Current:
				state = "current"
			case !k.Known:
				state = "not configured: these secrets cannot be opened"
			}
			t.row(k.ID, fmt.Sprint(k.Hooks), fmt.Sprint(k.SigningKeys), state)
		}
	})
}

type secretsReseal struct{ sealedDatabase }

// Help describes what to do before and after.
func (c *secretsReseal) Help() string {
	return "Give the master keys that all services now have, the new one first. After success the old key is no\n" +
		"longer needed. Running it again is harmless."
}

// Run seals all secrets with the current master key.
func (c *secretsReseal) Run(ctx context.Context, a *app) error {
	db, err := c.open()
	if err != nil {
		return err
	}
	defer db.Close()
	done, err := db.Access.Reseal(ctx, "cli", func(done int) { fmt.Fprintf(a.Err, "resealed %d hooks\n", done) })
	if unsealed, ok := errors.AsType[*store.UnsealedError](err); ok {
		return fmt.Errorf("resealed %d hooks; for the others give the keys that opened them, or set their secrets again: %w", done, unsealed)
	}
	if err != nil {
		return err
	}
	return a.printKeys(ctx, db)
}
