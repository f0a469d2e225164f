package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/webhook"
	"github.com/whisperer-oms/whisperer/services/internal/aside"
	"github.com/whisperer-oms/whisperer/services/internal/bus"
	"github.com/whisperer-oms/whisperer/services/internal/store"
)

type ledgerCommand struct {
	SetAside setAsideCommand `cmd:"" help:"List and put back ledger entries that PostgreSQL refused."`
}

type setAsideCommand struct {
	List    setAsideList    `cmd:"" help:"List entries that are set aside, and why, oldest first."`
	PutBack setAsidePutBack `cmd:"" help:"Record entries that were set aside, once the cause is fixed."`
}

type natsFlag struct {
	NATSURL string `help:"The NATS of the services." env:"WHISPERER_NATS_URL" name:"nats-url" default:"nats://127.0.0.1:4222" placeholder:"URL"`
	namespaceFlag
}

type setAsideList struct {
	natsFlag

	Limit int `help:"Print at most this many." default:"100"`
}

// setAsideEntry is an entry in the output of --json.
type setAsideEntry struct {
	Number      uint64    `json:"number"`
	What        string    `json:"what"`
	SetAside    time.Time `json:"set_aside"`
	PublishedAt time.Time `json:"published_at"`
	Subject     string    `json:"subject"`
	Size        int       `json:"size"`
	Reason      string    `json:"reason"`
}

// Run prints the list.
func (c *setAsideList) Run(ctx context.Context, a *app) error {
	nats, err := a.connectNATS(ctx, c.NATSURL, c.Namespace)
	if err != nil {
		return err
	}
	defer nats.Close()
	found, err := nats.Aside().List(ctx, 0, c.Limit)
	if err != nil {
		return err
	}
	list := make([]setAsideEntry, len(found))
	for i, s := range found {
		list[i] = setAsideEntry{
			Number: s.Seq, What: s.What, SetAside: s.At, PublishedAt: s.PublishedAt, Subject: s.Subject, Size: s.Size, Reason: s.Reason,
		}
	}
	return a.print(list, func(t *table) {
		t.head("NUMBER", "WHAT", "SET ASIDE", "PUBLISHED", "SIZE", "REASON")
		for _, e := range list {
			t.row(fmt.Sprint(e.Number), e.What, date(e.SetAside), date(e.PublishedAt), fmt.Sprint(e.Size), e.Reason)
		}
	})
}

type setAsidePutBack struct {
	natsFlag
	databaseFlag

	Numbers []uint64 `arg:"" optional:"" name:"number" help:"Numbers from the list."`
	All     bool     `help:"Put everything back."`
}

// Help describes what happens.
func (c *setAsidePutBack) Help() string {
	return "Entries that PostgreSQL now accepts are recorded; the others stay set aside. Running it again is harmless."
}

// Run puts back the entries that were set aside.
func (c *setAsidePutBack) Run(ctx context.Context, a *app) error {
	if c.All == (len(c.Numbers) > 0) {
		return usage("give numbers, or --all")
	}
	nats, err := a.connectNATS(ctx, c.NATSURL, c.Namespace)
	if err != nil {
		return err
	}
	defer nats.Close()
	db, err := store.Open(c.DatabaseURL, 2, nil)
	if err != nil {
		return err
	}
	defer db.Close()
	desk := aside.NewDesk(func() (*bus.Bus, error) { return nats, nil }, db, zap.NewNop())
	var result aside.Result
	if c.All {
		result, err = desk.PutAllBack(ctx, cliActor, 0)
	} else {
		result, err = desk.PutBack(ctx, cliActor, c.Numbers, 0)
	}
	if errors.Is(err, aside.ErrUnavailable) {
		err = fmt.Errorf("%w: %w", client.ErrUnavailable, err)
	}
	problems := []error{err}
	for _, k := range result.Kept {
		problem := fmt.Errorf("number %d stays set aside: %w", k.Number, k.Err)
		if errors.Is(k.Err, bus.ErrNotSetAside) {
			problem = fmt.Errorf("%w: %w", webhook.ErrNotFound, k.Err)
		}
		problems = append(problems, problem)
	}
	fmt.Fprintf(a.Err, "%d entries put back, %d not\n", result.PutBack, result.Stay)
	return errors.Join(problems...)
}
