package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/lib/pq"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// Sent is a delivery with the digests of the bodies that its attempts sent.
type Sent struct {
	ID          uuid.UUID
	PublishedAt time.Time
	Seq         webhook.Sequence
	EventID     string
	EventType   string
	State       webhook.DeliveryState
	// Digests are the distinct SHA-256 digests of the sent bodies in hexadecimal. The digest of the latest successful attempt
	// comes first, then those of the other attempts, the latest first.
	Digests []string
	// Unknown is the number of attempts that may have sent a body without a recorded digest.
	Unknown int
}

// Position returns the delivery's position in the list.
func (s *Sent) Position() *Position { return &Position{At: s.PublishedAt, ID: s.ID} }

// ListSent lists a hook's deliveries of events that were published in the range, oldest first, beginning after the position
// behind; nil for the beginning.
func (d *HistoryStore) ListSent(ctx context.Context, tenant string, hook uuid.UUID, r TimeRange, behind *Position, limit int) ([]Sent, error) {
	c := &clauses{}
	c.add("tenant = %s", tenant)
	c.add("hook_id = %s", hook)
	if behind != nil {
		c.fixed(fmt.Sprintf("(published_at, id) > (%s, %s)", c.arg(behind.At), c.arg(behind.ID)))
		r.From = behind.At
	}
	c.published("published_at", r)
	some := `SELECT id, published_at, event_seq, event_id, event_type, state, attempts FROM deliveries WHERE ` + c.where() +
		` ORDER BY published_at, id LIMIT ` + c.arg(limit)
	made := &clauses{args: c.args}
	made.published("published_at", r)
	rows, err := d.db.QueryContext(ctx, `
		SELECT s.id, s.published_at, s.event_seq, s.event_id, s.event_type, s.state, a.digests, a.untold + greatest(s.attempts - a.made, 0)
		FROM (`+some+`) s CROSS JOIN LATERAL (
			SELECT array_agg(encode(body_digest, 'hex') ORDER BY outcome = 'succeeded' DESC, number DESC) FILTER (WHERE body_digest IS NOT NULL) AS digests,
				count(*) FILTER (WHERE outcome = 'unknown' OR request_size > 0 AND body_digest IS NULL) AS untold, count(*) AS made
			FROM attempts WHERE published_at = s.published_at AND delivery_id = s.id AND `+made.where()+`) a
		ORDER BY s.published_at, s.id`, made.args...)
	if err != nil {
		return nil, translate(fmt.Errorf("list what was sent to hook %s: %w", hook, err))
	}
	list, err := scanSent(rows, limit)
	if err != nil {
		return nil, translate(fmt.Errorf("list what was sent to hook %s: %w", hook, err))
	}
	return list, nil
}

// Untold is a hook whose manifest for a day was not published yet.
type Untold struct {
	ID   uuid.UUID `db:"id"`
	Name string    `db:"name"`
}

// FindUntold lists a tenant's hooks that had deliveries of events of the day, other than events of type but, and whose manifest
// for that day or a later one was not published yet. began excludes hooks that never had a manifest.
func (d *HistoryStore) FindUntold(ctx context.Context, tenant string, day time.Time, but string, began bool, limit int) (list []Untold, err error) {
	err = d.db.SelectContext(ctx, &list, `
		SELECT h.id, h.name FROM hooks h LEFT JOIN told_manifests t ON t.hook_id = h.id
		WHERE h.tenant = $1 AND (t.day < $2::date OR t.day IS NULL AND NOT $4)
		AND EXISTS (SELECT FROM deliveries d WHERE d.hook_id = h.id AND d.published_at >= $5 AND d.published_at < $6 AND d.event_type <> $3)
		ORDER BY h.id LIMIT $7`, tenant, day.Format(time.DateOnly), but, began, day, day.AddDate(0, 0, 1), limit)
	if err != nil {
		return nil, translate(fmt.Errorf("list hooks of whose manifest nobody was told: %w", err))
	}
	return list, nil
}

// NoteTold stores that a hook's manifest for a day was published.
func (d *HistoryStore) NoteTold(ctx context.Context, hook uuid.UUID, day time.Time) error {
	_, err := d.db.ExecContext(ctx, `
		INSERT INTO told_manifests AS t (hook_id, day) SELECT id, $2::date FROM hooks WHERE id = $1
		ON CONFLICT (hook_id) DO UPDATE SET day = greatest(t.day, excluded.day)`, hook, day.Format(time.DateOnly))
	if err != nil {
		return translate(fmt.Errorf("note that the manifest of hook %s was told: %w", hook, err))
	}
	return nil
}

// CountSent counts a hook's deliveries of events that were published in the range, by state.
func (d *HistoryStore) CountSent(ctx context.Context, tenant string, hook uuid.UUID, r TimeRange) (states map[webhook.DeliveryState]int, err error) {
	c := &clauses{}
	c.add("tenant = %s", tenant)
	c.add("hook_id = %s", hook)
	c.published("published_at", r)
	var rows []struct {
		State webhook.DeliveryState `db:"state"`
		N     int                   `db:"n"`
	}
	if err := d.db.SelectContext(ctx, &rows, `SELECT state, count(*) AS n FROM deliveries WHERE `+c.where()+` GROUP BY state`, c.args...); err != nil {
		return nil, translate(fmt.Errorf("count what was sent to hook %s: %w", hook, err))
	}
	states = map[webhook.DeliveryState]int{}
	for _, r := range rows {
		states[r.State] = r.N
	}
	return states, nil
}

func scanSent(rows *sql.Rows, limit int) ([]Sent, error) {
	defer rows.Close()
	list := make([]Sent, 0, limit)
	for rows.Next() {
		var s Sent
		var seq int64
		if err := rows.Scan(&s.ID, &s.PublishedAt, &seq, &s.EventID, &s.EventType, &s.State, (*pq.StringArray)(&s.Digests), &s.Unknown); err != nil {
			return nil, err
		}
		s.PublishedAt, s.Seq = s.PublishedAt.UTC(), webhook.Sequence(seq) //nolint:gosec // never negative
		s.Digests = distinct(s.Digests)
		list = append(list, s)
	}
	return list, rows.Err()
}

// distinct removes duplicates, in place.
func distinct(list []string) []string {
	kept := list[:0]
	for _, s := range list {
		if !slices.Contains(kept, s) {
			kept = append(kept, s)
		}
	}
	return kept
}
