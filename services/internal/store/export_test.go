package store

import (
	"context"
	"io/fs"
)

// MigrateFrom does what Migrate does, with the test's own migrations.
func MigrateFrom(ctx context.Context, url string, from fs.FS) error {
	p, closeDB, err := migrator(url, from)
	if err != nil {
		return err
	}
	defer closeDB()
	_, err = p.Up(ctx)
	return err
}
