package store

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"
)

// Drained is what became of a delivery that was taken.
type Drained struct {
	*ParkedDelivery

	As DrainedAs
}

// DrainedAs is what becomes of a row of the parked queue.
type DrainedAs string

// What becomes of rows.
const (
	// Gone: it was tried, and what became of it is in the ledger's stream.
	Gone DrainedAs = "gone"
	// KeepsBack: so it is, and it waits for a retry that has to come before others.
	KeepsBack DrainedAs = "waits"
	// Back: it was not tried.
	Back DrainedAs = "back"
)

// SetBatch remembers which deliveries that the drainer took are sent together. ok says that it has them all still.
func (d *QueueStore) SetBatch(ctx context.Context, drainer uuid.UUID, list []*ParkedDelivery, batches []uuid.UUID) (ok bool, err error) {
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(list[a].ID[:], list[b].ID[:]) }) // as recorders write: no circles
	hooks, seqs, ids, published, batch := make([]string, len(list)), make([]int64, len(list)), make([]string, len(list)), make([]string, len(list)), make([]string, len(list))
	for i, at := range order {
		p := list[at]
		hooks[i], seqs[i], ids[i] = p.HookID.String(), int64(p.Event.Seq), p.ID.String() //nolint:gosec // it fits
		published[i], batch[i] = p.Event.PublishedAt.Format(time.RFC3339Nano), batches[at].String()
	}
	err = d.byKey(ctx, func(tx *sqlx.Tx) error {
		result, err := tx.ExecContext(ctx, `
			UPDATE parked p SET batch = k.batch
			FROM unnest($2::uuid[], $3::bigint[], $4::uuid[], $5::timestamptz[], $6::uuid[]) AS k (hook_id, event_seq, id, published_at, batch)
			WHERE p.hook_id = k.hook_id AND p.event_seq = k.event_seq AND p.id = k.id AND p.published_at = k.published_at AND p.taken_by = $1`,
			drainer, pq.Array(hooks), pq.Array(seqs), pq.Array(ids), pq.Array(published), pq.Array(batch))
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		ok = n == int64(len(list))
		return err
	})
	if err != nil {
		return false, translate(fmt.Errorf("remember batch: %w", err))
	}
	return ok, nil
}

// Settle tells the parked queue what became of deliveries that the drainer took. What another has taken since, since
// the drainer had expired, is left as it is, and so is what was parked anew after the attempt, even where the drainer has taken
// that, too.
func (d *QueueStore) Settle(ctx context.Context, drainer uuid.UUID, list []Drained) error {
	slices.SortFunc(list, func(a, b Drained) int { return bytes.Compare(a.ID[:], b.ID[:]) }) // as recorders write: no circles
	var gone, stay []Drained
	for _, s := range list {
		if s.As == Gone {
			gone = append(gone, s)
		} else {
			stay = append(stay, s)
		}
	}
	// Each is a transaction of its own: one that did both would lock those of one kind before those of the other.
	if err := d.settle(ctx, drainer, stay, `UPDATE parked p SET taken_by = NULL, waiting = k.what = 'waits' FROM`); err != nil {
		return err
	}
	return d.settle(ctx, drainer, gone, `DELETE FROM parked p USING`)
}

// settle does something with rows that the drainer took, in their order.
func (d *QueueStore) settle(ctx context.Context, drainer uuid.UUID, list []Drained, do string) error {
	if len(list) == 0 {
		return nil
	}
	hooks, seqs, ids := make([]string, len(list)), make([]int64, len(list)), make([]string, len(list))
	published, what, attempts := make([]string, len(list)), make([]string, len(list)), make([]int64, len(list))
	for i, s := range list {
		hooks[i], seqs[i], ids[i] = s.HookID.String(), int64(s.Event.Seq), s.ID.String() //nolint:gosec // it fits
		published[i], what[i], attempts[i] = s.Event.PublishedAt.Format(time.RFC3339Nano), string(s.As), int64(s.Attempts)
	}
	err := d.byKey(ctx, func(tx *sqlx.Tx) error {
		_, err := tx.ExecContext(ctx, `
			WITH told AS MATERIALIZED (
				SELECT * FROM unnest($2::uuid[], $3::bigint[], $4::uuid[], $5::timestamptz[], $6::text[], $7::bigint[])
					AS k (hook_id, event_seq, id, published_at, what, attempts))
			`+do+` told k WHERE p.hook_id = k.hook_id AND p.event_seq = k.event_seq AND p.id = k.id
			AND p.published_at = k.published_at AND p.taken_by = $1 AND p.attempts = k.attempts`,
			drainer, pq.Array(hooks), pq.Array(seqs), pq.Array(ids), pq.Array(published), pq.Array(what), pq.Array(attempts))
		return err
	})
	if err != nil {
		return translate(fmt.Errorf("settle parked deliveries: %w", err))
	}
	return nil
}
