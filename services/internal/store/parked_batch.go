package store

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// BatchCandidate is a delivery that could be taken, of a hook that gets batches.
type BatchCandidate struct {
	Entity   string        `db:"entity"`
	ParkedAt time.Time     `db:"parked_at"`
	Batch    uuid.NullUUID `db:"batch"`
	// Together is the number of deliveries in the queue that were sent together with it, including itself; 0 if it was not sent
	// yet.
	Together int `db:"together"`
}

// ReadyForBatches reports which of a hook's deliveries, in order, can be sent at that time: those that were sent together
// before, if all of them are in the list, and of the others as many as fill batches or have waited long enough. A delivery that
// cannot be sent keeps back the later ones that must follow it, and the deliveries that were sent together with those.
func ReadyForBatches(list []BatchCandidate, b *webhook.Batch, ordering webhook.Ordering, now time.Time) []bool {
	ready, there := make([]bool, len(list)), map[uuid.UUID]int{}
	for i, c := range list {
		ready[i] = true
		there[c.Batch.UUID]++
	}
	for changed := true; changed; {
		changed = false
		keptBack := map[string]bool{}
		for i, c := range list {
			key, ordered := ordering.Key(c.Entity)
			whole := !c.Batch.Valid || there[c.Batch.UUID] == c.Together
			if ready[i] && (!whole || ordered && keptBack[key]) {
				ready[i], changed = false, true
				there[c.Batch.UUID]--
			}
			keptBack[key] = keptBack[key] || ordered && !ready[i]
		}
	}
	var fresh []int
	for i, c := range list {
		if ready[i] && !c.Batch.Valid {
			fresh = append(fresh, i)
		}
	}
	rest := fresh[len(fresh)-len(fresh)%b.MaxEvents:]
	waited := false
	for _, i := range rest {
		waited = waited || !list[i].ParkedAt.After(now.Add(-b.MaxWait))
	}
	for _, i := range rest {
		ready[i] = waited
	}
	return ready
}

// candidate is a BatchCandidate with its key in the queue and the database's time.
type candidate struct {
	HookID      uuid.UUID `db:"hook_id"`
	ID          uuid.UUID `db:"id"`
	EventSeq    int64     `db:"event_seq"`
	PublishedAt time.Time `db:"published_at"`
	Now         time.Time `db:"now"`
	BatchCandidate
}

// readyOf returns the candidates that can be sent, ordered by id. Recorders write in that order, too, so that they cannot
// deadlock.
func readyOf(wants []Want, candidates []candidate) (ready []candidate) {
	for _, w := range wants {
		var list []BatchCandidate
		var of []candidate
		for _, c := range candidates {
			if c.HookID == w.Lease.Hook {
				list, of = append(list, c.BatchCandidate), append(of, c)
			}
		}
		if len(list) == 0 {
			continue
		}
		for i, is := range ReadyForBatches(list, w.Batch, w.Ordering, of[0].Now) {
			if is {
				ready = append(ready, of[i])
			}
		}
	}
	slices.SortFunc(ready, func(a, b candidate) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return ready
}

// takeBatches takes deliveries of hooks that get batches.
func (d *core) takeBatches(ctx context.Context, drainer uuid.UUID, wants []Want, places []Places) ([]*ParkedDelivery, error) {
	var rows []parkedRow
	err := d.byKey(ctx, func(tx *sqlx.Tx) error {
		var candidates []candidate
		err := tx.SelectContext(ctx, &candidates, nextParked("")+`
			SELECT hook_id, id, event_seq, published_at, entity, parked_at, batch, clock_timestamp() AS now, CASE WHEN batch IS NULL THEN 0 ELSE (
				SELECT count(*) FROM parked q WHERE q.hook_id = next.hook_id AND q.batch = next.batch) END AS together
			FROM next ORDER BY n, event_seq, id`, nextArgs(drainer, wants, places)...)
		if err != nil {
			return err
		}
		var hooks, ids, published []string
		var seqs []int64
		var batches []uuid.NullUUID
		for _, c := range readyOf(wants, candidates) {
			hooks, ids, seqs = append(hooks, c.HookID.String()), append(ids, c.ID.String()), append(seqs, c.EventSeq)
			published, batches = append(published, c.PublishedAt.Format(time.RFC3339Nano)), append(batches, c.Batch)
		}
		if len(hooks) == 0 {
			return nil
		}
		return tx.SelectContext(ctx, &rows, `
			UPDATE parked p SET taken_by = $1
			FROM unnest($2::uuid[], $3::bigint[], $4::uuid[], $5::timestamptz[], $6::uuid[]) AS k (hook_id, event_seq, id, published_at, batch)
			WHERE p.hook_id = k.hook_id AND p.event_seq = k.event_seq AND p.id = k.id AND p.published_at = k.published_at
			AND NOT p.waiting AND p.batch IS NOT DISTINCT FROM k.batch
			RETURNING `+parkedColumns,
			drainer, pq.Array(hooks), pq.Array(seqs), pq.Array(ids), pq.Array(published), pq.Array(batches))
	})
	if err != nil {
		return nil, err
	}
	return inPlaces(rows, places), nil
}
