package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/whisperer-oms/whisperer/pkg/bus"
	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/envelope"
	"github.com/whisperer-oms/whisperer/pkg/postgres"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	whispererv1 "github.com/whisperer-oms/whisperer/proto/whisperer/v1"
)

type ledgerCommand struct {
	SetAside setAsideCommand `cmd:"" help:"See to ledger entries that PostgreSQL refused while it took others."`
}

type setAsideCommand struct {
	List    setAsideList    `cmd:"" help:"List what is set aside and why, the oldest first."`
	PutBack setAsidePutBack `cmd:"" help:"Write into the ledger what was set aside, when the cause is mended."`
}

type natsFlag struct {
	NATSURL string `help:"The NATS of the services." env:"WHISPERER_NATS_URL" name:"nats-url" default:"nats://127.0.0.1:4222" placeholder:"URL"`
	namespaceFlag
}

type setAsideList struct {
	natsFlag

	Limit int `help:"List at most so many." default:"100"`
}

// setAsideEntry is one entry as --json has it.
type setAsideEntry struct {
	Number      uint64    `json:"number"`
	What        string    `json:"what"`
	SetAside    time.Time `json:"set_aside"`
	PublishedAt time.Time `json:"published_at"`
	Subject     string    `json:"subject"`
	Size        int       `json:"size"`
	Reason      string    `json:"reason"`
}

// Run lists.
func (c *setAsideList) Run(ctx context.Context, a *app) error {
	nats, err := a.connectNATS(ctx, c.NATSURL, c.Namespace)
	if err != nil {
		return err
	}
	defer nats.Close()
	found, err := nats.ListAside(ctx, 0, c.Limit)
	if err != nil {
		return err
	}
	list := make([]setAsideEntry, len(found))
	for i, s := range found {
		list[i] = setAsideEntry{
			Number: s.Seq, What: s.What, SetAside: s.At, PublishedAt: s.PublishedAt, Subject: s.Subject, Size: len(s.Data), Reason: s.Reason,
		}
	}
	return a.print(list, func(t table) {
		t.row("NUMBER", "WHAT", "SET ASIDE", "PUBLISHED", "SIZE", "REASON")
		for _, e := range list {
			t.row(fmt.Sprint(e.Number), e.What, date(e.SetAside), date(e.PublishedAt), fmt.Sprint(e.Size), e.Reason)
		}
	})
}

type setAsidePutBack struct {
	natsFlag
	databaseFlag

	Numbers []uint64 `arg:"" optional:"" name:"number" help:"Numbers that the list has."`
	All     bool     `help:"Put everything back."`
}

// Help says what happens.
func (c *setAsidePutBack) Help() string {
	return "What PostgreSQL takes now is recorded, and no longer set aside; the rest stays. Doing it again is harmless."
}

// Run puts back.
func (c *setAsidePutBack) Run(ctx context.Context, a *app) error {
	if c.All == (len(c.Numbers) > 0) {
		return usage("give numbers, or --all")
	}
	nats, err := a.connectNATS(ctx, c.NATSURL, c.Namespace)
	if err != nil {
		return err
	}
	defer nats.Close()
	db, err := postgres.Open(c.DatabaseURL, 2, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	since, err := db.SourcesSince(ctx)
	if err != nil {
		return err
	}
	p := &putBack{bus: nats, ledger: db.NewRecorder(), since: since, out: a}
	defer p.ledger.Close()
	if c.All {
		err = p.all(ctx)
	} else {
		err = p.some(ctx, c.Numbers)
	}
	fmt.Fprintf(a.Err, "%d entries put back, %d stay set aside\n", p.done, p.left)
	return err
}

// putBack writes what was set aside.
type putBack struct {
	bus        *bus.Bus
	ledger     *postgres.Recorder
	since      time.Time // see envelope.Published.SourcesSince
	out        *app
	done, left int
}

func (p *putBack) some(ctx context.Context, numbers []uint64) error {
	var failed []error
	for _, n := range numbers {
		s, err := p.bus.Aside(ctx, n)
		if errors.Is(err, bus.ErrNotSetAside) {
			err = fmt.Errorf("%w: %w", webhook.ErrNotFound, err)
		}
		if err == nil {
			err = p.one(ctx, s)
		}
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

func (p *putBack) all(ctx context.Context) error {
	var failed []error
	for after := uint64(0); ; {
		list, err := p.bus.ListAside(ctx, after, 100)
		if err != nil || len(list) == 0 {
			return errors.Join(append(failed, err)...)
		}
		for _, s := range list {
			after = s.Seq
			if err := p.one(ctx, s); err != nil {
				if failed = append(failed, err); errors.Is(err, client.ErrUnavailable) {
					return errors.Join(failed...)
				}
			}
		}
	}
}

// one records an entry and deletes it from those set aside then: what is recorded twice is recorded once.
func (p *putBack) one(ctx context.Context, s bus.SetAside) error {
	err := p.write(ctx, s)
	if err == nil {
		err = p.bus.DropAside(ctx, s.Seq)
	}
	switch {
	case err == nil:
		p.done++
		return nil
	case errors.Is(err, postgres.ErrUnavailable):
		err = fmt.Errorf("%w: %w", client.ErrUnavailable, err)
	}
	p.left++
	return fmt.Errorf("number %d stays set aside: %w", s.Seq, err)
}

func (p *putBack) write(ctx context.Context, s bus.SetAside) error {
	if s.What == "facts" {
		b := &whispererv1.LedgerBatch{}
		if err := proto.Unmarshal(s.Data, b); err != nil {
			return fmt.Errorf("decode facts: %w", err)
		}
		return p.ledger.WriteFacts(ctx, []*whispererv1.LedgerBatch{b})
	}
	e, err := envelope.Decode(envelope.Published{
		Tenant: s.Tenant, Type: s.Type, Headers: s.Headers, Body: s.Data, Ours: s.Ours, Seq: s.Origin, PublishedAt: s.PublishedAt,
		SourcesSince: p.since,
	})
	if err != nil {
		return fmt.Errorf("decode event: %w", err)
	}
	return p.ledger.WriteEvents(ctx, []webhook.Event{e})
}
