package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/whisperer-oms/whisperer/pkg/webhook"
)

// fewEvents is the number of events up to which a batch is inserted by one statement. COPY takes less time for each event, but
// five round trips.
const fewEvents = 16

// WriteEvents writes events. An event whose id was published earlier in the stream, within 24 h, is left out.
func (r *Recorder) WriteEvents(ctx context.Context, events []webhook.Event) error {
	var days []time.Time
	for i := range events {
		days = appendDay(days, events[i].PublishedAt)
	}
	err := r.checkNew(ctx, events)
	if err == nil {
		err = r.writeNew(ctx, days, events)
	}
	if !errors.Is(err, errThere) {
		return err
	}
	return r.write(ctx, days, func(tx *sql.Tx) error {
		if err := r.copyEvents(ctx, "staging_events", events); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, mergeEvents); err != nil {
			return fmt.Errorf("merge events: %w", err)
		}
		if _, err := tx.ExecContext(ctx, noteCopies); err != nil {
			return fmt.Errorf("note repeated events: %w", err)
		}
		return eraseAgain(ctx, tx, keysOf(events))
	})
}

// checkNew returns errThere if an event of the batch was published earlier in the stream, within 24 h.
func (r *Recorder) checkNew(ctx context.Context, events []webhook.Event) error {
	keys, published := make(map[EventKey]bool, len(events)), make([]Published, len(events))
	for i := range events {
		e := &events[i]
		published[i] = Published{EventKey{e.Tenant, e.ID}, e.PublishedAt}
		keys[published[i].EventKey] = true
	}
	if len(keys) < len(events) {
		return errThere
	}
	seen, err := r.db.SeenEvents(ctx, published)
	if err != nil {
		return err
	}
	for i := range events {
		if before, ok := seen[published[i].EventKey]; ok && before.Seq.Before(events[i].Seq) {
			return errThere
		}
	}
	return nil
}

// writeNew writes events that were not recorded when they were looked up. It returns errThere if it could not write all of them
// without merging.
func (r *Recorder) writeNew(ctx context.Context, days []time.Time, events []webhook.Event) error {
	if 0 < len(events) && len(events) <= fewEvents {
		return r.use(ctx, days, func() error { return r.insertFew(ctx, events) })
	}
	return r.write(ctx, days, func(tx *sql.Tx) error {
		if err := r.copyEvents(ctx, "events", events); err != nil {
			return err
		}
		return eraseAgain(ctx, tx, keysOf(events))
	})
}

func (r *Recorder) copyEvents(ctx context.Context, table string, events []webhook.Event) error {
	return copyInto(ctx, r.conn, table, eventColumns, func(c *copyOut) {
		for i := range events {
			row := insertOf(&events[i])
			writeEvent(c, &row)
		}
	})
}

func (r *Recorder) insertFew(ctx context.Context, events []webhook.Event) error {
	if r.insert == nil {
		insert, err := r.conn.PrepareContext(ctx, `SELECT whisperer_insert_events($1)`)
		if err != nil {
			return fmt.Errorf("prepare to insert events: %w", err)
		}
		r.insert = insert
	}
	rows := make([]eventInsert, len(events))
	for i := range events {
		rows[i] = insertOf(&events[i])
	}
	list, err := json.Marshal(rows)
	if err != nil {
		return fmt.Errorf("encode events: %w", err)
	}
	var inserted int
	if err := r.insert.QueryRowContext(ctx, string(list)).Scan(&inserted); err != nil {
		return fmt.Errorf("insert events: %w", err)
	}
	if inserted < len(events) {
		return errThere
	}
	return nil
}

func keysOf(events []webhook.Event) []EventKey {
	keys := make([]EventKey, len(events))
	for i := range events {
		keys[i] = EventKey{events[i].Tenant, events[i].ID}
	}
	return keys
}
