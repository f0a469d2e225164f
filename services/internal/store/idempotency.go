package store

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// ErrKeyReused reports that an idempotency key was used before for another request, or for a hook that no longer exists.
var ErrKeyReused = errors.New("idempotency key was used for something else")

// idempotencyWindow is how long a key is remembered, as an SQL interval.
const idempotencyWindow = `interval '24 hours'`

// IdempotencyKey makes a repeated creation return the first one's result, for 24 hours. The zero value does nothing.
type IdempotencyKey struct {
	// Key is the caller's key; empty for none.
	Key string
	// Fingerprint identifies the request, to detect a key that is reused for another one.
	Fingerprint [sha256.Size]byte
}

// recall returns the hook that was created with the key.
func (k IdempotencyKey) recall(ctx context.Context, tx querier, tenant string) (row hookRow, found bool, err error) {
	if k.Key == "" {
		return row, false, nil
	}
	var before struct {
		Fingerprint []byte    `db:"fingerprint"`
		HookID      uuid.UUID `db:"hook_id"`
	}
	err = tx.GetContext(ctx, &before, `
		SELECT fingerprint, hook_id FROM idempotency_keys
		WHERE tenant = $1 AND key = $2 AND created_at > now() - `+idempotencyWindow, tenant, k.Key)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return row, false, nil
	case err != nil:
		return row, false, fmt.Errorf("look up idempotency key: %w", err)
	case subtle.ConstantTimeCompare(before.Fingerprint, k.Fingerprint[:]) != 1:
		return row, false, ErrKeyReused
	}
	err = tx.GetContext(ctx, &row, `SELECT `+hookColumns+` FROM hooks WHERE tenant = $1 AND id = $2 AND deleted_at IS NULL`, tenant, before.HookID)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return row, false, ErrKeyReused
	case err != nil:
		return row, false, fmt.Errorf("get hook %s: %w", before.HookID, err)
	}
	return row, true, nil
}

// remember stores the key, and deletes the tenant's expired ones.
func (k IdempotencyKey) remember(ctx context.Context, tx querier, tenant string, hook uuid.UUID) error {
	if k.Key == "" {
		return nil
	}
	_, err := tx.ExecContext(ctx, `
		DELETE FROM idempotency_keys WHERE tenant = $1 AND created_at <= now() - `+idempotencyWindow, tenant)
	if err != nil {
		return fmt.Errorf("forget old idempotency keys: %w", err)
	}
	_, err = tx.ExecContext(ctx, `
		INSERT INTO idempotency_keys (tenant, key, fingerprint, hook_id) VALUES ($1, $2, $3, $4)`,
		tenant, k.Key, k.Fingerprint[:], hook)
	if err != nil {
		return fmt.Errorf("remember idempotency key: %w", err)
	}
	return nil
}
