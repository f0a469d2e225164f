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

	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

// Recorder writes the ledger, with COPY. What is new, as nearly everything is, goes straight into its table; where some of
// it turns out to be there already, or says more of what is there, it goes into a staging table and from there by one
// merge that may be repeated without harm. A Recorder has a connection of its own and is for one goroutine.
type Recorder struct {
	db   *LedgerStore
	conn *sql.Conn
	days map[string]bool // partitions known to be there
}

// NewRecorder makes a recorder; it connects when there is something to write.
func (d *LedgerStore) NewRecorder() *Recorder { return &Recorder{db: d, days: map[string]bool{}} }

// Close gives the connection back.
func (r *Recorder) Close() {
	if r.conn != nil {
		_ = r.conn.Close()
		r.conn = nil
	}
}

// discard closes the connection, where Close would let others have it: its server may only read from now on.
func (r *Recorder) discard() {
	if r.conn != nil {
		_ = r.conn.Raw(func(any) error { return driver.ErrBadConn })
	}
	r.Close()
}

// write does something in a transaction; the connection is thrown away after an error, other than that of errThere.
func (r *Recorder) write(ctx context.Context, days []time.Time, do func(tx *sql.Tx) error) (err error) {
	defer func() {
		if err != nil && !errors.Is(err, errThere) {
			r.discard()
			r.db.endCutOff(ctx, err)
			clear(r.days) // one may have been dropped
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
	tx, err := r.conn.BeginTx(ctx, nil)
	if err != nil {
		return translate(fmt.Errorf("begin transaction: %w", err))
	}
	defer tx.Rollback()
	if err := do(tx); err != nil {
		if isThere(err) {
			return fmt.Errorf("%w: %w", errThere, err)
		}
		return translate(err)
	}
	if err := tx.Commit(); err != nil {
		return translate(fmt.Errorf("commit ledger: %w", err))
	}
	return nil
}

// Probe reports why nothing could be written: it begins to write into each table, and writes nothing.
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

// ensureDays makes the partitions of the days, each once per recorder.
func (r *Recorder) ensureDays(ctx context.Context, days []time.Time) error {
	for _, at := range days {
		day := at.UTC().Format(time.DateOnly)
		if r.days[day] {
			continue
		}
		// one that is on its way out is no partition any more, and is not made anew before it is gone
		if _, err := r.conn.ExecContext(ctx, `SELECT whisperer_ensure_day($1::date)`, day); err != nil && !isCode(err, "42P07") {
			return translate(fmt.Errorf("make partitions of %s: %w", day, err))
		}
		r.days[day] = true
	}
	return nil
}

// errThere says that what was taken for new is in the ledger already.
var errThere = errors.New("it is recorded already")

// facts are what batches have, by how it has to be written.
type facts struct {
	days []time.Time
	// first are facts about deliveries of which nothing was told before; later may be about any.
	first, later []fact
	rejected     []*whispererv1.RejectedEvent
	stale        []*whispererv1.StaleFanout
}

// fact is a fact and who told it.
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

// WriteFacts writes what workers told the ledger. Writing the same facts again changes nothing.
//
// What is first and what is later are transactions of their own, each of which writes in the order of the keys: recorders
// that write the same deliveries never wait for each other in a circle.
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

// WriteEvents writes events; one whose id is there already, from earlier in the stream and within 24 h, is left out.
func (r *Recorder) WriteEvents(ctx context.Context, events []webhook.Event) error {
	var days []time.Time
	for i := range events {
		days = appendDay(days, events[i].PublishedAt)
	}
	rows := func(c *copyOut) {
		for i := range events {
			writeEvent(c, &events[i])
		}
	}
	err := r.checkNew(ctx, events)
	if err == nil {
		err = r.write(ctx, days, func(tx *sql.Tx) error {
			if err := copyInto(ctx, r.conn, "events", eventColumns, rows); err != nil {
				return err
			}
			return eraseAgain(ctx, tx, keysOf(events))
		})
	}
	if !errors.Is(err, errThere) {
		return err
	}
	return r.write(ctx, days, func(tx *sql.Tx) error {
		if err := copyInto(ctx, r.conn, "staging_events", eventColumns, rows); err != nil {
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

func keysOf(events []webhook.Event) []EventKey {
	keys := make([]EventKey, len(events))
	for i := range events {
		keys[i] = EventKey{events[i].Tenant, events[i].ID}
	}
	return keys
}

// eventsOf are the events that facts are about.
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
