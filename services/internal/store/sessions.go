package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// EndSession stores that a session was ended, until it would have expired. Ending it again changes nothing.
func (d *AccessStore) EndSession(ctx context.Context, id uuid.UUID, expires time.Time) error {
	_, err := d.db.ExecContext(ctx, `
		WITH old AS (DELETE FROM ended_sessions WHERE expires_at < now())
		INSERT INTO ended_sessions (id, expires_at) VALUES ($1, $2) ON CONFLICT DO NOTHING`, id, expires)
	if err != nil {
		return translate(fmt.Errorf("end session: %w", err))
	}
	return nil
}

// SessionEnded reports whether a session was ended before it expired.
func (d *AccessStore) SessionEnded(ctx context.Context, id uuid.UUID) (bool, error) {
	var ended bool
	if err := d.db.GetContext(ctx, &ended, `SELECT EXISTS (SELECT FROM ended_sessions WHERE id = $1)`, id); err != nil {
		return false, translate(fmt.Errorf("look up session: %w", err))
	}
	return ended, nil
}
