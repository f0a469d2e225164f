// Package aside puts back into the ledger what the recorder set aside. The API, the console and the command line do so by it.
package aside

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/whisperer-oms/whisperer/pkg/bus"
	"github.com/whisperer-oms/whisperer/pkg/catalogue"
	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/schema"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

// shelf is what is set aside; *bus.Bus is one, and so is a service's connection that may not be there yet.
type shelf interface {
	Aside(ctx context.Context, number uint64) (bus.SetAside, error)
	NextAside(ctx context.Context, after uint64) (bus.SetAside, error)
	DropAside(ctx context.Context, number uint64) error
}

// Desk puts entries back. It is safe for concurrent use: an entry that two put back is recorded once.
type Desk struct {
	shelf shelf
	db    *postgres.DB
	log   *zap.Logger
}

// NewDesk makes a desk that writes with one of the database's connections.
func NewDesk(s shelf, db *postgres.DB, log *zap.Logger) *Desk {
	return &Desk{shelf: s, db: db, log: log}
}

// Result is what became of entries.
type Result struct {
	// PutBack is how many are in the ledger now, and not set aside any more.
	PutBack int
	// Kept are those that stay set aside, at most MaxKept of them; Stay is how many there are.
	Kept []Kept
	Stay int
	// More says that time ran out before all were tried.
	More bool
}

// Kept is an entry that stays set aside.
type Kept struct {
	Number uint64
	// Err is bus.ErrNotSetAside, or why PostgreSQL or this program does not take it.
	Err error
}

const (
	// MaxKept bounds Result.Kept.
	MaxKept = 100
	// noted is how many entries the audit log is told of at once.
	noted = 100
	// noteTimeout bounds that.
	noteTimeout = 5 * time.Second
)

// PutBack puts back the entries with the numbers. Doing it again is harmless. An error is not about an entry: PostgreSQL takes
// nothing, or NATS is away. What was not put back before stays set aside.
func (d *Desk) PutBack(ctx context.Context, actor postgres.Actor, numbers []uint64) (Result, error) {
	return d.run(ctx, actor, func(w *work) error {
		for _, n := range numbers {
			s, err := d.shelf.Aside(ctx, n)
			switch {
			case errors.Is(err, bus.ErrNotSetAside):
				w.keep(n, err)
			case err != nil:
				return err
			default:
				if err := w.one(ctx, &s); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// PutAllBack puts back everything that is set aside, the oldest first, for at most that long, or without end for 0.
func (d *Desk) PutAllBack(ctx context.Context, actor postgres.Actor, atMost time.Duration) (Result, error) {
	began := time.Now()
	return d.run(ctx, actor, func(w *work) error {
		for after := uint64(0); ; {
			s, err := d.shelf.NextAside(ctx, after)
			switch {
			case errors.Is(err, bus.ErrNotSetAside):
				return nil
			case err != nil:
				return err
			case atMost > 0 && time.Since(began) >= atMost:
				w.More = true
				return nil
			}
			after = s.Seq
			if err := w.one(ctx, &s); err != nil {
				return err
			}
		}
	})
}

// work is one call of a desk.
type work struct {
	Result

	desk     *Desk
	actor    postgres.Actor
	recorder *postgres.Recorder
	types    *schema.Checks
	since    time.Time // see envelope.Published.SourcesSince
	done     []postgres.PutBack
}

// run tells the audit log what do did, also where do ended early.
func (d *Desk) run(ctx context.Context, actor postgres.Actor, do func(*work) error) (Result, error) {
	w := &work{desk: d, actor: actor, types: schema.NewChecks(catalogue.SchemaOf, d.log)}
	var err error
	if w.since, err = d.db.SourcesSince(ctx); err != nil {
		return w.Result, err
	}
	checked, err := d.db.CheckedTypes(ctx)
	if err != nil {
		return w.Result, err
	}
	w.types.ReplaceTypes(checked)
	w.recorder = d.db.NewRecorder()
	defer w.recorder.Close()
	err = do(w)
	return w.Result, errors.Join(err, w.note(ctx))
}

// one records an entry and deletes it from those set aside then. An error is not about the entry.
func (w *work) one(ctx context.Context, s *bus.SetAside) error {
	err := w.write(ctx, s)
	var unreadable *unreadableError
	switch {
	case err == nil:
	case postgres.Refused(err), errors.As(err, &unreadable):
		w.keep(s.Seq, err)
		return nil
	default:
		return fmt.Errorf("put number %d back: %w", s.Seq, err)
	}
	if err := w.desk.shelf.DropAside(ctx, s.Seq); err != nil {
		return err
	}
	w.PutBack++
	if w.done = append(w.done, postgres.PutBack{Number: s.Seq, What: s.What, Subject: s.Subject, Reason: s.Reason}); len(w.done) < noted {
		return nil
	}
	return w.note(ctx)
}

func (w *work) keep(number uint64, err error) {
	if w.Stay++; len(w.Kept) < MaxKept {
		w.Kept = append(w.Kept, Kept{Number: number, Err: err})
	}
}

// note writes what was done to the audit log, also for a caller that has gone.
func (w *work) note(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	done := w.done
	w.done = nil
	return w.desk.db.NotePutBack(ctx, w.actor, done)
}

// unreadableError says that an entry cannot be decoded.
type unreadableError struct{ cause error }

func (e *unreadableError) Error() string { return "it cannot be decoded: " + e.cause.Error() }

// write records an entry as the recorder does.
func (w *work) write(ctx context.Context, s *bus.SetAside) error {
	if s.What == bus.AsideFacts {
		b := &whispererv1.LedgerBatch{}
		if err := proto.Unmarshal(s.Data, b); err != nil {
			return &unreadableError{err}
		}
		return w.recorder.WriteFacts(ctx, []*whispererv1.LedgerBatch{b})
	}
	e, err := envelope.Decode(envelope.Published{
		Tenant: s.Tenant, Type: s.Type, Headers: s.Headers, Body: s.Data, Ours: s.Ours, Seq: s.Origin, PublishedAt: s.PublishedAt, SourcesSince: w.since,
	})
	if err != nil {
		return &unreadableError{err}
	}
	if !w.types.Find(e.Tenant, e.Type).Mark(&e) {
		return nil // the fan-out has rejected it
	}
	return w.recorder.WriteEvents(ctx, []webhook.Event{e})
}
