package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"github.com/whisperer-oms/whisperer/services/internal/seal"
)

// resealBatch is the number of hooks that are locked at once. It is small, so that nobody who saves a hook waits long.
const resealBatch = 50

// SealedKey is a master key with which secrets are sealed.
type SealedKey struct {
	// ID identifies the key, and reveals nothing about it.
	ID string
	// Hooks is the number of hooks whose secrets are sealed with the key, and SigningKeys that of the signing keys.
	Hooks, SigningKeys int
	// Current reports that new secrets are sealed with the key, and Known that it is configured.
	Current, Known bool
}

// SealedKeys lists, by id, the master keys with which hooks' secrets and signing keys are sealed.
func (d *AccessStore) SealedKeys(ctx context.Context) ([]SealedKey, error) {
	var rows []struct {
		ID    string `db:"id"`
		Hooks int    `db:"hooks"`
		Keys  int    `db:"keys"`
	}
	err := d.db.SelectContext(ctx, &rows, `
		SELECT id, sum(hooks) AS hooks, sum(keys) AS keys FROM (
			SELECT sealed_key_id AS id, count(*) AS hooks, 0 AS keys FROM hooks WHERE sealed_key_id IS NOT NULL GROUP BY 1
			UNION ALL SELECT sealed_key_id, 0, count(*) FROM signing_keys WHERE sealed_key_id IS NOT NULL GROUP BY 1) AS sealed
		GROUP BY 1 ORDER BY 1`)
	if err != nil {
		return nil, translate(fmt.Errorf("count sealed secrets: %w", err))
	}
	keys := make([]SealedKey, len(rows))
	for i, r := range rows {
		keys[i] = SealedKey{ID: r.ID, Hooks: r.Hooks, SigningKeys: r.Keys, Current: r.ID == d.ring.CurrentKeyID(), Known: d.ring.Knows(r.ID)}
	}
	return keys, nil
}

// Reseal seals all hooks' secrets and all signing keys anew with the current master key, a few hooks per transaction, and
// returns how many hooks were resealed. Nothing else of a hook changes, not even its version, and services that have both keys
// go on. told is called after each batch. Secrets that cannot be opened, because their key is not configured or the row is
// damaged, are left as they are: an *UnsealedError names them, after all others were resealed.
func (d *AccessStore) Reseal(ctx context.Context, actor Actor, told func(done int)) (done int, err error) {
	var unsealed UnsealedError
	_, unreadable, err := d.resealKeys(ctx, actor)
	if err != nil {
		return 0, err
	}
	unsealed.add(unreadable)
	for last := (uuid.UUID{}); ; {
		var rows []hookRow
		var resealed int
		var unreadable []error
		err := d.change(ctx, actor, func(tx *sqlx.Tx) (audited, error) {
			err := tx.SelectContext(ctx, &rows, `SELECT `+hookColumns+` FROM hooks
				WHERE sealed_key_id <> $1 AND id > $2 ORDER BY id LIMIT $3 FOR UPDATE`, d.ring.CurrentKeyID(), last, resealBatch)
			if err != nil {
				return audited{}, fmt.Errorf("list hooks to seal: %w", err)
			}
			for i := range rows {
				plain, err := d.ring.Open(seal.Sealed{KeyID: *rows[i].SealedKeyID, Box: rows[i].Sealed}, rows[i].ID.String())
				if err != nil {
					unreadable = append(unreadable, fmt.Errorf("secrets of hook %s: %w", rows[i].ID, err))
					continue
				}
				if err := d.resealHook(ctx, tx, rows[i].ID, plain); err != nil {
					return audited{}, err
				}
				resealed++
			}
			if resealed == 0 {
				return audited{}, nil
			}
			return audited{action: "secrets.resealed", subject: d.ring.CurrentKeyID(), detail: map[string]any{"hooks": resealed}}, nil
		})
		if err != nil {
			return done, err
		}
		if len(rows) == 0 {
			return done, unsealed.orNil()
		}
		unsealed.add(unreadable)
		done, last = done+resealed, rows[len(rows)-1].ID
		told(done)
	}
}

func (d *core) resealHook(ctx context.Context, tx *sqlx.Tx, id uuid.UUID, plain []byte) error {
	box := d.ring.Seal(plain, id.String())
	if _, err := tx.ExecContext(ctx, `UPDATE hooks SET sealed = $2, sealed_key_id = $3 WHERE id = $1`, id, box.Box, box.KeyID); err != nil {
		return fmt.Errorf("store secrets of hook %s: %w", id, err)
	}
	return nil
}

// maxNamed is the maximum number of secrets that an UnsealedError names.
const maxNamed = 20

// UnsealedError reports the secrets of hooks and the signing keys that could not be resealed because they could not be opened.
type UnsealedError struct {
	// Count is their number, and Reasons are the errors of the first few.
	Count   int
	Reasons []error
}

// Error lists the reasons.
func (e *UnsealedError) Error() string {
	text := fmt.Sprintf("%d secrets are not sealed anew: %v", e.Count, errors.Join(e.Reasons...))
	if more := e.Count - len(e.Reasons); more > 0 {
		text += fmt.Sprintf("\nand %d more", more)
	}
	return text
}

// Unwrap returns the reasons. seal.ErrUnknownKey is among them if a key is not configured.
func (e *UnsealedError) Unwrap() []error { return e.Reasons }

func (e *UnsealedError) add(reasons []error) {
	e.Count += len(reasons)
	e.Reasons = append(e.Reasons, reasons[:min(len(reasons), maxNamed-len(e.Reasons))]...)
}

func (e *UnsealedError) orNil() error {
	if e.Count == 0 {
		return nil
	}
	return e
}
