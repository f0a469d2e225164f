package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// endAtOnce is the number of pauses, or of deletions, that one transaction ends.
const endAtOnce = 200

// EndPauses resumes the hooks whose pause is over, and returns their number. Several programs may do so at once; each hook is
// resumed by one of them.
func (d *HookStore) EndPauses(ctx context.Context, actor Actor) (int, error) {
	for n := 0; ; {
		ended, err := d.endSome(ctx, actor)
		if n += ended; err != nil || ended < endAtOnce {
			return n, err
		}
	}
}

func (d *HookStore) endSome(ctx context.Context, actor Actor) (int, error) {
	var rows []struct {
		ID     uuid.UUID `db:"id"`
		Tenant string    `db:"tenant"`
		Until  time.Time `db:"until"`
	}
	err := d.transact(ctx, func(tx *sqlx.Tx) error {
		err := tx.SelectContext(ctx, &rows, `
			WITH over AS (
				SELECT id, paused_until FROM hooks WHERE paused_until <= now() AND status = 'paused'
				ORDER BY paused_until LIMIT $1 FOR UPDATE SKIP LOCKED)
			UPDATE hooks h SET status = 'active', disabled_reason = '', modified_at = now(), version = version + 1
			FROM over WHERE h.id = over.id RETURNING h.id, h.tenant, over.paused_until AS until`, endAtOnce)
		if err != nil || len(rows) == 0 {
			return err
		}
		ids, entries := make([]uuid.UUID, len(rows)), make([]audited, len(rows))
		for i, r := range rows {
			ids[i] = r.ID
			entries[i] = audited{tenant: r.Tenant, action: "hook.resumed", subject: r.ID.String(), detail: map[string]any{
				"fields": []string{"status", "paused_until"}, "paused_until": r.Until.UTC().Format(time.RFC3339),
			}}
		}
		if err := forgetFailures(ctx, tx, ids...); err != nil {
			return err
		}
		return writeAudit(ctx, tx, actor, entries...)
	})
	if err != nil {
		return 0, fmt.Errorf("end pauses: %w", err)
	}
	return len(rows), nil
}
