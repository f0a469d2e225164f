package cli

import (
	"context"
	"fmt"

	"github.com/whisperer-oms/whisperer/services/internal/store"
)

type migrateCommand struct {
	Up      migrateUp      `cmd:"" default:"withargs" help:"Apply missing migrations (the word up can be left out)."`
	Status  migrateStatus  `cmd:"" help:"List the migrations and whether each is applied."`
	Streams migrateStreams `cmd:"" help:"Show how the NATS streams differ from the settings, and change them."`
}

type namespaceFlag struct {
	Namespace string `help:"Namespace of the installation's subjects and streams, as configured in the services." env:"WHISPERER_NAMESPACE" placeholder:"NAME"`
}

type databaseFlag struct {
	DatabaseURL string `help:"The database, as postgres://…" env:"WHISPERER_DATABASE_URL" name:"database-url" required:"" placeholder:"URL"`
}

type migrateUp struct{ databaseFlag }

// Run applies the migrations that the schema lacks.
func (c *migrateUp) Run(ctx context.Context, a *app) error {
	done, err := store.Migrate(ctx, c.DatabaseURL)
	if err != nil {
		return err
	}
	return a.printMigrations(done, "the schema is up to date")
}

type migrateStatus struct{ databaseFlag }

// Run prints the list.
func (c *migrateStatus) Run(ctx context.Context, a *app) error {
	list, err := store.MigrationStatus(ctx, c.DatabaseURL)
	if err != nil {
		return err
	}
	return a.printMigrations(list, "there are no migrations")
}

// migration is a migration in the output of --json.
type migration struct {
	Version int64  `json:"version"`
	Name    string `json:"name"`
	Applied bool   `json:"applied"`
}

func (a *app) printMigrations(list []store.Migration, none string) error {
	out := make([]migration, len(list))
	for i, m := range list {
		out[i] = migration{Version: m.Version, Name: m.Name, Applied: m.Applied}
	}
	return a.print(out, func(t *table) {
		if len(out) == 0 {
			t.row(none)
			return
		}
		t.head("VERSION", "NAME", "APPLIED")
		for _, m := range out {
			t.row(fmt.Sprint(m.Version), m.Name, yesNo(m.Applied))
		}
	})
}
