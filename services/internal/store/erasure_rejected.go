package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/lib/pq"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

// names adds the conditions for the rejected events that belong to the erasure: those that contain one of the ids or the
// entity, or in whose body or data the path finds something.
func (n *NewErasure) names(c *clauses) {
	switch n.Kind {
	case EraseIDs, EraseEntity:
		names := c.arg(pq.Array(n.Criteria))
		c.fixed(`(EXISTS (SELECT FROM unnest(` + names + `::text[]) AS name WHERE position(convert_to('"' || name || '"', 'UTF8') IN raw) > 0
			OR strpos(headers || E'\n', ': ' || name || E'\n') > 0)
			OR position('\x5c'::bytea IN raw) > 0 AND jsonb_path_exists(whisperer_bytes_jsonb(raw), '$.** ? (@ == $names[*])',
				jsonb_build_object('names', ` + names + `::text[]), true))`) // an escape may hide a name
	case ErasePath:
		path := c.arg(n.Criteria[0])
		c.fixed("(" + finds("whisperer_bytes_jsonb(raw)", path) + " OR " + finds("whisperer_bytes_jsonb(raw) -> 'data'", path) + ")")
	}
}

// Names reports whether a rejected event that is not recorded belongs to an erasure. The errors are ErrPath and ErrSlow.
func (d *ErasureStore) Names(ctx context.Context, e *Erasure, rejected *whispererv1.RejectedEvent) (is bool, err error) {
	c := &clauses{}
	e.names(c)
	var headers strings.Builder
	for _, h := range rejected.GetHeaders() {
		headers.WriteString(h.GetName() + ": " + h.GetValue() + "\n")
	}
	from := `SELECT ` + c.arg(rejected.GetRaw()) + `::bytea AS raw, ` + c.arg(strings.ReplaceAll(headers.String(), "\x00", "")) + `::text AS headers`
	return is, d.bounded(ctx, countTime, e.filter(), func(tx *sqlx.Tx) error {
		return tx.GetContext(ctx, &is, `SELECT EXISTS (SELECT FROM (`+from+`) r WHERE `+c.where()+`)`, c.args...)
	})
}

// Rejected checks the tenant's next rejected events, and returns the positions of those that belong to the erasure. more
// reports that there may be others; EraseRejected moves on to them. The errors are ErrPath, and ErrSlow if even one event takes
// too long.
func (d *ErasureStore) Rejected(ctx context.Context, e *Erasure) (list []Stored, more bool, err error) {
	err = narrowed(MaxErased, func(limit int) error {
		list, more, err = d.rejected(ctx, e, limit)
		return err
	})
	return list, more, err
}

func (d *ErasureStore) rejected(ctx context.Context, e *Erasure, limit int) (list []Stored, more bool, err error) {
	c := &clauses{}
	e.names(c)
	rest := &clauses{args: c.args}
	rest.add("tenant = %s", e.Tenant)
	rest.published("published_at", TimeRange{From: e.cursorAt, To: e.Range.To})
	from := rest.arg(e.cursorAt)
	rest.fixed("(published_at, seq) > (" + from + ", " + rest.arg(e.cursorSeq) + ")")
	rest.fixed("(raw <> '' OR headers <> '' OR detail <> '')")
	var rows []struct {
		Seq int64     `db:"seq"`
		At  time.Time `db:"published_at"`
		Hit bool      `db:"hit"`
	}
	err = d.bounded(ctx, countTime, e.filter(), func(tx *sqlx.Tx) error {
		rows = nil
		return tx.SelectContext(ctx, &rows, `
			WITH looked AS MATERIALIZED (
				SELECT * FROM rejected_events WHERE `+rest.where()+` ORDER BY published_at, seq LIMIT `+rest.arg(limit)+`)
			SELECT seq, published_at, true AS hit FROM looked WHERE `+c.where()+`
			UNION ALL (SELECT seq, published_at, false FROM looked ORDER BY published_at DESC, seq DESC LIMIT 1)`, rest.args...)
	})
	for _, r := range rows {
		if r.Hit {
			list = append(list, Stored{webhook.Sequence(r.Seq), r.At.UTC()}) //nolint:gosec // never negative
		} else {
			e.cursorAt, e.cursorSeq = r.At, r.Seq
		}
	}
	return list, len(rows) > 0, err
}

// EraseRejected overwrites rejected events, adds the counts to the erasure, and stores up to which event it has looked.
func (d *ErasureStore) EraseRejected(ctx context.Context, e *Erasure, list []Stored, counts map[string]int64) error {
	seqs, times := make([]int64, len(list)), make([]string, len(list))
	for i, s := range list {
		seqs[i], times[i] = int64(s.Seq), s.At.Format(time.RFC3339Nano) //nolint:gosec // it fits
	}
	return d.transact(ctx, func(tx *sqlx.Tx) error {
		result, err := tx.ExecContext(ctx, `
			UPDATE rejected_events r SET raw = '', headers = '', detail = '' FROM unnest($1::bigint[], $2::timestamptz[]) AS k (seq, at)
			WHERE r.seq = k.seq AND r.published_at = k.at AND (raw <> '' OR headers <> '' OR detail <> '')`, pq.Array(seqs), pq.Array(times))
		if err != nil {
			return fmt.Errorf("erase rejected events: %w", err)
		}
		n, err := result.RowsAffected()
		if err != nil {
			return err
		}
		if n > 0 {
			counts["rejected_events"] = n
		}
		text, err := json.Marshal(counts)
		if err != nil {
			return fmt.Errorf("encode counts: %w", err)
		}
		if err := addPlaces(ctx, tx, e.ID, 0, string(text)); err != nil {
			return err
		}
		return e.saveCursor(ctx, tx)
	})
}
