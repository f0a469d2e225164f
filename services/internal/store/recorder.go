package store

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"slices"
	"time"

	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

// Recorder writes the ledger with COPY. New rows, which are nearly all, are copied straight into their tables. If some are
// recorded already, or update recorded ones, they are copied into a staging table and merged from there; that can be repeated
// safely. A Recorder has a connection of its own, and must not be used concurrently.
type Recorder struct {
	db   *LedgerStore
	conn *sql.Conn
	// insert calls whisperer_insert_events on the connection.
	insert *sql.Stmt
	days   map[string]bool // partitions known to exist
}

// NewRecorder returns a Recorder. It connects when there is something to write.
func (d *LedgerStore) NewRecorder() *Recorder { return &Recorder{db: d, days: map[string]bool{}} }

// Close returns the connection to the pool.
func (r *Recorder) Close() {
	if r.conn != nil {
		if r.insert != nil {
			_ = r.insert.Close()
		}
		_ = r.conn.Close()
		r.conn, r.insert = nil, nil
	}
}

// discard closes the connection instead of returning it to the pool, because its server may have become read-only.
func (r *Recorder) discard() {
	if r.conn != nil {
		_ = r.conn.Raw(func(any) error { return driver.ErrBadConn })
	}
	r.Close()
}

// use connects, creates the partitions for the days, and runs do. It discards the connection after any error but errThere.
func (r *Recorder) use(ctx context.Context, days []time.Time, do func() error) (err error) {
	defer func() {
		if err != nil && !errors.Is(err, errThere) {
			r.discard()
			r.db.endCutOff(ctx, err)
			clear(r.days) // a partition may have been dropped
		}
	}()
	if r.conn == nil {
		conn, err := r.db.db.Conn(ctx)
		if err != nil {
			return translate(fmt.Errorf("connect recorder: %w", err))
		}
		r.conn = conn
		for _, table := range staging() {
			if _, err := conn.ExecContext(ctx, table); err != nil {
				return translate(fmt.Errorf("make staging tables: %w", err))
			}
		}
	}
	if err := r.ensureDays(ctx, days); err != nil {
		return err
	}
	if err = do(); isThere(err) {
		return fmt.Errorf("%w: %w", errThere, err)
	}
	return translate(err)
}

// write runs do in a transaction, as use does.
func (r *Recorder) write(ctx context.Context, days []time.Time, do func(tx *sql.Tx) error) error {
	return r.use(ctx, days, func() error {
		tx, err := r.conn.BeginTx(ctx, nil)
		if err != nil {
			return fmt.Errorf("begin transaction: %w", err)
		}
		defer tx.Rollback()
		if err := do(tx); err != nil {
			return err
		}
		if err := tx.Commit(); err != nil {
			return fmt.Errorf("commit ledger: %w", err)
		}
		return nil
	})
}

// Probe reports why writing fails. It begins to write to each table, but writes no rows.
func (r *Recorder) Probe(ctx context.Context) error {
	return r.write(ctx, nil, func(*sql.Tx) error {
		for _, t := range [][2]string{
			{"events", eventColumns}, {"deliveries", deliveryColumns}, {"attempts", attemptColumns}, {"rejected_events", rejectedColumns},
		} {
			if err := copyInto(ctx, r.conn, t[0], t[1], func(*copyOut) {}); err != nil {
				return err
			}
		}
		return nil
	})
}

// ensureDays creates the partitions for the days, once per recorder and day.
func (r *Recorder) ensureDays(ctx context.Context, days []time.Time) error {
	for _, at := range days {
		day := at.UTC().Format(time.DateOnly)
		if r.days[day] {
			continue
		}
		// a partition that is being dropped is already detached, and cannot be re-created until it is gone
		if _, err := r.conn.ExecContext(ctx, `SELECT whisperer_ensure_day($1::date)`, day); err != nil && !isCode(err, "42P07") {
			return translate(fmt.Errorf("make partitions of %s: %w", day, err))
		}
		r.days[day] = true
	}
	return nil
}

// errThere reports that rows taken for new are recorded already.
var errThere = errors.New("it is recorded already")

// facts holds the contents of batches, grouped by how they are written.
type facts struct {
	days []time.Time
	// first holds facts about deliveries without an earlier fact. later may be about any deliveries.
	first, later []fact
	rejected     []*whispererv1.RejectedEvent
	stale        []*whispererv1.StaleFanout
}

// fact is a fact with the worker that published it.
type fact struct {
	*whispererv1.DeliveryFact
	worker string
}

func factsOf(batches []*whispererv1.LedgerBatch) *facts {
	out := &facts{}
	for _, b := range batches {
		for _, f := range b.GetFacts() {
			out.days = appendDay(out.days, time.Unix(0, f.GetPublishedAt()).UTC())
			if f.GetFirst() {
				out.first = append(out.first, fact{f, b.GetWorker()})
			} else {
				out.later = append(out.later, fact{f, b.GetWorker()})
			}
		}
		for _, e := range b.GetRejected() {
			out.days = appendDay(out.days, time.Unix(0, e.GetPublishedAt()).UTC())
			out.rejected = append(out.rejected, e)
		}
		out.stale = append(out.stale, b.GetStale()...)
	}
	return out
}

// WriteFacts writes the facts of batches. Writing the same facts again changes nothing.
//
// first and later are written in separate transactions, each of which writes in the order of the keys, so that recorders that
// write the same deliveries cannot deadlock.
func (r *Recorder) WriteFacts(ctx context.Context, batches []*whispererv1.LedgerBatch) error {
	f := factsOf(batches)
	if len(f.first) > 0 {
		switch err := r.writeFirst(ctx, f); {
		case errors.Is(err, errThere):
			f.later = append(f.first, f.later...)
		case err != nil:
			return err
		}
	}
	if len(f.later) == 0 && len(f.rejected) == 0 && len(f.stale) == 0 {
		return nil
	}
	return r.writeLater(ctx, f)
}

func (r *Recorder) writeFirst(ctx context.Context, f *facts) error {
	slices.SortFunc(f.first, func(a, b fact) int { return bytes.Compare(a.GetDeliveryId(), b.GetDeliveryId()) })
	return r.write(ctx, f.days, func(tx *sql.Tx) error {
		if err := r.add(ctx, "deliveries", "attempts", f.first); err != nil {
			return err
		}
		if err := eraseAgain(ctx, tx, eventsOf(f.first)); err != nil {
			return err
		}
		if err := tellParked(ctx, tx, f.first); err != nil {
			return err
		}
		return writeHealth(ctx, tx, f.first)
	})
}

func (r *Recorder) writeLater(ctx context.Context, f *facts) error {
	return r.write(ctx, f.days, func(tx *sql.Tx) error {
		if err := r.add(ctx, "staging_deliveries", "staging_attempts", f.later); err != nil {
			return err
		}
		told, err := merge(ctx, tx, f.later)
		if err != nil {
			return err
		}
		if err := eraseAgain(ctx, tx, eventsOf(f.later)); err != nil {
			return err
		}
		if err := tellParked(ctx, tx, f.later); err != nil {
			return err
		}
		if err := writeHealth(ctx, tx, told); err != nil {
			return err
		}
		if err := r.reject(ctx, tx, f.rejected); err != nil {
			return err
		}
		return reopenGaps(ctx, tx, f.stale)
	})
}

// add copies facts and their attempts into two tables.
func (r *Recorder) add(ctx context.Context, deliveries, attempts string, list []fact) error {
	if len(list) == 0 {
		return nil
	}
	err := copyInto(ctx, r.conn, deliveries, deliveryColumns, func(c *copyOut) {
		for _, f := range list {
			writeDelivery(c, f.DeliveryFact)
		}
	})
	if err != nil || !slices.ContainsFunc(list, fact.attempted) {
		return err
	}
	return copyInto(ctx, r.conn, attempts, attemptColumns, func(c *copyOut) {
		for _, f := range list {
			if f.attempted() {
				writeAttempt(c, f.worker, f.DeliveryFact)
			}
		}
	})
}

func (f fact) attempted() bool { return f.GetAttempt() != nil }

func (r *Recorder) reject(ctx context.Context, tx *sql.Tx, list []*whispererv1.RejectedEvent) error {
	if len(list) == 0 {
		return nil
	}
	err := copyInto(ctx, r.conn, "staging_rejected", rejectedColumns, func(c *copyOut) {
		for _, e := range list {
			writeRejected(c, e)
		}
	})
	if err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, mergeRejected); err != nil {
		return fmt.Errorf("merge rejected events: %w", err)
	}
	if _, err := tx.ExecContext(ctx, eraseRejected); err != nil {
		return fmt.Errorf("erase rejected copies of events: %w", err)
	}
	return nil
}

// eventsOf returns the keys of the events that the facts are about.
func eventsOf(list []fact) []EventKey {
	keys := make([]EventKey, len(list))
	for i, f := range list {
		keys[i] = EventKey{f.GetTenant(), f.GetEventId()}
	}
	return keys
}

func appendDay(days []time.Time, at time.Time) []time.Time {
	for _, d := range days {
		if d.YearDay() == at.YearDay() && d.Year() == at.Year() {
			return days
		}
	}
	return append(days, at)
}
