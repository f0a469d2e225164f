package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
)

// Installation returns the id that this database has had since its first migration. A restored backup has the same id.
func (d *DB) Installation(ctx context.Context) (uuid.UUID, error) {
	var id uuid.UUID
	if err := d.db.GetContext(ctx, &id, `SELECT id FROM installation`); err != nil {
		return id, explain(translate(fmt.Errorf("read installation: %w", err)))
	}
	return id, nil
}
