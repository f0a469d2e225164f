package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/whisperer-oms/whisperer/pkg/client"
	"github.com/whisperer-oms/whisperer/pkg/signature"
	"github.com/whisperer-oms/whisperer/services/internal/store"
	"github.com/whisperer-oms/whisperer/services/whisperer/internal/reconcile"
)

type reconcileCommand struct {
	Hook         string   `help:"The hook: its id, the start of its id, or its name." required:"" placeholder:"HOOK"`
	Inbox        string   `help:"What the receiver has: a file, - for standard input, or postgres://… with --table." required:"" placeholder:"FILE|URL"`
	Since        moment   `help:"The earliest events: how long ago, such as 2h or 7d, or a time (default: a day before --until)." aliases:"from" placeholder:"WHEN"`
	Until        moment   `help:"The latest, in the same format (default: a minute ago)." aliases:"to" placeholder:"WHEN"`
	Secret       []string `help:"Verify the manifest's signature with this secret or public key." env:"WHISPERER_SECRET" sep:"none" placeholder:"TEXT"`
	Table        string   `help:"Database only: the table, as name or schema.name." placeholder:"NAME"`
	IDColumn     string   `help:"Database only: the column with the webhook-id." name:"id-column" default:"webhook_id" placeholder:"NAME"`
	DigestColumn string   `help:"Database only: the column with the body's SHA-256, as bytea or hex." xor:"bytes" placeholder:"NAME"`
	BodyColumn   string   `help:"Database only: the column with the body, as text or bytea; hashed in the database." xor:"bytes" placeholder:"NAME"`
	List         int      `help:"How many differences to print." default:"20" placeholder:"N"`
	Replay       bool     `help:"Replay what the receiver lacks or has with other bytes; asks first."`
	Yes          bool     `help:"Don't ask." short:"y"`
}

// Help describes the formats of an inbox.
func (c *reconcileCommand) Help() string {
	return "The file has one JSON object per line, or CSV with a header: webhook-id (or webhook_id, delivery_id) and optionally digest (SHA-256 of " +
		"the body, in hex) or body. `whisperer listen --json` prints such a file. A database is only read. " +
		"The exit code is 7 if something is missing or has other bytes, and is not replayed."
}

// errReceiverDiffers says that the receiver does not have exactly what was sent; exit code 7.
var errReceiverDiffers = errors.New("the receiver lacks deliveries or has other bytes: --replay sends them again")

// reconciled is the result of a reconciliation.
type reconciled struct {
	reconcile.Counts

	Differences []reconcile.Finding `json:"differences"`
	// Replayed is how many deliveries are sent again.
	Replayed int `json:"replayed"`
}

// Run compares, prints, and replays if that is wanted.
func (c *reconcileCommand) Run(ctx context.Context, a *app) error {
	from, to, err := rangeFlags{Since: c.Since, Until: c.Until}.times()
	if err != nil {
		return err
	}
	database := strings.HasPrefix(c.Inbox, "postgres://") || strings.HasPrefix(c.Inbox, "postgresql://")
	if database != (c.Table != "") {
		return usage("--table: is needed for a database, and for nothing else")
	}
	server, err := a.client()
	if err != nil {
		return err
	}
	hook, err := findHook(ctx, server, c.Hook)
	if err != nil {
		return err
	}
	comparison, err := reconcile.New()
	if err != nil {
		return err
	}
	defer comparison.Close()
	if database {
		inbox := store.Inbox{Table: c.Table, ID: c.IDColumn, Digest: c.DigestColumn, Body: c.BodyColumn}
		err = store.ReadInbox(ctx, c.Inbox, inbox, c.checked(comparison))
	} else {
		err = c.readFile(a, comparison)
	}
	if err != nil {
		return err
	}
	m, err := server.Hooks.Manifest(ctx, hook, from, to, comparison.Sent)
	if err != nil {
		return err
	}
	if err := c.verify(&m); err != nil {
		return err
	}
	return c.tell(ctx, a, server, &m, comparison)
}

func (c *reconcileCommand) readFile(a *app, comparison *reconcile.Comparison) error {
	in := a.In
	if c.Inbox != "-" {
		file, err := os.Open(c.Inbox)
		if err != nil {
			return fmt.Errorf("open inbox: %w", err)
		}
		defer file.Close()
		in = io.Reader(file)
	}
	return reconcile.ReadInbox(in, comparison.Received)
}

// checked refuses what is not a digest: if another column were mistaken for it, every delivery would look changed.
func (c *reconcileCommand) checked(comparison *reconcile.Comparison) func(id, digest string) error {
	return func(id, digest string) error {
		if digest != "" && !reconcile.IsDigest(strings.TrimSpace(digest)) {
			return usage("--digest-column: %s of %s is no SHA-256", c.DigestColumn, id)
		}
		return comparison.Received(id, digest)
	}
}

func (c *reconcileCommand) verify(m *client.Manifest) error {
	var keys []signature.VerifyKey
	for _, s := range c.Secret {
		key, err := signature.ParseVerifyKey(s)
		if err != nil {
			return usage("--secret: %s", err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil
	}
	return m.Verify(keys, time.Now(), signature.DefaultTolerance)
}

func (c *reconcileCommand) tell(ctx context.Context, a *app, server *client.Client, m *client.Manifest, comparison *reconcile.Comparison) error {
	out := reconciled{Differences: []reconcile.Finding{}}
	var again []uuid.UUID
	var err error
	out.Counts, err = comparison.Compare(func(f *reconcile.Finding) error {
		if len(out.Differences) < c.List {
			out.Differences = append(out.Differences, *f)
		}
		if f.Difference != reconcile.Twice {
			again = append(again, f.WebhookID)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !c.Replay || len(again) == 0 {
		if err := a.printReconciled(&out); err != nil || len(again) == 0 {
			return err
		}
		return errReceiverDiffers
	}
	if err := a.confirm(c.Yes, fmt.Sprintf("Replay %s?", number(len(again), "delivery", "deliveries"))); err != nil {
		return errors.Join(a.printReconciled(&out), err)
	}
	const atOnce = 1000
	for some := range slices.Chunk(again, atOnce) {
		done, err := server.Deliveries.RetryMany(ctx, client.RetryChoice{IDs: some, From: m.From, To: m.To, Force: true}, false)
		if err != nil {
			return err
		}
		out.Replayed += done.Count
	}
	if out.Replayed < len(again) {
		fmt.Fprintf(a.Err, "%d could not be sent again: they are under way, or their payload is not kept any more\n", len(again)-out.Replayed)
	}
	return a.printReconciled(&out)
}

func (a *app) printReconciled(r *reconciled) error {
	if a.asJSON() {
		return a.print(r, nil)
	}
	if err := a.print(r, func(t *table) {
		for _, line := range []struct {
			what string
			n    int
		}{
			{"sent", r.Sent},
			{"received", r.Received},
			{"the same", r.Same},
			{"lacking", r.Lacking},
			{"other bytes", r.OtherBytes},
			{"twice", r.Twice},
			{"under way", r.Underway},
			{"not sent", r.NotSent},
			{"bytes not known", r.Unknown},
			{"not in the manifest", r.Foreign},
			{"sent again", r.Replayed},
		} {
			t.row(line.what, fmt.Sprint(line.n))
		}
	}); err != nil || len(r.Differences) == 0 {
		return err
	}
	fmt.Fprintln(a.Out)
	return a.print(r, func(t *table) {
		t.head("DIFFERENCE", "WEBHOOK-ID", "SEQUENCE", "EVENT", "EVENT TYPE", "STATE", "TIMES")
		for i := range r.Differences {
			d := &r.Differences[i]
			t.row(string(d.Difference), d.WebhookID.String(), fmt.Sprint(d.Sequence), d.EventID, d.EventType, string(d.State), fmt.Sprint(d.Times))
		}
	})
}
