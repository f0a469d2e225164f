// Package aside puts messages that the recorder set aside back into the ledger. The API, the console and the command
// line use it.
package aside

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"

	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/catalogue"
	"github.com/whisperer-oms/whisperer/services/internal/schema"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

// Desk lists entries that are set aside and puts them back. It is safe for concurrent use: if two callers put the
// same entry back, it is recorded once.
type Desk struct {
	bus func() (*bus.Bus, error)
	db  *store.DB
	log *zap.Logger
}

// NewDesk returns a desk. It calls find whenever it needs the bus, because NATS may not be connected yet, and writes
// through a single database connection.
func NewDesk(find func() (*bus.Bus, error), db *store.DB, log *zap.Logger) *Desk {
	return &Desk{bus: find, db: db, log: log}
}

// ErrUnavailable says that NATS does not answer or PostgreSQL accepts nothing, rather than that an entry is at fault.
// Entries that were not put back before it are still set aside.
var ErrUnavailable = errors.New("failed to reach set-aside entries now")

// unavailable marks an error as not caused by an entry.
func unavailable(err error) error { return fmt.Errorf("%w: %w", ErrUnavailable, err) }

// Count returns how many entries are set aside.
func (d *Desk) Count(ctx context.Context) (uint64, error) {
	b, err := d.bus()
	if err != nil {
		return 0, unavailable(err)
	}
	n, err := b.Aside().Count(ctx)
	if err != nil {
		return 0, unavailable(err)
	}
	return n, nil
}

// List returns at most limit entries after the given number, the oldest first, without their data.
func (d *Desk) List(ctx context.Context, after uint64, limit int) ([]bus.SetAside, error) {
	b, err := d.bus()
	if err != nil {
		return nil, unavailable(err)
	}
	list, err := b.Aside().List(ctx, after, limit)
	if err != nil {
		return nil, unavailable(err)
	}
	return list, nil
}

// Result is the result of putting entries back.
type Result struct {
	// PutBack counts the entries that are now in the ledger and no longer set aside.
	PutBack int
	// Kept are entries that stay set aside, at most MaxKept of them; Stay is their total number.
	Kept []Kept
	Stay int
	// More says that time ran out before all entries were tried.
	More bool
}

// Kept is an entry that stays set aside.
type Kept struct {
	Number uint64
	// Err is bus.ErrNotSetAside, or says why PostgreSQL or this program rejects the entry.
	Err error
}

const (
	// MaxKept bounds Result.Kept.
	MaxKept = 100
	// noted is the maximum number of entries covered by one audit record.
	noted = 100
	// noteTimeout bounds the writing of an audit record.
	noteTimeout = 5 * time.Second
)

// PutBack puts back the entries with the given numbers. It stops after atMost; 0 means no limit. It may be repeated.
// The error is ErrUnavailable.
func (d *Desk) PutBack(ctx context.Context, actor store.Actor, numbers []uint64, atMost time.Duration) (Result, error) {
	began := time.Now()
	return d.run(ctx, actor, func(w *work) error {
		for _, n := range numbers {
			if w.More = over(began, atMost); w.More {
				return nil
			}
			s, err := w.bus.Aside().Get(ctx, n)
			switch {
			case errors.Is(err, bus.ErrNotSetAside):
				w.keep(n, err)
				continue
			case err == nil:
				err = w.one(ctx, &s)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// PutAllBack is like PutBack for everything that is set aside, the oldest first.
func (d *Desk) PutAllBack(ctx context.Context, actor store.Actor, atMost time.Duration) (Result, error) {
	began := time.Now()
	return d.run(ctx, actor, func(w *work) error {
		for after := uint64(0); ; {
			s, err := w.bus.Aside().Next(ctx, after)
			switch {
			case errors.Is(err, bus.ErrNotSetAside):
				return nil
			case err != nil:
				return err
			}
			if w.More = over(began, atMost); w.More {
				return nil
			}
			after = s.Seq
			if err := w.one(ctx, &s); err != nil {
				return err
			}
		}
	})
}

func over(began time.Time, atMost time.Duration) bool {
	return atMost > 0 && time.Since(began) >= atMost
}

// work is the state of one call of a desk.
type work struct {
	Result

	bus      *bus.Bus
	db       *store.DB
	actor    store.Actor
	recorder *store.Recorder
	types    *schema.Checks
	since    time.Time // see envelope.Published.SourcesSince
	done     []store.PutBack
}

// run calls do and records in the audit log what it did, even if it ended early.
func (d *Desk) run(ctx context.Context, actor store.Actor, do func(*work) error) (Result, error) {
	w, err := d.begin(ctx, actor)
	if err != nil {
		return Result{}, unavailable(err)
	}
	defer w.recorder.Close()
	if err := errors.Join(do(w), w.note(ctx)); err != nil {
		return w.Result, unavailable(err)
	}
	return w.Result, nil
}

func (d *Desk) begin(ctx context.Context, actor store.Actor) (*work, error) {
	w := &work{db: d.db, actor: actor, types: schema.NewChecks(catalogue.SchemaOf, d.log), recorder: d.db.Ledger.NewRecorder()}
	var err error
	if w.bus, err = d.bus(); err != nil {
		return nil, err
	}
	if w.since, err = d.db.Ledger.SourcesSince(ctx); err != nil {
		return nil, err
	}
	checked, err := d.db.Types.Checked(ctx)
	if err != nil {
		return nil, err
	}
	w.types.ReplaceTypes(checked)
	return w, nil
}

// one records an entry and then deletes it from those set aside. An error means that something other than the entry
// failed.
func (w *work) one(ctx context.Context, s *bus.SetAside) error {
	err := w.write(ctx, s)
	var unreadable *unreadableError
	switch {
	case err == nil:
	case store.Refused(err), errors.As(err, &unreadable):
		w.keep(s.Seq, err)
		return nil
	default:
		return fmt.Errorf("put number %d back: %w", s.Seq, err)
	}
	if err := w.bus.Aside().Drop(ctx, s.Seq); err != nil {
		return err
	}
	w.PutBack++
	if w.done = append(w.done, store.PutBack{Number: s.Seq, What: s.What, Subject: s.Subject, Reason: s.Reason}); len(w.done) < noted {
		return nil
	}
	return w.note(ctx)
}

func (w *work) keep(number uint64, err error) {
	if w.Stay++; len(w.Kept) < MaxKept {
		w.Kept = append(w.Kept, Kept{Number: number, Err: err})
	}
}

// note writes an audit record of what was done, even if the caller has gone.
func (w *work) note(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteTimeout)
	defer cancel()
	done := w.done
	w.done = nil
	return w.db.Access.NotePutBack(ctx, w.actor, done)
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
