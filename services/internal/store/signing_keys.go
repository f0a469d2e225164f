package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/httpsig"
	"github.com/whisperer-oms/whisperer/services/internal/seal"
)

// KeySet is kept in line with the signing keys in the database by a Watch.
type KeySet interface {
	// Replace replaces all keys.
	Replace(keys []httpsig.Key)
	// Put replaces all keys of a tenant.
	Put(tenant string, keys []httpsig.Key)
}

// Rotation says which of a tenant's signing keys are to be replaced, and how.
type Rotation struct {
	// Algorithm is one of webhook.MessageAlgorithms; empty for all.
	Algorithm string
	// Revoke stops publishing the replaced keys at once, because somebody else may have them. The rotation then does not wait
	// until receivers know the next key either.
	Revoke bool
}

// EarlyRotationError reports that receivers may not know the next key yet.
type EarlyRotationError struct {
	// Algorithm is the key's algorithm, and At the time when it can be used.
	Algorithm string
	At        time.Time
}

// Error says when the rotation is possible.
func (e *EarlyRotationError) Error() string {
	return fmt.Sprintf("the next %s key was published too recently for every receiver to have it: rotate after %s", e.Algorithm, e.At.UTC().Format(time.RFC3339))
}

// ErrNextKey reports that the next key cannot be used.
var ErrNextKey = errors.New("the next signing key cannot be opened with the master keys that are configured")

type signingKeyRow struct {
	KID            string     `db:"kid"`
	Tenant         string     `db:"tenant"`
	Algorithm      string     `db:"algorithm"`
	State          string     `db:"state"`
	Public         []byte     `db:"public"`
	Sealed         []byte     `db:"sealed"`
	SealedKeyID    *string    `db:"sealed_key_id"`
	CreatedAt      time.Time  `db:"created_at"`
	SignsFrom      *time.Time `db:"signs_from"`
	PublishedUntil *time.Time `db:"published_until"`
}

const signingKeyColumns = `kid, tenant, algorithm, state, public, sealed, sealed_key_id, created_at, signs_from, published_until`

// signingKeyOwner returns the name for which a key's private half is sealed.
func signingKeyOwner(kid string) string { return "signing key " + kid }

// key converts a row into a key. err says why the key cannot sign although its state allows it.
func (r *signingKeyRow) key(ring *seal.Ring) (k httpsig.Key, err error) {
	k = httpsig.Key{ID: r.KID, Tenant: r.Tenant, Algorithm: r.Algorithm, State: httpsig.State(r.State), CreatedAt: r.CreatedAt.UTC()}
	if r.SignsFrom != nil {
		k.SignsFrom = r.SignsFrom.UTC()
	}
	if r.PublishedUntil != nil {
		k.PublishedUntil = r.PublishedUntil.UTC()
	}
	if err := json.Unmarshal(r.Public, &k.Public); err != nil {
		return k, fmt.Errorf("read public key %s: %w", r.KID, err)
	}
	if r.SealedKeyID == nil || ring == nil {
		return k, nil
	}
	der, err := ring.Open(seal.Sealed{KeyID: *r.SealedKeyID, Box: r.Sealed}, signingKeyOwner(r.KID))
	if err != nil {
		return k, fmt.Errorf("open signing key %s: %w", r.KID, err)
	}
	return k, k.SetPrivate(der)
}

// SigningKeys lists a tenant's published keys by algorithm, newest first, including those that cannot be opened.
func (d *AccessStore) SigningKeys(ctx context.Context, tenant string) ([]httpsig.Key, error) {
	keys, _, err := d.signingKeys(ctx, d.db, `WHERE tenant = $1 AND (published_until IS NULL OR published_until > now())`, tenant)
	return keys, err
}

// signingKeys returns keys, and the reasons why some cannot sign.
func (d *core) signingKeys(ctx context.Context, q sqlx.QueryerContext, where string, args ...any) (keys []httpsig.Key, unusable []error, err error) {
	var rows []signingKeyRow
	query := `SELECT ` + signingKeyColumns + ` FROM signing_keys ` + where + ` ORDER BY tenant, algorithm, created_at DESC, kid`
	if err := sqlx.SelectContext(ctx, q, &rows, query, args...); err != nil {
		return nil, nil, translate(fmt.Errorf("list signing keys: %w", err))
	}
	keys = make([]httpsig.Key, len(rows))
	for i := range rows {
		var err error
		if keys[i], err = rows[i].key(d.ring); err != nil {
			unusable = append(unusable, err)
		}
	}
	return keys, unusable, nil
}

// EnsureSigningKeys creates the tenant's missing signing keys, and reports whether there were any.
func (d *AccessStore) EnsureSigningKeys(ctx context.Context, actor Actor, tenant string) (created bool, err error) {
	const enough = `SELECT count(*) = 2 * $2 FROM signing_keys WHERE tenant = $1 AND state <> 'previous'`
	algorithms := webhook.MessageAlgorithms()
	var there bool
	if err := d.db.GetContext(ctx, &there, enough, tenant, len(algorithms)); err != nil || there {
		return false, translate(err)
	}
	return created, d.transact(ctx, func(tx *sqlx.Tx) error {
		if err := lockTenant(ctx, tx, tenant); err != nil {
			return err
		}
		var entries []audited
		for _, algorithm := range algorithms {
			for _, state := range []httpsig.State{httpsig.Current, httpsig.Next} {
				key, err := d.addSigningKey(ctx, tx, tenant, algorithm, state)
				switch {
				case errors.Is(err, sql.ErrNoRows): // it exists already
				case err != nil:
					return err
				default:
					entries = append(entries, audited{tenant: tenant, action: "signing_key.created", subject: key.ID, detail: map[string]any{"algorithm": algorithm}})
				}
			}
		}
		created = len(entries) > 0
		return writeAudit(ctx, tx, actor, entries...)
	})
}

// addSigningKey creates a key. The error is sql.ErrNoRows if the tenant has one in this state.
func (d *core) addSigningKey(ctx context.Context, tx *sqlx.Tx, tenant, algorithm string, state httpsig.State) (httpsig.Key, error) {
	key, err := httpsig.Generate(algorithm)
	if err != nil {
		return key, err
	}
	der, err := key.Private()
	if err != nil {
		return key, err
	}
	public, err := json.Marshal(key.Public)
	if err != nil {
		return key, fmt.Errorf("write public key: %w", err)
	}
	box := d.ring.Seal(der, signingKeyOwner(key.ID))
	var kid string
	return key, tx.GetContext(ctx, &kid, `
		INSERT INTO signing_keys (kid, tenant, algorithm, state, public, sealed, sealed_key_id, signs_from)
		VALUES ($1, $2, $3, $4, $5, $6, $7, CASE WHEN $4 = 'current' THEN now() END)
		ON CONFLICT (tenant, algorithm, state) WHERE state <> 'previous' DO NOTHING RETURNING kid`,
		key.ID, tenant, algorithm, string(state), string(public), box.Box, box.KeyID)
}

// RotateSigningKeys makes a tenant's next keys current, creates new next ones, and keeps publishing the previous ones for
// httpsig.Overlap. The errors are *EarlyRotationError, ErrNextKey, and webhook.ErrNotFound for a tenant without keys.
func (d *AccessStore) RotateSigningKeys(ctx context.Context, actor Actor, tenant string, r Rotation) error {
	return d.transact(ctx, func(tx *sqlx.Tx) error {
		if err := lockTenant(ctx, tx, tenant); err != nil {
			return err
		}
		var entries []audited
		for _, algorithm := range webhook.MessageAlgorithms() {
			if r.Algorithm != "" && r.Algorithm != algorithm {
				continue
			}
			entry, err := d.rotateSigningKey(ctx, tx, tenant, algorithm, r.Revoke)
			if err != nil {
				return err
			}
			entries = append(entries, entry)
		}
		return writeAudit(ctx, tx, actor, entries...)
	})
}

func (d *core) rotateSigningKey(ctx context.Context, tx *sqlx.Tx, tenant, algorithm string, revoke bool) (audited, error) {
	keys, _, err := d.signingKeys(ctx, tx, `WHERE tenant = $1 AND algorithm = $2 AND state <> 'previous'`, tenant, algorithm)
	if err != nil {
		return audited{}, err
	}
	var current, next httpsig.Key
	for _, k := range keys {
		if k.State == httpsig.Next {
			next = k
		} else {
			current = k
		}
	}
	known := next.CreatedAt.Add(httpsig.CacheAge)
	switch {
	case len(keys) < 2:
		return audited{}, webhook.ErrNotFound
	case revoke && !next.CanSign():
		if _, err := tx.ExecContext(ctx, `DELETE FROM signing_keys WHERE kid = $1`, next.ID); err != nil {
			return audited{}, fmt.Errorf("drop signing key: %w", err)
		}
		if next, err = d.addSigningKey(ctx, tx, tenant, algorithm, httpsig.Next); err != nil {
			return audited{}, fmt.Errorf("store signing key: %w", err)
		}
	case !next.CanSign():
		return audited{}, ErrNextKey
	case !revoke && time.Now().Before(known):
		return audited{}, &EarlyRotationError{Algorithm: algorithm, At: known}
	}
	if err := replaceSigningKey(ctx, tx, tenant, algorithm, next.ID, revoke); err != nil {
		return audited{}, fmt.Errorf("replace signing key: %w", err)
	}
	if _, err := d.addSigningKey(ctx, tx, tenant, algorithm, httpsig.Next); err != nil {
		return audited{}, fmt.Errorf("store signing key: %w", err)
	}
	return audited{
		tenant: tenant, action: "signing_key.rotated", subject: next.ID,
		detail: map[string]any{"algorithm": algorithm, "before": current.ID, "revoked": revoke},
	}, nil
}

// replaceSigningKey makes another key current. The private half of the previous one is deleted.
func replaceSigningKey(ctx context.Context, tx *sqlx.Tx, tenant, algorithm, kid string, revoke bool) error {
	_, err := tx.ExecContext(ctx, `
		DELETE FROM signing_keys WHERE tenant = $1 AND algorithm = $2
		AND (state = 'previous' AND published_until < now() OR $3 AND state IN ('previous', 'current'))`, tenant, algorithm, revoke)
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `
		UPDATE signing_keys SET state = 'previous', published_until = now() + $3 * interval '1 second', sealed = NULL, sealed_key_id = NULL
		WHERE tenant = $1 AND algorithm = $2 AND state = 'current'`, tenant, algorithm, int(httpsig.Overlap.Seconds()))
	if err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, `UPDATE signing_keys SET state = 'current', signs_from = now() WHERE kid = $1`, kid)
	return err
}

// loadKeys loads all signing keys, or those of some tenants.
func (w *Watch) loadKeys(ctx context.Context, tenants []string) error {
	if w.Keys == nil {
		return nil
	}
	where, args := "", []any(nil)
	if tenants != nil {
		where, args = `WHERE tenant = ANY($1)`, []any{pq.Array(tenants)}
	}
	keys, unusable, err := w.db.signingKeys(ctx, w.polls, where, args...)
	if err != nil {
		return err
	}
	for _, err := range unusable {
		w.Log.Error("signing key cannot be used: what it signs is not sent", zap.Error(err))
	}
	if tenants == nil {
		w.Keys.Replace(keys)
		return nil
	}
	byTenant := map[string][]httpsig.Key{}
	for i := range keys {
		byTenant[keys[i].Tenant] = append(byTenant[keys[i].Tenant], keys[i])
	}
	for _, tenant := range tenants {
		w.Keys.Put(tenant, byTenant[tenant])
	}
	return nil
}

// resealKeys seals all signing keys anew with the current master key, and returns their number. Those that cannot be opened are
// left as they are.
func (d *AccessStore) resealKeys(ctx context.Context, actor Actor) (done int, unreadable []error, err error) {
	err = d.change(ctx, actor, func(tx *sqlx.Tx) (audited, error) {
		var rows []signingKeyRow
		err := tx.SelectContext(ctx, &rows, `SELECT `+signingKeyColumns+` FROM signing_keys WHERE sealed_key_id <> $1 FOR UPDATE`, d.ring.CurrentKeyID())
		if err != nil {
			return audited{}, fmt.Errorf("list signing keys to seal: %w", err)
		}
		for _, r := range rows {
			plain, err := d.ring.Open(seal.Sealed{KeyID: *r.SealedKeyID, Box: r.Sealed}, signingKeyOwner(r.KID))
			if err != nil {
				unreadable = append(unreadable, fmt.Errorf("signing key %s of tenant %s: %w", r.KID, r.Tenant, err))
				continue
			}
			box := d.ring.Seal(plain, signingKeyOwner(r.KID))
			if _, err := tx.ExecContext(ctx, `UPDATE signing_keys SET sealed = $2, sealed_key_id = $3 WHERE kid = $1`, r.KID, box.Box, box.KeyID); err != nil {
				return audited{}, fmt.Errorf("store signing key %s: %w", r.KID, err)
			}
			done++
		}
		if done == 0 {
			return audited{}, nil
		}
		return audited{action: "secrets.resealed", subject: d.ring.CurrentKeyID(), detail: map[string]any{"signing_keys": done}}, nil
	})
	return done, unreadable, err
}
