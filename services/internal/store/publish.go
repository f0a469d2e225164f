package store

import (
	"context"
	"crypto/subtle"
	"fmt"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// ClaimPublishKey stores the idempotency key of a publishing request for 24 hours. The error is ErrKeyReused if the key was
// used with another fingerprint.
func (d *LedgerStore) ClaimPublishKey(ctx context.Context, tenant string, key IdempotencyKey) error {
	var first []byte
	err := d.db.GetContext(ctx, &first, `
		INSERT INTO publish_keys AS k (tenant, key, fingerprint) VALUES ($1, $2, $3)
		ON CONFLICT (tenant, key) DO UPDATE SET
			fingerprint = CASE WHEN k.created_at > now() - `+idempotencyWindow+` THEN k.fingerprint ELSE excluded.fingerprint END,
			created_at = CASE WHEN k.created_at > now() - `+idempotencyWindow+` THEN k.created_at ELSE excluded.created_at END
		RETURNING fingerprint`, tenant, key.Key, key.Fingerprint[:])
	if err != nil {
		return translate(fmt.Errorf("remember idempotency key: %w", err))
	}
	if subtle.ConstantTimeCompare(first, key.Fingerprint[:]) != 1 {
		return ErrKeyReused
	}
	_, err = d.db.ExecContext(ctx, `
		DELETE FROM publish_keys WHERE (tenant, key) IN (
			SELECT tenant, key FROM publish_keys WHERE created_at <= now() - `+idempotencyWindow+`
			ORDER BY created_at LIMIT 100 FOR UPDATE SKIP LOCKED)`)
	if err != nil {
		return translate(fmt.Errorf("forget old idempotency keys: %w", err))
	}
	return nil
}

// SourcesSince returns the time from which the source of a CloudEvent is a part of its id.
func (d *LedgerStore) SourcesSince(ctx context.Context) (time.Time, error) {
	var since time.Time
	if err := d.db.GetContext(ctx, &since, `SELECT since FROM event_sources`); err != nil {
		return since, explain(translate(fmt.Errorf("read since when sources count: %w", err)))
	}
	return since.UTC(), nil
}

// findCloudEvent returns the newest event that was published as a CloudEvent with the id, from any source. The error is
// webhook.ErrNotFound if there is none.
func (d *core) findCloudEvent(ctx context.Context, tenant, id string) (webhook.Event, error) {
	const most = 20 // number of sources with one id
	prefix := webhook.CloudEventPrefix(id)
	var rows []struct {
		ID          string    `db:"id"`
		PublishedAt time.Time `db:"published_at"`
	}
	// Read the primary key from the prefix on. This works with any collation of the database.
	err := d.db.SelectContext(ctx, &rows, `
		SELECT id, published_at FROM (SELECT id, published_at FROM events WHERE tenant = $1 AND id > $2 ORDER BY tenant, id LIMIT $3) e
		WHERE starts_with(id, $2) AND strpos(substr(id, length($2) + 1), '|') = 0 ORDER BY published_at DESC LIMIT 1`, tenant, prefix, most)
	if err != nil {
		return webhook.Event{}, translate(fmt.Errorf("find event %s: %w", id, err))
	}
	if len(rows) == 0 {
		return webhook.Event{}, fmt.Errorf("event %s: %w", id, webhook.ErrNotFound)
	}
	return d.history().GetEvent(ctx, tenant, rows[0].ID, rows[0].PublishedAt.UTC())
}
