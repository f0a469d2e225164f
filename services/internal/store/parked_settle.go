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

// Drained is a delivery that was taken, with its outcome.
type Drained struct {
	*ParkedDelivery

	As DrainedAs
}

// DrainedAs is the outcome for a row of the parked queue.
type DrainedAs string

// These are the outcomes for rows.
const (
	// Gone means that the delivery was tried, and that its outcome is in the LEDGER stream.
	Gone DrainedAs = "gone"
	// KeepsBack means the same, and that the delivery waits for a retry that others must follow.
	KeepsBack DrainedAs = "waits"
	// Back means that the delivery was not tried.
	Back DrainedAs = "back"
)

// SetBatch stores which of the deliveries taken by the drainer are sent together. ok reports that the drainer still holds all
// of them.
func (d *QueueStore) SetBatch(ctx context.Context, drainer uuid.UUID, list []*ParkedDelivery, batches []uuid.UUID) (ok bool, err error) {
	order := make([]int, len(list))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return bytes.Compare(list[a].ID[:], list[b].ID[:]) }) // by id, as recorders do: no deadlocks
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

// Settle writes the outcomes of deliveries that the drainer took. It does not change rows that another drainer has taken since,
// because this one had expired, nor rows that were parked anew after the attempt, even if this drainer has taken them again.
func (d *QueueStore) Settle(ctx context.Context, drainer uuid.UUID, list []Drained) error {
	slices.SortFunc(list, func(a, b Drained) int { return bytes.Compare(a.ID[:], b.ID[:]) }) // by id, as recorders do: no deadlocks
	var gone, stay []Drained
	for _, s := range list {
		if s.As == Gone {
			gone = append(gone, s)
		} else {
			stay = append(stay, s)
		}
	}
	// Use one transaction for each: together, they would lock the rows of one kind before those of the other, and so out of
	// order.
	if err := d.settle(ctx, drainer, stay, `UPDATE parked p SET taken_by = NULL, waiting = k.what = 'waits' FROM`); err != nil {
		return err
	}
	return d.settle(ctx, drainer, gone, `DELETE FROM parked p USING`)
}

// settle runs the statement do for rows that the drainer took, in their order.
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
