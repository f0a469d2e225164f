package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
)

// maxSuperseded is the maximum number of deliveries that one transaction supersedes.
const maxSuperseded = 10_000

// Supersede ends those of a hook's deliveries in the parked queue that a newer one of the same entity replaces, both parked
// ones and those that wait for a retry. Deliveries that a drainer has taken are left alone, because they may be on their way,
// as are replays, which neither supersede nor are superseded. more reports that there may be others. Nothing changes if another
// drainer holds the lease by now, or the drainer has expired.
//
// It is one statement. After it, no fact about a superseded delivery counts except that it was delivered.
func (d *QueueStore) Supersede(ctx context.Context, drainer uuid.UUID, lease DrainLease) (n int, more bool, err error) {
	var found int
	err = d.byKey(ctx, func(tx *sqlx.Tx) error {
		return tx.QueryRowContext(ctx, `
			WITH live AS MATERIALIZED (
				SELECT coalesce(array_agg(id), '{}') AS all_of, coalesce(bool_or(id = $1), false) AS mine
				FROM drainers WHERE expires_at > clock_timestamp()),
			queued AS MATERIALIZED (
				SELECT p.event_seq, p.id, p.published_at, p.taken_by IS NULL OR p.taken_by <> ALL (live.all_of) AS free,
					first_value(p.id) OVER newest AS newest_id, row_number() OVER newest AS n
				FROM live JOIN leases l ON live.mine AND l.name = $3 AND l.fence = $4 AND l.expires_at > clock_timestamp()
				JOIN parked p ON p.hook_id = $2 AND p.entity <> '' AND NOT p.replay
				WINDOW newest AS (PARTITION BY p.entity ORDER BY p.event_seq DESC, p.id)),
			old AS MATERIALIZED (SELECT * FROM queued WHERE n > 1 AND free ORDER BY id LIMIT $5),
			locked AS MATERIALIZED ( -- in the order in which recorders write
				SELECT d.id, d.published_at, o.newest_id FROM old o JOIN deliveries d ON d.id = o.id AND d.published_at = o.published_at
				WHERE d.state IN ('parked', 'waiting') AND NOT d.replay ORDER BY d.id FOR UPDATE OF d),
			ended AS (
				UPDATE deliveries d SET state = 'superseded', reason = '', next_at = NULL, updated_at = clock_timestamp(), superseded_by = k.newest_id
				FROM locked k WHERE d.id = k.id AND d.published_at = k.published_at RETURNING 1),
			forgotten AS ( -- of what is parked for longer than its record is kept, only the queue knows
				DELETE FROM parked p USING old o WHERE p.hook_id = $2 AND p.event_seq = o.event_seq AND p.id = o.id AND p.published_at = o.published_at
				AND NOT EXISTS (SELECT FROM deliveries d WHERE d.id = o.id AND d.published_at = o.published_at))
			SELECT (SELECT count(*) FROM ended), (SELECT count(*) FROM old)`,
			drainer, lease.Hook, lease.name(), lease.Fence, maxSuperseded).Scan(&n, &found)
	})
	if err != nil {
		return 0, false, translate(fmt.Errorf("supersede deliveries of hook %s: %w", lease.Hook, err))
	}
	return n, n > 0 && found == maxSuperseded, nil
}
